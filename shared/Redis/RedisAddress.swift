import FoundationEssentials
internal import Glibc

/// Where Redis is, and who we are there.
struct RedisAddress: Sendable {
    let host: String
    let port: Int32
    let user: String?
    let password: String?
    let database: Int

    init(_ text: String) throws(RedisError) {
        guard let url = URL(string: text), url.scheme == "redis", let host = url.host(percentEncoded: false), !host.isEmpty else { throw .badURL }
        let path = url.path(percentEncoded: false).drop { $0 == "/" }
        guard let database = path.isEmpty ? 0 : Int(path), database >= 0 else { throw .badURL }
        guard let port = Int32(exactly: url.port ?? 6379) else { throw .badURL }
        self.host = host
        self.port = port
        user = url.user(percentEncoded: false).flatMap { $0.isEmpty ? nil : $0 }
        password = url.password(percentEncoded: false).flatMap { $0.isEmpty ? nil : $0 }
        self.database = database
    }

    /// The host as digits. Blocks while the name is looked up, so it is called on a thread of its own.
    func resolvedHost() -> String? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0, let first = list else { return nil }
        defer { freeaddrinfo(list) }
        var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(first.pointee.ai_addr, first.pointee.ai_addrlen, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
