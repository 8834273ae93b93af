/// What became of a due time is known.
public struct OccurrenceSettled: EventBody, Hashable {
    /// `scheduler.occurrence.settled.v1`.
    public static let eventType = "scheduler.occurrence.settled.v1"
    /// The signal.
    public let signalID: SignalID
    /// Its schedule.
    public let scheduleID: ScheduleID
    /// The due time's row.
    public let occurrenceID: OccurrenceID
    /// The due time; of a row that stands for many the first.
    public let dueAt: Timestamp
    /// What became of it.
    public let outcome: OccurrenceOutcome
    /// Why, when it was missed, skipped or failed: `overlap`, `calendar`, `no_bar`, `paused` or words.
    public let reason: String?
    /// The next due time; nil when it is not known (bar close) or there is none.
    public let nextDueAt: Timestamp?
    /// The last due time of a row that stands for many; nil for one due time.
    public let rangeTo: Timestamp?
    /// How many due times such a row stands for; nil for one.
    public let dueCount: Int?

    /// The signal.
    public var subject: String { signalID.description }

    /// All fields.
    public init(
        signalID: SignalID,
        scheduleID: ScheduleID,
        occurrenceID: OccurrenceID,
        dueAt: Timestamp,
        outcome: OccurrenceOutcome,
        reason: String? = nil,
        nextDueAt: Timestamp? = nil,
        rangeTo: Timestamp? = nil,
        dueCount: Int? = nil
    ) {
        self.signalID = signalID
        self.scheduleID = scheduleID
        self.occurrenceID = occurrenceID
        self.dueAt = dueAt
        self.outcome = outcome
        self.reason = reason
        self.nextDueAt = nextDueAt
        self.rangeTo = rangeTo
        self.dueCount = dueCount
    }
}
