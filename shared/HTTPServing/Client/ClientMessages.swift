internal import Contracts

/// A request to another server.
public struct ClientRequest: Sendable {
    /// What is to be done.
    public var method: Method
    /// `http://host[:port]/path?query`, percent-encoded.
    public var url: String
    /// Header fields; `Host`, length and connection are written by the client.
    public var headers: Headers
    /// The body.
    public var body: [UInt8]
    /// How long all of it may take.
    public var deadline: Duration
    /// The largest answer that is taken.
    public var maximumAnswerBytes: Int

    /// A request.
    public init(
        method: Method = .get,
        url: String,
        headers: Headers = Headers(),
        body: [UInt8] = [],
        deadline: Duration = .seconds(10),
        maximumAnswerBytes: Int = 64 * 1024 * 1024
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.deadline = deadline
        self.maximumAnswerBytes = maximumAnswerBytes
    }
}

/// An answer of another server, whatever its status.
public struct ClientResponse: Sendable {
    /// The status.
    public let status: Status
    /// The header fields.
    public let headers: Headers
    /// The body.
    public let body: [UInt8]

    /// An answer, for tests of callers.
    public init(status: Status, headers: Headers = Headers(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The body as JSON; members that nobody knows are ignored, since the sender may be newer.
    public func json<T: Decodable>(_ type: T.Type = T.self) throws -> T { try WireJSON.decode(type, from: body) }

    /// Whether the status is 2xx.
    public var isSuccess: Bool { (200..<300).contains(status.code) }
}

/// The parts of a URL that a client needs.
struct ClientURL: Sendable, Hashable {
    let host: String
    let port: Int
    let target: String

    init(_ text: String) throws(HTTPClientError) {
        guard text.hasPrefix("http://"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw .badURL(String(text.prefix(100))) }
        let rest = text.dropFirst(7)
        let authorityEnd = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        var authority = rest[..<authorityEnd]
        guard !authority.contains("@") else { throw .badURL("user names in URLs are not supported") }
        var tail = rest[authorityEnd...]
        if let fragment = tail.firstIndex(of: "#") { tail = tail[..<fragment] }
        target = tail.isEmpty ? "/" : tail.hasPrefix("/") ? String(tail) : "/" + tail
        var port = 80
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = Int(authority[authority.index(after: colon)...]), (1...65535).contains(number) else {
                throw .badURL(String(text.prefix(100)))
            }
            port = number
            authority = authority[..<colon]
        }
        if authority.hasPrefix("["), authority.hasSuffix("]") { authority = authority.dropFirst().dropLast() }
        guard !authority.isEmpty else { throw .badURL(String(text.prefix(100))) }
        host = String(authority)
        self.port = port
    }

    var hostHeader: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == 80 ? name : "\(name):\(port)"
    }

    /// For messages and as the key of a pool.
    var endpoint: String { "\(host):\(port)" }
}
