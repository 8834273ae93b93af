internal import Glibc

/// The head of a request, parsed where it lies. Strict where leniency has been the way in for request smuggling: no bare line feeds, no folded lines,
/// no blank before a colon, no repeated or signed lengths, never both a length and a transfer coding.
struct RequestHead {
    var method: Method
    var block: HeaderBlock
    var path: Range<Int>
    var query: Query
    var keepAlive: Bool
    var contentLength: Int
    var isChunked: Bool
    var expectsContinue: Bool

    /// Where the head ends (behind its empty line); nil when it is not all there. `scanned` is where the last search stopped.
    static func end(in bytes: UnsafeRawBufferPointer, scanned: inout Int) throws(MessageFault) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        var index = scanned
        while index < bytes.count, let found = memchr(base + index, 0x0A, bytes.count - index) {
            let lineFeed = UnsafeRawPointer(found) - base
            guard lineFeed > 0, bytes[lineFeed - 1] == 0x0D else { throw .malformedHeader }
            if lineFeed >= 3, bytes[lineFeed - 2] == 0x0A { return lineFeed + 1 }
            index = lineFeed + 1
        }
        scanned = index
        return nil
    }

    /// Parses a whole head, its empty line included.
    static func parse(_ bytes: UnsafeRawBufferPointer, limits: HTTPLimits) throws(MessageFault) -> RequestHead {
        guard let base = bytes.baseAddress, let lineEnd = memchr(base, 0x0D, bytes.count).map({ UnsafeRawPointer($0) - base }) else {
            throw .malformedRequestLine
        }
        let (method, target, minorVersion) = try requestLine(UnsafeRawBufferPointer(rebasing: bytes[..<lineEnd]), limits: limits)

        var fields: [HeaderBlock.Field] = []
        fields.reserveCapacity(12)
        var facts = FramingFacts()
        var index = lineEnd + 2
        while index < bytes.count - 2 {
            guard let found = memchr(base + index, 0x0A, bytes.count - index) else { throw .malformedHeader }
            let end = (UnsafeRawPointer(found) - base) - 1
            let field = try HeaderLine.parse(bytes, index..<end)
            try facts.note(field, bytes)
            fields.append(field)
            if fields.count > limits.maximumHeaderFields { throw .headersTooLarge }
            index = end + 2
        }
        if minorVersion == 1, facts.hosts != 1 { throw .missingHost }
        if facts.hosts > 1 { throw .missingHost }
        if facts.isChunked, facts.contentLength != nil || minorVersion == 0 { throw .malformedLength }

        let block = HeaderBlock(bytes: Array(bytes), fields: fields)
        let (path, query) = try split(target, block)
        return RequestHead(
            method: method,
            block: block,
            path: path,
            query: query,
            keepAlive: minorVersion == 1 ? !facts.saysClose : facts.saysKeepAlive && !facts.saysClose,
            contentLength: facts.contentLength ?? 0,
            isChunked: facts.isChunked,
            expectsContinue: facts.expectsContinue && minorVersion == 1
        )
    }

    private static func requestLine(
        _ line: UnsafeRawBufferPointer,
        limits: HTTPLimits
    ) throws(MessageFault) -> (Method, Range<Int>, minorVersion: Int) {
        guard let firstBlank = line.firstIndex(of: 0x20), firstBlank > 0 else { throw .malformedRequestLine }
        let methodBytes = UnsafeRawBufferPointer(rebasing: line[..<firstBlank])
        guard methodBytes.allSatisfy(\.isTokenCharacter) else { throw .malformedRequestLine }
        guard let lastBlank = line.lastIndex(of: 0x20), lastBlank > firstBlank + 1 else { throw .malformedRequestLine }
        let target = firstBlank + 1..<lastBlank
        let version = UnsafeRawBufferPointer(rebasing: line[(lastBlank + 1)...])
        let minorVersion: Int
        if version.matches("HTTP/1.1") {
            minorVersion = 1
        } else if version.matches("HTTP/1.0") {
            minorVersion = 0
        } else {
            guard version.count == 8, UnsafeRawBufferPointer(rebasing: version[..<5]).matches("HTTP/") else { throw .malformedRequestLine }
            throw .unsupportedVersion
        }
        if target.count > limits.maximumTargetBytes { throw .targetTooLong }
        for byte in line[target] where byte <= 0x20 || byte >= 0x7F { throw .malformedTarget }
        guard let method = Method(bytes: methodBytes) else { throw .unknownMethod }
        return (method, target, minorVersion)
    }

    /// Path and query of an origin-form or absolute-form target.
    private static func split(_ target: Range<Int>, _ block: HeaderBlock) throws(MessageFault) -> (Range<Int>, Query) {
        let bytes = block.bytes
        var start = target.lowerBound
        if bytes[start] != 0x2F {
            if target.count == 1, bytes[start] == 0x2A { return (target, Query()) }
            guard let host = absoluteFormPath(bytes, target) else { throw .malformedTarget }
            start = host
        }
        var end = start
        while end < target.upperBound, bytes[end] != 0x3F {
            if bytes[end] == 0x23 { throw .malformedTarget }
            end += 1
        }
        guard end < target.upperBound else { return (start..<end, Query()) }
        guard let query = Query(bytes: bytes[(end + 1)..<target.upperBound]) else { throw .malformedTarget }
        return (start..<end, query)
    }

    private static func absoluteFormPath(_ bytes: [UInt8], _ target: Range<Int>) -> Int? {
        let prefix = Array("http://".utf8)
        guard target.count > prefix.count, bytes[target.lowerBound..<target.lowerBound + prefix.count].elementsEqual(prefix) else { return nil }
        return bytes[(target.lowerBound + prefix.count)..<target.upperBound].firstIndex(of: 0x2F)
    }
}

