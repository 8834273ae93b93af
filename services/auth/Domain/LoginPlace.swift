import Contracts
import Cryptography
import Glibc

/// An account and a network that somebody logs in to it from: known once a login from there has succeeded.
struct LoginPlace: Sendable, Hashable {
    /// How many an account has; the one that was used longest ago goes first.
    static let maximumPerAccount = 20

    /// Hashes, so that no table names anybody.
    let accountSHA256: SHA256Digest
    let networkSHA256: SHA256Digest

    /// `email` is what was typed: whether there is such an account makes no difference.
    init(email: String, address: String) {
        accountSHA256 = ThrottleSubject.login(email: email).sha256
        networkSHA256 = SHA256.digest(utf8: Self.network(of: address))
    }

    /// What counts as one address: one customer holds a whole IPv6 /64; an IPv4 address is the same in either notation.
    static func network(of address: String) -> String {
        var six = in6_addr()
        guard inet_pton(AF_INET6, address, &six) == 1 else { return address }
        let bytes = withUnsafeBytes(of: &six) { Array($0) }
        if bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]) { return bytes[12...].map(String.init).joined(separator: ".") }
        return stride(from: 0, to: 8, by: 2).map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }.joined(separator: ":")
    }
}
