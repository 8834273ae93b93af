import Contracts

/// Where a waiting job stands, and when its turn may come.
struct QueueOutlook: Sendable, Hashable {
    /// How many jobs of its class are claimed before it, as far as was counted.
    var ahead: Int
    /// Whether there may be more.
    var isBounded: Bool
    /// How many jobs of its class run now: so many go on at once as long as there are enough.
    var running: Int
    /// How long those take, on average, in seconds.
    var averageSeconds: Double?

    /// 1 is the next.
    var position: Int { ahead + 1 }

    /// When it will probably be claimed; nil when nothing runs from which that could be told.
    func expectedStart(availableAt: Timestamp, now: Timestamp) -> Timestamp? {
        guard running > 0, let averageSeconds, averageSeconds.isFinite, averageSeconds >= 0 else { return nil }
        // One slot becomes free after a part of an average job: with n running, after 1/(n + 1) of it.
        let seconds = averageSeconds / Double(running + 1) + averageSeconds * Double(ahead) / Double(running)
        return max(availableAt, now + .milliseconds(Int64(min(seconds, 1e7) * 1_000)))
    }
}
