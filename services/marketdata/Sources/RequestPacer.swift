import ServiceRuntime

/// Lets so many through in a second, evenly, in the order in which they come.
struct RequestPacer: Sendable {
    private let intervalNanoseconds: UInt64
    private var nextAt: UInt64 = 0

    init(perSecond: Int) { intervalNanoseconds = 1_000_000_000 / UInt64(perSecond) }

    /// Takes the next place; how long to wait for it.
    mutating func reserve(now: UInt64) -> Duration {
        let at = max(now, nextAt)
        nextAt = at + intervalNanoseconds
        return .nanoseconds(Int64(at - now))
    }
}
