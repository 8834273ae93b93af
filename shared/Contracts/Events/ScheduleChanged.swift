/// A schedule was paused or goes on.
public struct ScheduleChanged: EventBody, Hashable {
    /// `scheduler.schedule.changed.v1`.
    public static let eventType = "scheduler.schedule.changed.v1"

    /// Whether it runs.
    public enum State: String, Sendable, Hashable, Codable {
        case active, paused
    }

    /// Who paused it, or let it go on.
    public enum Author: String, Sendable, Hashable, Codable {
        case owner, administrator
        /// So many runs in a row failed by the code's fault.
        case failures
    }

    /// The signal.
    public let signalID: SignalID
    /// Its schedule.
    public let scheduleID: ScheduleID
    /// Whose it is.
    public let accountID: AccountID
    /// What it is from now on.
    public let state: State
    /// Who made it so.
    public let by: Author
    /// Why it was paused; nil when nobody said, and when it goes on.
    public let reason: String?
    /// Since when.
    public let since: Timestamp
    /// When it is due next; nil in a pause, and when bars say when.
    public let nextDueAt: Timestamp?

    /// The signal.
    public var subject: String { signalID.description }

    /// All fields.
    public init(
        signalID: SignalID,
        scheduleID: ScheduleID,
        accountID: AccountID,
        state: State,
        by: Author,
        reason: String? = nil,
        since: Timestamp,
        nextDueAt: Timestamp? = nil
    ) {
        self.signalID = signalID
        self.scheduleID = scheduleID
        self.accountID = accountID
        self.state = state
        self.by = by
        self.reason = reason
        self.since = since
        self.nextDueAt = nextDueAt
    }
}
