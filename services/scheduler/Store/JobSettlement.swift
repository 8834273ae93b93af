import Contracts

/// Tells of jobs that have just ended, in the transaction that ended them: the job's own event, if anybody hears of its kind, and what it means for its
/// due time.
enum JobSettlement {
    static func announce(_ jobs: [Job], in transaction: any SchedulerTransaction) async throws {
        let heardOf = jobs.filter { JobKindRules.of($0.kind).isHeardOf }
        try await transaction.say(heardOf.map { (SettledJob(job: $0).completed(at: $0.completedAt ?? $0.createdAt), 1) })
        var failures: [OccurrenceID: Failure] = [:]
        for job in jobs where job.state != .completed {
            guard let occurrenceID = job.occurrenceID else { continue }
            let reason = job.state == .cancelled ? "cancelled" : job.failureKind?.rawValue ?? "failed"
            failures[occurrenceID] = Failure(reason: reason, isCodesFault: job.state == .failed && !(job.failureKind ?? .infra).isRetried)
        }
        try await fail(failures, in: transaction)
    }

    /// Why a due time that was fired did not end well.
    struct Failure: Sendable, Hashable {
        let reason: String
        let isCodesFault: Bool
    }

    /// Due times that were fired and did not end well, all in a few round trips. Their schedules are locked before an outcome is written: that marks a past
    /// day to be counted again, and who holds the day of another due time of the schedule may hold the schedule.
    static func fail(_ failures: [OccurrenceID: Failure], in transaction: any SchedulerTransaction) async throws {
        if failures.isEmpty { return }
        let fired = try await transaction.lockedOccurrences(failures.keys.sorted()).filter { occurrence in
            occurrence.recordedAt == nil && (occurrence.outcome == .fired || occurrence.outcome == .late)
        }
        if fired.isEmpty { return }
        let failed = fired.map { occurrence in
            var occurrence = occurrence
            occurrence.outcome = .failed
            occurrence.reason = failures[occurrence.id]?.reason
            return occurrence
        }.sorted { ($0.dueAt, $0.id) < ($1.dueAt, $1.id) }
        let versions = try await takeVersions(for: failed, in: transaction)
        try await transaction.update(failed)
        let next = try await transaction.nextDueTimes(of: Set(failed.map(\.signalID)).sorted())
        try await say(failed.map { ($0, next[$0.signalID]) }, from: versions, in: transaction)
        for occurrence in failed where failures[occurrence.id]?.isCodesFault == true {
            try await PauseKeeper.noteFailure(of: occurrence, in: transaction)
        }
    }

    /// Says what became of due times, those of one signal in the order of time.
    ///
    /// - Parameter schedules: all that these are due times of, if they are held here and have been worked off further: written along with it.
    static func announce(
        _ settled: [(occurrence: Occurrence, nextDueAt: Timestamp?)],
        advancing schedules: [Schedule] = [],
        in transaction: any SchedulerTransaction
    ) async throws {
        let occurrences = settled.map(\.occurrence)
        let versions =
            schedules.isEmpty
            ? try await takeVersions(for: occurrences, in: transaction)
            : try await transaction.advance(schedules, taking: counts(of: occurrences))
        try await say(settled, from: versions, in: transaction)
    }

    private static func takeVersions(for occurrences: [Occurrence], in transaction: any SchedulerTransaction) async throws -> [SignalID: Int64] {
        try await transaction.takeEventVersions(counts(of: occurrences))
    }

    private static func counts(of occurrences: [Occurrence]) -> [SignalID: Int] {
        Dictionary(occurrences.map { ($0.signalID, 1) }, uniquingKeysWith: +)
    }

    private static func say(
        _ settled: [(occurrence: Occurrence, nextDueAt: Timestamp?)],
        from first: [SignalID: Int64],
        in transaction: any SchedulerTransaction
    ) async throws {
        var versions = first
        let events = settled.sorted { $0.occurrence.dueAt < $1.occurrence.dueAt }.map { occurrence, nextDueAt in
            let version = versions[occurrence.signalID] ?? 1
            versions[occurrence.signalID] = version + 1
            let event = OccurrenceSettled(
                signalID: occurrence.signalID,
                scheduleID: occurrence.scheduleID,
                occurrenceID: occurrence.id,
                dueAt: occurrence.dueAt,
                outcome: occurrence.outcome,
                reason: occurrence.reason,
                nextDueAt: nextDueAt,
                rangeTo: occurrence.rangeTo,
                dueCount: occurrence.rangeTo == nil ? nil : occurrence.count
            )
            return (event: event, subjectVersion: version)
        }
        try await transaction.say(events)
    }
}
