import Glibc

/// Whether an address belongs to the public internet, and not to this machine, its network or its cloud.
enum PublicAddress {
    /// The blocks of IPv4 that no package index is in, each with the length of its prefix.
    private static let closed: [(base: UInt32, bits: UInt32)] = [
        (0x0000_0000, 8), (0x0A00_0000, 8), (0x6440_0000, 10), (0x7F00_0000, 8), (0xA9FE_0000, 16), (0xAC10_0000, 12), (0xC000_0000, 24),
        (0xC0A8_0000, 16), (0xC612_0000, 15), (0xE000_0000, 4), (0xF000_0000, 4),
    ]

    /// Whether it may be connected to on a stranger's behalf; false for what is no address.
    static func isPublic(_ text: String) -> Bool {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            let address = UInt32(bigEndian: four.s_addr)
            return !closed.contains { address >> (32 - $0.bits) == $0.base >> (32 - $0.bits) }
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return false }
        let bytes = withUnsafeBytes(of: six) { Array($0) }
        // Of the addresses in use only 2000::/3 is routed; in it Teredo and 6to4 hold addresses of IPv4, which could be anybody's.
        if bytes[0] & 0xE0 != 0x20 { return false }
        return !(bytes[0] == 0x20 && bytes[1] == 0x02) && !(bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] == 0 && bytes[3] == 0)
    }
}
