/// Reads the frames of a server (RFC 6455) out of bytes as they come, and puts messages together. No I/O.
struct FrameReader {
    /// What was read.
    enum Item: Equatable {
        case message(WebSocketMessage)
        case ping([UInt8])
        case pong
        case close(code: Int, reason: String)
    }

    /// What a server may not send.
    enum Fault: Error, Equatable {
        case protocolViolation(String)
        case tooLarge(maximumBytes: Int)
    }

    private let maximumMessageBytes: Int
    private var bytes: [UInt8] = []
    private var at = 0
    /// The pieces of a message so far, and whether it is text.
    private var pieces: (isText: Bool, bytes: [UInt8])?

    init(maximumMessageBytes: Int) { self.maximumMessageBytes = maximumMessageBytes }

    /// Whether what came so far ends with a frame's end and a message's.
    var isBetweenMessages: Bool { at == bytes.count && pieces == nil }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        if at == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
            at = 0
        } else if at > 65_536 {
            bytes.removeFirst(at)
            at = 0
        }
        bytes.append(contentsOf: more)
    }

    /// The next thing that is whole; nothing until more bytes come.
    mutating func next() throws(Fault) -> Item? {
        while true {
            guard let (header, payload) = try frame() else { return nil }
            if header.opcode >= 8 { return try control(header, payload) }
            if let message = try piece(header, payload) { return .message(message) }
        }
    }

    private struct Header {
        var isLast: Bool
        var opcode: UInt8
    }

    private mutating func frame() throws(Fault) -> (Header, [UInt8])? {
        let available = bytes.count - at
        guard available >= 2 else { return nil }
        let (first, second) = (bytes[at], bytes[at + 1])
        guard first & 0x70 == 0 else { throw .protocolViolation("a frame with extensions that were not agreed on") }
        guard second & 0x80 == 0 else { throw .protocolViolation("a masked frame") }
        let header = Header(isLast: first & 0x80 != 0, opcode: first & 0x0F)
        var length = UInt64(second & 0x7F)
        var headerBytes = 2
        if length >= 126 {
            headerBytes += length == 126 ? 2 : 8
            guard available >= headerBytes else { return nil }
            length = bytes[(at + 2)..<(at + headerBytes)].reduce(0) { $0 << 8 | UInt64($1) }
        }
        if header.opcode >= 8 {
            guard length <= 125, header.isLast else { throw .protocolViolation("a control frame that is too long or in pieces") }
        } else {
            let room = UInt64(maximumMessageBytes - (pieces?.bytes.count ?? 0))
            guard length <= room else { throw .tooLarge(maximumBytes: maximumMessageBytes) }
        }
        guard available - headerBytes >= Int(length) else { return nil }
        let start = at + headerBytes
        at = start + Int(length)
        return (header, Array(bytes[start..<at]))
    }

    private mutating func piece(_ header: Header, _ payload: [UInt8]) throws(Fault) -> WebSocketMessage? {
        switch header.opcode {
        case 0:
            guard pieces != nil else { throw .protocolViolation("a continuation of nothing") }
            pieces?.bytes += payload
        case 1, 2:
            guard pieces == nil else { throw .protocolViolation("a message inside another") }
            pieces = (header.opcode == 1, payload)
        default: throw .protocolViolation("a frame of an unknown kind")
        }
        guard header.isLast, let whole = pieces else { return nil }
        pieces = nil
        guard whole.isText else { return .binary(whole.bytes) }
        guard String(validating: whole.bytes, as: UTF8.self) != nil else { throw .protocolViolation("text that is no UTF-8") }
        return .text(whole.bytes)
    }

    private func control(_ header: Header, _ payload: [UInt8]) throws(Fault) -> Item {
        switch header.opcode {
        case 8:
            guard payload.count != 1 else { throw .protocolViolation("a close of half a code") }
            guard payload.count >= 2 else { return .close(code: 1_005, reason: "") }
            let code = Int(payload[0]) << 8 | Int(payload[1])
            return .close(code: code, reason: String(decoding: payload[2...], as: UTF8.self))
        case 9: return .ping(payload)
        case 10: return .pong
        default: throw .protocolViolation("a control frame of an unknown kind")
        }
    }
}

/// One whole message.
public enum WebSocketMessage: Sendable, Equatable {
    /// UTF-8 text, as its bytes.
    case text([UInt8])
    /// Anything else.
    case binary([UInt8])

    var byteCount: Int {
        switch self {
        case .text(let bytes), .binary(let bytes): bytes.count
        }
    }
}
