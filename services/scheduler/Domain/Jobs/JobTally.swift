import Contracts

/// How far several jobs are that belong together.
struct JobTally: Sendable, Hashable {
    /// How many are in each state; what waits for others is counted apart from what waits for a worker.
    private(set) var counts: [JobState: Int] = [:]
    private(set) var blocked = 0
    private(set) var total = 0
    private var progressSum = 0
    private(set) var startedAt: Timestamp?
    private(set) var completedAt: Timestamp?

    init() {}

    mutating func add(_ state: JobState, isBlocked: Bool, count: Int, progress: Int, startedAt: Timestamp?, completedAt: Timestamp?) {
        if isBlocked && state == .pending { blocked += count } else { counts[state, default: 0] += count }
        total += count
        progressSum += state.isTerminal ? 100 * count : progress
        if let startedAt { self.startedAt = min(self.startedAt ?? startedAt, startedAt) }
        if let completedAt { self.completedAt = max(self.completedAt ?? completedAt, completedAt) }
    }

    func count(_ state: JobState) -> Int { counts[state] ?? 0 }

    /// How many have not ended.
    var open: Int { count(.pending) + blocked + count(.running) }

    /// In percent: what has ended counts in full, however it ended.
    var progress: Int { total == 0 ? 0 : open > 0 ? min(99, progressSum / total) : 100 }

    /// One state for all: it runs when some have begun and not all have ended, and has failed when all have ended and not all well.
    var state: JobState {
        if open == total { return count(.running) > 0 ? .running : .pending }
        if open > 0 { return .running }
        if count(.failed) > 0 { return .failed }
        return count(.cancelled) > 0 ? .cancelled : .completed
    }
}
