import Contracts

/// A backfill as the API shows it.
struct BackfillAnswer: Encodable, Sendable {
    let backfillID: BackfillID
    let scheduleID: ScheduleID
    let versionID: SignalVersionID
    let state: String
    /// The first due time.
    let from: Timestamp
    /// The last due time.
    let to: Timestamp
    let overlap: Backfill.Overlap
    let dueCount: Int
    let completed: Int
    let failed: Int
    let cancelled: Int
    /// In whole percent.
    let progress: Int
    let createdAt: Timestamp
    let endedAt: Timestamp?

    init(_ backfill: Backfill) {
        backfillID = backfill.id
        scheduleID = backfill.scheduleID
        versionID = backfill.publication.versionID
        state = backfill.state.rawValue
        from = backfill.from
        to = backfill.to
        overlap = backfill.overlap
        dueCount = backfill.dueCount
        completed = backfill.completed
        failed = backfill.failed
        cancelled = backfill.cancelled
        progress = (backfill.completed + backfill.failed + backfill.cancelled) * 100 / max(1, backfill.dueCount)
        createdAt = backfill.createdAt
        endedAt = backfill.endedAt
    }
}

/// A run of a backfill as the API shows it.
struct BackfillRunAnswer: Encodable, Sendable {
    let dueAt: Timestamp
    let jobID: JobID
    let state: String

    init(_ run: BackfillRun) {
        dueAt = run.dueAt
        jobID = run.jobID
        state = run.state.rawValue
    }
}

/// How reliably a schedule ran, by UTC day.
struct CadenceLedgerAnswer: Encodable, Sendable {
    struct Day: Encodable, Sendable {
        let day: CivilDate
        /// Whether it is over and counted; what changes about it later raises its version.
        let settled: Bool
        let version: Int
        let counts: CadenceCounts
    }

    let scheduleID: ScheduleID
    let signalID: SignalID
    let from: CivilDate
    let to: CivilDate
    let total: CadenceCounts
    /// Without those on which nothing was due.
    let days: [Day]

    init(_ schedule: Schedule, from: CivilDate, to: CivilDate, days: [CadenceDay]) {
        scheduleID = schedule.id
        signalID = schedule.signalID
        self.from = from
        self.to = to
        total = days.reduce(into: CadenceCounts()) { $0 += $1.counts }
        self.days = days.map { Day(day: $0.day, settled: $0.version > 0, version: $0.version, counts: $0.counts) }
    }
}
