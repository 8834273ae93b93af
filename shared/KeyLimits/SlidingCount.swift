/// Counts in the window that runs and the one before, which weighs less the longer the window has run: an estimate of any stretch of that length.
///
/// The script of ``RedisRateTokens`` does the same sums; this one counts what a replica decides by itself.
struct SlidingCount: Sendable, Hashable {
    /// The window's length in nanoseconds.
    let length: UInt64
    private var window: UInt64 = 0
    private var current = 0
    private var previous = 0

    init(length: UInt64) { self.length = length }

    /// Counts `amount` more.
    mutating func add(_ amount: Int, at now: UInt64) {
        roll(to: now)
        current += amount
    }

    /// What counts at the moment.
    mutating func used(at now: UInt64) -> Double {
        roll(to: now)
        return Double(current) + Double(previous) * (1 - elapsedPart(now))
    }

    /// How many more there may be.
    mutating func left(of limit: Int, at now: UInt64) -> Int { max(0, Int((Double(limit) - used(at: now)).rounded(.down))) }

    /// Nanoseconds until the window that runs ends.
    func untilEnd(at now: UInt64) -> UInt64 { length - now % length }

    /// Nanoseconds until there may be one more, if none is counted meanwhile.
    mutating func wait(forOneOf limit: Int, at now: UInt64) -> UInt64 {
        roll(to: now)
        let spare = Double(limit - 1)
        if Double(current) <= spare {
            guard previous > 0 else { return 0 }
            let part = 1 - (spare - Double(current)) / Double(previous)
            return UInt64(max(0, part - elapsedPart(now)) * Double(length))
        }
        let part = max(0, 1 - spare / Double(current))
        return untilEnd(at: now) + UInt64(part * Double(length))
    }

    private func elapsedPart(_ now: UInt64) -> Double { Double(now % length) / Double(length) }

    private mutating func roll(to now: UInt64) {
        let index = now / length
        guard index > window else { return }
        previous = index == window + 1 ? current : 0
        current = 0
        window = index
    }
}
