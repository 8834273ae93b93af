import Contracts

/// Why a schedule does not run for the time being. Its grid goes on: what is due in a pause is skipped and counted, and never caught up.
struct SchedulePause: Sendable, Hashable {
    /// Who paused it.
    enum Author: String, Sendable, Hashable {
        case owner, administrator
        /// So many runs in a row failed by the code's fault.
        case failures
    }

    let since: Timestamp
    let by: Author
    let reason: String?

    /// Characters that a reason has at most.
    static let maximumReasonLength = 500
}

/// Runs that failed by the code's fault since the last one that was recorded.
struct FailureStreak: Sendable, Hashable {
    var count = 0
    /// Runs of due times up to here count no more: the pause that they led to was lifted.
    var since: Timestamp?
}
