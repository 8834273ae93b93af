public import Contracts

/// How far a run is moved behind its due time, so that what shares a second does not begin in it.
public enum Jitter {
    /// Always the same for the same schedule and due time, on every replica: FNV-1a over both, spread by the finaliser of SplitMix64.
    public static func delay(schedule: String, dueAt: Timestamp, maximumSeconds: Int) -> Duration {
        guard maximumSeconds > 0 else { return .zero }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for byte in schedule.utf8 { mix(byte) }
        for shift in stride(from: 0, to: 64, by: 8) { mix(UInt8(truncatingIfNeeded: dueAt.microseconds >> Int64(shift))) }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        hash ^= hash >> 31
        return .milliseconds(Int64(hash % UInt64(maximumSeconds * 1_000 + 1)))
    }
}
