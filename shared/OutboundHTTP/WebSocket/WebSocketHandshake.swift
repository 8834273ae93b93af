internal import Cryptography

/// What is said before the first frame: the request for a WebSocket, and whether the answer agrees. No I/O.
struct WebSocketHandshake {
    /// What the answer is worth.
    enum Outcome: Equatable {
        case agreed
        /// The server wants no WebSocket; what it said, without the markup around it.
        case refused(status: Int, text: String, retryAfterSeconds: Int?)
        case malformed(String)
    }

    static let maximumHeadBytes = 16 << 10

    private let key: String

    init(key: String = Self.randomKey()) { self.key = key }

    private static func randomKey() -> String { base64((0..<16).map { _ in .random(in: .min ... .max) }) }

    func request(_ url: OutboundURL, headers: [(name: String, value: String)], userAgent: String) -> [UInt8] {
        var text = "GET \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        text += "Sec-WebSocket-Key: \(key)\r\nSec-WebSocket-Version: 13\r\nUser-Agent: \(userAgent)\r\n"
        for field in headers { text += "\(field.name): \(field.value)\r\n" }
        return Array((text + "\r\n").utf8)
    }

    /// Judges the head of the answer (without its empty line), and of a refusal what came of the body.
    func judge(head: ArraySlice<UInt8>, body: ArraySlice<UInt8>) -> Outcome {
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let words = (lines.first ?? "").split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { return .malformed("it does not speak HTTP/1.1") }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return .malformed("a header without a colon") }
            fields[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        guard status == 101 else {
            let text = String(decoding: body.prefix(200), as: UTF8.self).filter { !$0.isNewline }
            return .refused(status: status, text: text, retryAfterSeconds: fields["retry-after"].flatMap { Int($0) })
        }
        guard fields["upgrade"]?.lowercased() == "websocket", fields["connection"]?.lowercased().contains("upgrade") == true else {
            return .malformed("it agreed to something else than a WebSocket")
        }
        guard fields["sec-websocket-accept"] == Self.accept(key) else { return .malformed("it agreed with somebody else's key") }
        guard fields["sec-websocket-extensions"] == nil else { return .malformed("it wants extensions that nobody asked for") }
        return .agreed
    }

    /// The key's answer.
    static func accept(_ key: String) -> String { base64(SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))) }

    private static func base64(_ bytes: [UInt8]) -> String {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let bits = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            for place in 0..<4 { text.append(place <= part.count ? letters[bits >> (18 - 6 * place) & 63] : 0x3D) }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
