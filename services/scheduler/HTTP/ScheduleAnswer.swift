import Contracts

/// A schedule as the API shows it.
struct ScheduleAnswer: Encodable, Sendable {
    let scheduleID: ScheduleID
    let signalID: SignalID
    let state: String
    let cadence: Cadence?
    let invalidReason: String?
    let nextDueAt: Timestamp?
    let versionID: SignalVersionID?

    init(_ schedule: Schedule) {
        scheduleID = schedule.id
        signalID = schedule.signalID
        state = schedule.state.rawValue
        cadence = schedule.publication?.manifest.schedule
        invalidReason = schedule.invalidReason
        nextDueAt = schedule.nextDueAt
        versionID = schedule.publication?.versionID
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
        signalState = schedule.state.rawValue
        invalidReason = schedule.invalidReason
        lastDueAt = last.map { $0.rangeTo ?? $0.dueAt }
        lastOutcome = last?.outcome
        nextDueAt = schedule.nextDueAt
    }
}
