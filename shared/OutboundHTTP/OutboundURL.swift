/// A URL of another's server, taken apart as far as it must be.
struct OutboundURL: Sendable, Equatable {
    enum Scheme: String, Sendable {
        case http, https, ws, wss

        var isWebSocket: Bool { self == .ws || self == .wss }
        var isEncrypted: Bool { self == .https || self == .wss }
    }

    let text: String
    let scheme: Scheme
    /// Host and port as they stand in the URL.
    let authority: String
    /// Path and query.
    let target: String

    init(_ text: String) throws(OutboundError) {
        guard text.utf8.count <= 8_192, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw .badRequest("a URL is plain text without blanks, of 8192 bytes at most")
        }
        guard let mark = text.firstRange(of: "://"), let scheme = Scheme(rawValue: text[..<mark.lowerBound].lowercased()) else {
            throw .badRequest("a URL begins with http://, https://, ws:// or wss://")
        }
        let rest = text[mark.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        let authority = rest[..<end]
        guard !authority.isEmpty, !authority.contains("@") else { throw .badRequest("a URL names a host, and no user") }
        var tail = rest[end...]
        if let fragment = tail.firstIndex(of: "#") { tail = tail[..<fragment] }
        self.text = text
        self.scheme = scheme
        self.authority = String(authority)
        target = tail.hasPrefix("/") ? String(tail) : "/" + tail
    }

    /// The URL under which libcurl makes a connection for a WebSocket.
    var connectionURL: String { "\(scheme.isEncrypted ? "https" : "http")://\(authority)/" }
}
