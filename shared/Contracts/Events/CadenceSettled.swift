/// How a schedule did on a UTC day that is over. Said once a day and version: what changes about the day later is said again with a higher one.
public struct CadenceSettled: EventBody, Hashable {
    /// `scheduler.cadence.settled.v1`.
    public static let eventType = "scheduler.cadence.settled.v1"

    /// The signal.
    public let signalID: SignalID
    /// Its schedule.
    public let scheduleID: ScheduleID
    /// Whose it is.
    public let accountID: AccountID
    /// The day.
    public let day: CivilDate
    /// How often it was due; the sum of what follows.
    public let due: Int64
    /// Recorded in time.
    public let onTime: Int64
    /// Recorded, but made or recorded too late.
    public let late: Int64
    /// Nobody could run it in time.
    public let missed: Int64
    /// Left out by a rule.
    public let skipped: Int64
    /// Begun, and failed.
    public let failed: Int64
    /// Begun, and not recorded so far.
    public let unrecorded: Int64
    /// What was left out, by reason: `overlap`, `calendar`, `no_bar`, `paused` and others.
    public let skippedByReason: [SkippedDueTimes]

    /// The schedule and the day.
    public var subject: String { "\(scheduleID)/\(day)" }

    /// All fields.
    public init(
        signalID: SignalID,
        scheduleID: ScheduleID,
        accountID: AccountID,
        day: CivilDate,
        due: Int64,
        onTime: Int64,
        late: Int64,
        missed: Int64,
        skipped: Int64,
        failed: Int64,
        unrecorded: Int64,
        skippedByReason: [SkippedDueTimes]
    ) {
        self.signalID = signalID
        self.scheduleID = scheduleID
        self.accountID = accountID
        self.day = day
        self.due = due
        self.onTime = onTime
        self.late = late
        self.missed = missed
        self.skipped = skipped
        self.failed = failed
        self.unrecorded = unrecorded
        self.skippedByReason = skippedByReason
    }
}

/// Due times that were left out for the same reason.
public struct SkippedDueTimes: Sendable, Hashable, Codable {
    /// `overlap`, `calendar`, `no_bar`, `paused` or another.
    public let reason: String
    /// How many.
    public let due: Int64

    /// Both fields.
    public init(reason: String, due: Int64) {
        self.reason = reason
        self.due = due
    }
}
