import Contracts

/// Applies what signals says of a signal to its schedule, in one transaction.
enum ScheduleKeeper {
    /// A version went live; false when a later event has been applied already.
    static func publish(_ event: SignalPublished, subjectVersion: Int64, now: Timestamp, in transaction: any SchedulerTransaction) async throws
        -> Bool
    {
        let current = try await transaction.lockedSchedule(of: event.signalID)
        let change = Publication.published(
            event,
            subjectVersion: subjectVersion,
            current: current,
            hasOpenRun: try await hasOpenRun(current, in: transaction),
            now: now
        )
        return try await apply(change, to: current, now: now, in: transaction)
    }

    /// The signal was taken down at `time`; false when a later event has been applied already.
    static func unpublish(
        _ event: SignalUnpublished,
        subjectVersion: Int64,
        at time: Timestamp,
        now: Timestamp,
        in transaction: any SchedulerTransaction
    ) async throws -> Bool {
        let current = try await transaction.lockedSchedule(of: event.signalID)
        let change = Publication.unpublished(
            event,
            subjectVersion: subjectVersion,
            at: time,
            current: current,
            hasOpenRun: try await hasOpenRun(current, in: transaction),
            now: now
        )
        return try await apply(change, to: current, now: now, in: transaction)
    }

    private static func hasOpenRun(_ schedule: Schedule?, in transaction: any SchedulerTransaction) async throws -> Bool {
        guard let schedule else { return false }
        return try await !transaction.schedulesWithOpenRuns(among: [schedule.id]).isEmpty
    }

    private static func apply(_ change: Publication.Change?, to current: Schedule?, now: Timestamp, in transaction: any SchedulerTransaction)
        async throws -> Bool
    {
        guard let change else { return false }
        try await transaction.save(change.schedule)
        if let end = change.endsEraAt { try await transaction.endEra(of: change.schedule.id, at: end) }
        if let era = change.begins { try await transaction.begin(era) }
        // What was due before is run by the version that was live then.
        guard let current, let publication = current.publication else { return true }
        let owed = change.owed.map { entry in
            OccurrenceMaker.Made(
                occurrence: Occurrence(entry, of: current, at: now),
                publication: publication,
                nextDueAt: change.schedule.nextRunAt
            )
        }
        _ = try await OccurrenceMaker.write(owed, in: transaction)
        return true
    }
}