/// One `name: value` line.
enum HeaderLine {
    static func parse(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) throws(MessageFault) -> HeaderBlock.Field {
        var index = line.lowerBound
        while index < line.upperBound, bytes[index].isTokenCharacter { index += 1 }
        guard index > line.lowerBound, index < line.upperBound, bytes[index] == 0x3A else { throw .malformedHeader }
        let nameEnd = index
        var start = index + 1
        var end = line.upperBound
        while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
        while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        for byte in bytes[start..<end] where byte < 0x20 && byte != 0x09 || byte == 0x7F { throw .malformedHeader }
        return .init(nameStart: Int32(line.lowerBound), nameEnd: Int32(nameEnd), valueStart: Int32(start), valueEnd: Int32(end))
    }
}

/// What the header fields say about where the body ends and whether the connection lives on.
struct FramingFacts {
    var hosts = 0
    var contentLength: Int?
    var isChunked = false
    var saysClose = false
    var saysKeepAlive = false
    var expectsContinue = false

    mutating func note(_ field: HeaderBlock.Field, _ bytes: UnsafeRawBufferPointer) throws(MessageFault) {
        let name = UnsafeRawBufferPointer(rebasing: bytes[Int(field.nameStart)..<Int(field.nameEnd)])
        // Looked at by length first: most fields are none of these.
        switch name.count {
        case 4 where name.matchesIgnoringCase("host"): hosts += 1
        case 6 where name.matchesIgnoringCase("expect"):
            guard value(field, bytes).matchesIgnoringCase("100-continue") else { throw .unsupportedExpectation }
            expectsContinue = true
        case 10 where name.matchesIgnoringCase("connection"):
            for part in value(field, bytes).split(separator: 0x2C) {
                let word = String(decoding: part, as: UTF8.self).trimmed.lowercased()
                if word == "close" { saysClose = true } else if word == "keep-alive" { saysKeepAlive = true }
            }
        case 14 where name.matchesIgnoringCase("content-length"):
            guard contentLength == nil else { throw .malformedLength }
            let digits = value(field, bytes)
            guard (1...18).contains(digits.count) else { throw .malformedLength }
            var length = 0
            for byte in digits {
                guard byte >= 0x30, byte <= 0x39 else { throw .malformedLength }
                length = length * 10 + Int(byte - 0x30)
            }
            contentLength = length
        case 17 where name.matchesIgnoringCase("transfer-encoding"):
            guard !isChunked else { throw .malformedLength }
            guard value(field, bytes).matchesIgnoringCase("chunked") else { throw .unknownTransferCoding }
            isChunked = true
        default: break
        }
    }

    private func value(_ field: HeaderBlock.Field, _ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[Int(field.valueStart)..<Int(field.valueEnd)])
    }
}
