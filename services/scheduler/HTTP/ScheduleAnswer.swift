import Contracts
import Schedules

/// A schedule as the API shows it.
struct ScheduleAnswer: Encodable, Sendable {
    let scheduleID: ScheduleID
    let signalID: SignalID
    let state: String
    let cadence: Cadence?
    /// Absent where all of it is the default.
    let policy: SchedulePolicy?
    /// Absent where it follows none.
    let market: MarketAnswer?
    let invalidReason: String?
    let nextDueAt: Timestamp?
    let versionID: SignalVersionID?
    let pausedAt: Timestamp?
    let pausedBy: String?
    let pauseReason: String?
    let failuresInARow: Int

    /// The market that a schedule follows or keeps to.
    struct MarketAnswer: Encodable, Sendable {
        let instrument: String
        let knownThrough: Timestamp?
        let fault: String?
    }

    init(_ schedule: Schedule, market: (sessions: MarketSessions, fault: String?)?) {
        policy = schedule.publication.map(\.manifest.policy).flatMap { $0 == SchedulePolicy() ? nil : $0 }
        self.market = schedule.market.map { instrument in
            let known = market?.sessions.knownThrough ?? .distantPast
            return MarketAnswer(instrument: instrument, knownThrough: known == .distantPast ? nil : known, fault: market?.fault)
        }
        scheduleID = schedule.id
        signalID = schedule.signalID
        state = schedule.shownState
        cadence = schedule.publication?.manifest.schedule
        invalidReason = schedule.invalidReason
        nextDueAt = schedule.nextRunAt
        versionID = schedule.publication?.versionID
        pausedAt = schedule.pause?.since
        pausedBy = schedule.pause?.by.rawValue
        pauseReason = schedule.pause?.reason
        failuresInARow = schedule.failuresInARow
    }
}

/// An occurrence as the API shows it.
struct OccurrenceAnswer: Encodable, Sendable {
    let occurrenceID: OccurrenceID
    let dueAt: Timestamp
    let rangeTo: Timestamp?
    let dueCount: Int
    let asOf: Timestamp
    let outcome: OccurrenceOutcome
    let reason: String?
    let jobID: JobID?
    let recordedAt: Timestamp?
    /// Whether it was recorded too late to count.
    let recordedLate: Bool
    let madeAt: Timestamp

    init(_ occurrence: Occurrence) {
        occurrenceID = occurrence.id
        dueAt = occurrence.dueAt
        rangeTo = occurrence.rangeTo
        dueCount = occurrence.count
        asOf = occurrence.asOf
        outcome = occurrence.outcome
        reason = occurrence.reason
        jobID = occurrence.jobID
        recordedAt = occurrence.recordedAt
        recordedLate = occurrence.isRecordedLate
        madeAt = occurrence.madeAt
    }
}

/// How a signal is getting on: what distinguishes "no news" from "did not run" and "failed".
struct CadenceAnswer: Encodable, Sendable {
    let signalState: String
    /// Why a schedule whose state is `invalid` was refused; it never runs.
    let invalidReason: String?
    let lastDueAt: Timestamp?
    let lastOutcome: OccurrenceOutcome?
    let nextDueAt: Timestamp?

    init(_ schedule: Schedule, last: Occurrence?) {
        signalState = schedule.shownState
        invalidReason = schedule.invalidReason
        lastDueAt = last.map { $0.rangeTo ?? $0.dueAt }
        lastOutcome = last?.outcome
        nextDueAt = schedule.nextRunAt
    }
}

extension Schedule {
    /// The state with `paused` as one of its words.
    var shownState: String { state == .active && pause != nil ? "paused" : state.rawValue }
}
