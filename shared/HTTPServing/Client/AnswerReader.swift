internal import Glibc

/// Reads one answer out of the bytes of a connection.
struct AnswerReader {
    private enum State {
        case head
        case body(BodyReader)
        case untilEnd([UInt8])
        case done
    }

    private let expectsBody: Bool
    private let limit: Int
    private var state = State.head
    private var pending: [UInt8] = []
    private var scanned = 0
    private var status = Status.ok
    private var headers = HeaderBlock.empty
    private(set) var keepsAlive = true
    private(set) var sawAnything = false
    private var body: [UInt8] = []

    init(method: Method, limit: Int) {
        expectsBody = method != .head
        self.limit = limit
    }

    var response: ClientResponse? {
        guard case .done = state else { return nil }
        return ClientResponse(status: status, headers: Headers(headers), body: body)
    }

    mutating func take(_ data: UnsafeRawBufferPointer) throws(MessageFault) {
        sawAnything = true
        pending.append(contentsOf: data)
        while true {
            switch state {
            case .done:
                // Bytes behind an answer that nobody asked for: the connection is of no more use.
                if !pending.isEmpty { keepsAlive = false }
                return
            case .head:
                guard try readHead() else { return }
            case .body(var reader):
                state = .done
                let bytes = pending
                var used = 0
                try bytes.read { (raw) throws(MessageFault) in used = try reader.consume(raw) }
                pending = used == bytes.count ? [] : Array(bytes[used...])
                if reader.isComplete {
                    body = reader.take()
                } else {
                    state = .body(reader)
                    return
                }
            case .untilEnd(var collected):
                state = .done
                collected += pending
                pending = []
                guard collected.count <= limit else { throw .bodyTooLarge(limit: limit) }
                state = .untilEnd(collected)
                return
            }
        }
    }

    /// The other side has ended; true when that completes the answer.
    mutating func end() -> Bool {
        keepsAlive = false
        if case .untilEnd(let collected) = state {
            body = collected
            state = .done
        }
        if case .done = state { return true }
        return false
    }

    private mutating func readHead() throws(MessageFault) -> Bool {
        let bytes = pending
        var position = scanned
        var end: Int?
        try bytes.read { (raw) throws(MessageFault) in end = try RequestHead.end(in: raw, scanned: &position) }
        scanned = position
        guard let end else {
            if bytes.count > 64 * 1024 { throw .headersTooLarge }
            return false
        }
        pending = Array(bytes[end...])
        scanned = 0
        try bytes.read { (raw) throws(MessageFault) in
            try parse(UnsafeRawBufferPointer(rebasing: raw[..<end]))
        }
        return true
    }

    private mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(MessageFault) {
        guard let lineEnd = bytes.firstIndex(of: 0x0D), lineEnd >= 12 else { throw .malformedRequestLine }
        guard UnsafeRawBufferPointer(rebasing: bytes[..<7]).matches("HTTP/1."), bytes[8] == 0x20 else { throw .malformedRequestLine }
        let minorVersion = bytes[7] - 0x30
        guard let code = Int(String(decoding: bytes[9..<12], as: UTF8.self)), (100...599).contains(code) else { throw .malformedRequestLine }
        var fields: [HeaderBlock.Field] = []
        var facts = FramingFacts()
        var index = lineEnd + 2
        while index < bytes.count - 2 {
            guard let lineFeed = bytes[index...].firstIndex(of: 0x0A) else { throw .malformedHeader }
            let field = try HeaderLine.parse(bytes, index..<lineFeed - 1)
            try facts.note(field, bytes)
            fields.append(field)
            index = lineFeed + 1
        }
        // An interim answer such as 100: the real one follows.
        if code < 200 { return }
        status = Status(code)
        headers = HeaderBlock(bytes: Array(bytes), fields: fields)
        keepsAlive = minorVersion >= 1 ? !facts.saysClose : facts.saysKeepAlive
        if !expectsBody || status.forbidsBody {
            state = .done
        } else if facts.isChunked {
            state = .body(BodyReader(chunkedUpTo: limit))
        } else if let length = facts.contentLength {
            let reader = try BodyReader(contentLength: length, limit: limit)
            state = reader.isComplete ? .done : .body(reader)
        } else {
            keepsAlive = false
            state = .untilEnd([])
        }
    }
}

extension [UInt8] {
    /// `withUnsafeBytes`, which does not carry a typed error.
    fileprivate func read(_ body: (UnsafeRawBufferPointer) throws(MessageFault) -> Void) throws(MessageFault) {
        let fault = withUnsafeBytes { bytes -> MessageFault? in
            do throws(MessageFault) {
                try body(bytes)
                return nil
            } catch {
                return error
            }
        }
        if let fault { throw fault }
    }
}
