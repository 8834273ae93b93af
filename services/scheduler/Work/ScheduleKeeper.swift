import Contracts
import Schedules

/// Applies what signals says of a signal to its schedule, in one transaction.
enum ScheduleKeeper {
    /// A version went live; false when a later event has been applied already.
    static func publish(_ event: SignalPublished, subjectVersion: Int64, now: Timestamp, in transaction: any SchedulerTransaction) async throws
        -> Bool
    {
        let current = try await transaction.lockedSchedule(of: event.signalID)
        let markets = [DueTimes.market(of: event.manifest.schedule, event.manifest.policy), current?.market].compactMap(\.self)
        let surroundings = try await surroundings(of: current, markets, now: now, in: transaction)
        let change = Publication.published(
            event,
            subjectVersion: subjectVersion,
            current: current,
            surroundings.known
        )
        return try await apply(change, to: current, meeting: surroundings.open, now: now, in: transaction)
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
        let surroundings = try await surroundings(of: current, [current?.market].compactMap(\.self), now: now, in: transaction)
        let change = Publication.unpublished(
            event,
            subjectVersion: subjectVersion,
            at: time,
            current: current,
            surroundings.known
        )
        return try await apply(change, to: current, meeting: surroundings.open, now: now, in: transaction)
    }

    static func surroundings(
        of schedule: Schedule?,
        _ markets: [String],
        now: Timestamp,
        in transaction: any SchedulerTransaction
    ) async throws -> (known: Publication.Surroundings, open: [ScheduleID: [OpenRun]]) {
        let open = try await transaction.openRuns(of: [schedule].compactMap(\.self))
        let sessions = markets.isEmpty ? [:] : try await transaction.heldSessions(of: Set(markets))
        let runs = schedule.flatMap { open[$0.id] } ?? []
        return (Publication.Surroundings(open: OpenRuns(runs), sessions: sessions, now: now), open)
    }

    private static func apply(
        _ change: Publication.Change?,
        to current: Schedule?,
        meeting open: [ScheduleID: [OpenRun]],
        now: Timestamp,
        in transaction: any SchedulerTransaction
    ) async throws -> Bool {
        guard let change else { return false }
        try await transaction.save(change.schedule)
        if let end = change.endsEraAt { try await transaction.endEra(of: change.schedule.id, at: end) }
        if let era = change.begins { try await transaction.begin(era) }
        // What was due before is run by the version that was live then.
        guard let current else { return true }
        let owed = change.owed.compactMap { OccurrenceMaker.Made($0, of: current, at: now, nextDueAt: change.schedule.nextRunAt) }
        _ = try await OccurrenceMaker.write(owed, meeting: open, in: transaction)
        return true
    }
}
