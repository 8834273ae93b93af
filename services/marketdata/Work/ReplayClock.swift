import Contracts

/// A replay's own clock: recorded time that runs at a speed from an anchor in real time.
struct ReplayClock: Sendable {
    /// Recorded time at the anchor (microseconds since 1970).
    private(set) var recorded: Int64
    /// Monotonic nanoseconds at the anchor.
    private var anchor: UInt64
    private var speed: Double

    init(recorded: Int64, speed: Double, now: UInt64) {
        self.recorded = recorded
        self.speed = speed
        anchor = now
    }

    /// Recorded time at a moment.
    func recordedTime(at now: UInt64) -> Int64 {
        let elapsed = Double(now &- anchor) / 1_000 * speed
        return recorded + Int64(min(elapsed, 4e15))
    }

    /// How long until the clock shows a recorded time; zero if it has passed.
    func wait(until target: Int64, now: UInt64) -> Duration {
        let missing = Double(target - recordedTime(at: now)) / speed
        return missing <= 0 ? .zero : .microseconds(Int64(min(missing, 4e15)))
    }
}
