/// Where a broker is and as whom to enter: `amqp://user:password@host:port/vhost`.
public struct BrokerURL: Sendable {
    /// A name or an address.
    public let host: String
    /// 5672 unless told.
    public let port: Int
    let user: String
    let password: String
    /// `/` unless told.
    public let virtualHost: String

    /// Reads a URL; throws `BrokerError.invalidURL`, whose words do not repeat the password.
    public init(_ text: String) throws(BrokerError) {
        guard text.hasPrefix("amqp://") else { throw BrokerError(.invalidURL, message: "it must begin with amqp://") }
        var rest = text.dropFirst("amqp://".count)
        var virtualHost = "/"
        if let slash = rest.firstIndex(of: "/") {
            let path = rest[rest.index(after: slash)...]
            if !path.isEmpty { virtualHost = try Self.decoded(path) }
            rest = rest[..<slash]
        }
        var user = "guest"
        var password = "guest"
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = try Self.decoded(parts[0])
            password = parts.count == 2 ? try Self.decoded(parts[1]) : ""
            rest = rest[rest.index(after: at)...]
        }
        var port = 5672
        if let colon = rest.lastIndex(of: ":"), !rest.hasSuffix("]") {
            guard let number = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(number) else {
                throw BrokerError(.invalidURL, message: "the port is no number from 1 to 65535")
            }
            port = number
            rest = rest[..<colon]
        }
        if rest.hasPrefix("["), rest.hasSuffix("]") { rest = rest.dropFirst().dropLast() }
        guard !rest.isEmpty else { throw BrokerError(.invalidURL, message: "the host is missing") }
        self.host = String(rest)
        self.port = port
        self.user = user
        self.password = password
        self.virtualHost = virtualHost
    }

    private static func decoded(_ text: Substring) throws(BrokerError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst(), let low = rest.popFirst(),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
            else { throw BrokerError(.invalidURL, message: "a percent sign is not followed by two hex digits") }
            bytes.append(value)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !decoded.utf8.contains(0) else {
            throw BrokerError(.invalidURL, message: "it is not text")
        }
        return decoded
    }
}
