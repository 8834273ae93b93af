internal import Glibc

/// The addresses whose word about a client's address is taken.
public struct TrustedProxies: Sendable, Hashable {
    private struct Network: Sendable, Hashable {
        let base: UInt32
        let bits: UInt32
    }

    private let networks: [Network]
    private let includesLocalIPv6: Bool

    /// Nobody: every client is who it connects as.
    public static let none = TrustedProxies(networks: [], includesLocalIPv6: false)

    /// Loopback and the private ranges of RFC 1918 and RFC 4193: services listen there and are reached from outside only through the gateway.
    public static let privateNetworks = TrustedProxies(
        networks: [
            Network(base: 127 << 24, bits: 8), Network(base: 10 << 24, bits: 8), Network(base: 172 << 24 | 16 << 16, bits: 12),
            Network(base: 192 << 24 | 168 << 16, bits: 16),
        ],
        includesLocalIPv6: true
    )

    /// Whether a numeric address is one of them.
    public func contains(_ address: String) -> Bool {
        if let number = Self.number(address) { return networks.contains { number >> (32 - $0.bits) == $0.base >> (32 - $0.bits) } }
        return includesLocalIPv6 && Self.isLocalIPv6(address)
    }

    /// ::1, or fc00::/7.
    private static func isLocalIPv6(_ address: String) -> Bool {
        var bytes = in6_addr()
        guard inet_pton(AF_INET6, address, &bytes) == 1 else { return false }
        return withUnsafeBytes(of: &bytes) { bytes in bytes[0] & 0xFE == 0xFC || (bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1) }
    }

    private static func number(_ address: String) -> UInt32? {
        let parts = address.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var number: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part) else { return nil }
            number = number << 8 | UInt32(byte)
        }
        return number
    }
}
