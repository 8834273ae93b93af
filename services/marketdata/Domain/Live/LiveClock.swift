/// What time it is for a feed: the wall clock while it runs steadily, the monotonic one while somebody sets the wall clock.
///
/// A wall clock that was set may be right now or may have been right before; nothing is closed or reopened for it. Time goes on steadily until the wall
/// clock has kept its new course for some seconds; then it is believed, and the jump is told: time that was skipped was not observed, so it is a hole.
struct LiveClock: Sendable, Equatable {
    /// The clock was set, or the machine slept: nobody watched from the one to the other. The other is earlier if it was set back.
    struct Jump: Sendable, Equatable {
        var from: Int64
        var to: Int64
    }

    /// Differences up to this are the clock being steered, not set.
    static let toleranceMicroseconds: Int64 = 1_000_000
    /// For so long the wall clock must keep its new course before it is believed.
    static let patienceMicroseconds: Int64 = 5_000_000

    /// Microseconds since 1970; never falls but in a jump.
    private(set) var present: Int64
    private var monotonicNanoseconds: UInt64
    /// For how long the wall clock has said something else, and by how much when it began.
    private var disagreement: (microseconds: Int64, difference: Int64)?

    init(wall: Int64, monotonicNanoseconds: UInt64) {
        present = wall
        self.monotonicNanoseconds = monotonicNanoseconds
    }

    /// Reads both clocks.
    mutating func read(wall: Int64, monotonicNanoseconds now: UInt64) -> Jump? {
        let elapsed = now > monotonicNanoseconds ? Int64(clamping: (now - monotonicNanoseconds) / 1_000) : 0
        // What is less than a microsecond is kept for the next time.
        monotonicNanoseconds = max(monotonicNanoseconds, monotonicNanoseconds &+ UInt64(elapsed) * 1_000)
        let expected = present &+ elapsed
        let difference = wall &- expected
        if abs(difference) <= Self.toleranceMicroseconds {
            disagreement = nil
            present = max(present, wall)
            return nil
        }
        present = expected
        guard let known = disagreement, abs(known.difference &- difference) <= Self.toleranceMicroseconds else {
            disagreement = (0, difference)
            return nil
        }
        disagreement = (known.microseconds + elapsed, known.difference)
        guard known.microseconds + elapsed >= Self.patienceMicroseconds else { return nil }
        disagreement = nil
        present = wall
        return Jump(from: expected, to: wall)
    }

    static func == (left: LiveClock, right: LiveClock) -> Bool {
        left.present == right.present && left.monotonicNanoseconds == right.monotonicNanoseconds
            && left.disagreement?.microseconds == right.disagreement?.microseconds && left.disagreement?.difference == right.disagreement?.difference
    }
}
