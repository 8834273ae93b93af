/// Where a job is in its life; terminal states never change.
public enum JobState: String, Sendable, Hashable, Codable, CaseIterable {
    /// Waiting to be claimed.
    case pending
    /// Claimed by a worker.
    case running
    /// Ended well.
    case completed
    /// Ended badly for good.
    case failed
    /// Called off.
    case cancelled

    /// Whether nothing can change any more.
    public var isTerminal: Bool {
        switch self {
        case .pending, .running: false
        case .completed, .failed, .cancelled: true
        }
    }
}

/// How a job ended for good.
public enum JobOutcome: String, Sendable, Hashable, Codable, CaseIterable {
    /// With a result.
    case completed
    /// With a failure kind.
    case failed
    /// Called off before it ended by itself.
    case cancelled
}
