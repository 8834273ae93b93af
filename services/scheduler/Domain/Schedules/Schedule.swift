import Contracts
import Schedules

/// When a published signal runs.
struct Schedule: Sendable, Hashable {
    /// Whether it runs.
    enum State: String, Sendable, Hashable {
        case active
        /// The signal was taken down; the row stays, so that an older event cannot bring it back.
        case unpublished
        /// What was published cannot be armed.
        case invalid
    }

    let id: ScheduleID
    let signalID: SignalID
    let accountID: AccountID
    var state: State
    /// The version of the signal's last event that was applied.
    var subjectVersion: Int64
    /// What was published last; nil only when the first event heard was its end.
    var publication: SignalPublished?
    var invalidReason: String?
    /// Every due time up to here has its outcome.
    var cursor: Timestamp
    /// Nil for bar closes and for schedules that do not run.
    var nextDueAt: Timestamp?
    /// While it is set nothing runs, and `nextDueAt` is when the skipped due times are next written down.
    var pause: SchedulePause?
    /// When the last pause was lifted: what was due before it runs no more.
    var resumedAt: Timestamp?
    /// Runs that failed by the code's fault since the last one that was recorded.
    var failuresInARow = 0

    /// When it runs next, as far as that is known.
    var nextRunAt: Timestamp? { pause == nil ? nextDueAt : nil }
}

extension Schedule {
    /// The instrument whose market it follows or keeps to; nil for most, and for what does not run.
    var market: String? {
        guard state == .active, let manifest = publication?.manifest else { return nil }
        return DueTimes.market(of: manifest.schedule, manifest.policy)
    }
}

/// From when to when a grid was in force: what an audit counts against.
struct ScheduleEra: Sendable, Hashable {
    let scheduleID: ScheduleID
    let cadence: Cadence
    var policy = SchedulePolicy()
    /// Due times after this belong to the era.
    let from: Timestamp
    /// Due times up to this; nil while it lasts.
    let to: Timestamp?
}

/// A due time with its outcome.
struct Occurrence: Sendable, Hashable {
    let id: OccurrenceID
    let scheduleID: ScheduleID
    let signalID: SignalID
    let accountID: AccountID
    let dueAt: Timestamp
    var rangeTo: Timestamp?
    var count = 1
    /// Nothing known later may be read by the run; fixed here and never moved by a retry.
    var asOf: Timestamp
    /// The instrument of the bar that set it off; nil for grids of time.
    var barInstrument: String?
    /// The end of that bar.
    var barEnd: Timestamp?
    var outcome: OccurrenceOutcome
    var reason: String?
    var jobID: JobID?
    /// When signals recorded the run's rows: only then does it count.
    var recordedAt: Timestamp?
    let madeAt: Timestamp
    /// Signals recorded it, but after its deadline.
    var isRecordedLate = false
}
