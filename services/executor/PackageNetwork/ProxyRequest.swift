import Contracts

/// A host and a port, as a URL or a request names them.
struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// The host in small letters, an address of IPv6 without its brackets.
    var host: String
    var port: Int

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// A host and a port.
    init(host: String, port: Int) {
        self.host = host.lowercased()
        self.port = port
    }

    /// `host`, `host:port` or `[address]:port`; nil for anything else.
    init?(authority: some StringProtocol, defaultPort: Int?) {
        var host = authority[...]
        var port = defaultPort
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return nil }
            let rest = host[host.index(after: end)...]
            host = host[host.index(after: host.startIndex)..<end]
            if !rest.isEmpty {
                guard rest.first == ":" else { return nil }
                port = Self.number(rest.dropFirst())
            }
        } else if let colon = host.firstIndex(of: ":") {
            port = Self.number(host[host.index(after: colon)...])
            host = host[..<colon]
        }
        let belongs: (Character) -> Bool = { $0.isASCII && ($0.isLetter || $0.isNumber || ".-_:".contains($0)) }
        guard let port, (1...65_535).contains(port), (1...253).contains(host.utf8.count), host.allSatisfy(belongs) else { return nil }
        self.init(host: String(host), port: port)
    }

    private static func number(_ text: some StringProtocol) -> Int? {
        (1...5).contains(text.utf8.count) && text.allSatisfy { $0.isASCII && $0.isNumber } ? Int(text) : nil
    }
}

/// The scheme, the place and the rest of a URL of a package index or a proxy.
struct IndexURL: Sendable, Hashable {
    var isEncrypted: Bool
    /// `user:password`, as it stands there.
    var credentials: String?
    var endpoint: Endpoint
    /// From the first slash on; at least a slash.
    var target: String

    /// Nil for what is neither http nor https.
    init?(_ text: String) {
        guard let mark = text.firstRange(of: "://"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        let scheme = text[..<mark.lowerBound].lowercased()
        guard scheme == "http" || scheme == "https" else { return nil }
        let rest = text[mark.upperBound...]
        let end = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        var authority = rest[..<end]
        if let at = authority.lastIndex(of: "@") {
            credentials = String(authority[..<at])
            authority = authority[authority.index(after: at)...]
        }
        isEncrypted = scheme == "https"
        guard let endpoint = Endpoint(authority: authority, defaultPort: isEncrypted ? 443 : 80) else { return nil }
        self.endpoint = endpoint
        target = rest[end...].hasPrefix("/") ? String(rest[end...]) : "/" + rest[end...]
    }
}

/// What a program in the build sandbox asks of the proxy: a tunnel, or one document without encryption.
enum ProxyRequest: Sendable, Hashable {
    /// `CONNECT host:port`
    case tunnel(Endpoint)
    /// `GET http://host/path`, with the head's lines that go on.
    case document(Endpoint, method: String, target: String, lines: [String])

    static let maximumHeadBytes = 16 << 10

    /// Reads a head up to its blank line; nil for what is none of both.
    init?(head: some Collection<UInt8>) {
        guard let text = String(validating: head, as: UTF8.self) else { return nil }
        var lines = text.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        while lines.last == "" { lines.removeLast() }
        guard !lines.isEmpty, lines.allSatisfy({ $0.utf8.allSatisfy { $0 >= 0x20 || $0 == 0x09 } }) else { return nil }
        let words = lines.removeFirst().split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else { return nil }
        switch words[0] {
        case "CONNECT":
            guard let endpoint = Endpoint(authority: words[1], defaultPort: nil) else { return nil }
            self = .tunnel(endpoint)
        case "GET", "HEAD":
            guard let url = IndexURL(String(words[1])), !url.isEncrypted, url.credentials == nil else { return nil }
            // One document a connection: what follows on it could be meant for another host.
            let kept = lines.filter { line in
                let name = line.prefix { $0 != ":" }.lowercased()
                return !name.hasPrefix("proxy-")
                    && !["connection", "keep-alive", "te", "upgrade", "transfer-encoding", "content-length"].contains(name)
            }
            self = .document(url.endpoint, method: String(words[0]), target: url.target, lines: kept)
        default: return nil
        }
    }

    var endpoint: Endpoint {
        switch self {
        case .tunnel(let endpoint), .document(let endpoint, _, _, _): endpoint
        }
    }
}
