import Contracts

/// Applies what signals says of a signal to its schedule, in one transaction.
enum ScheduleKeeper {
    /// A version went live; false when a later event has been applied already.
    static func publish(_ event: SignalPublished, subjectVersion: Int64, now: Timestamp, in transaction: any SchedulerTransaction) async throws
        -> Bool
    {
        let current = try await transaction.lockedSchedule(of: event.signalID)
        return try await apply(Publication.published(event, subjectVersion: subjectVersion, current: current, now: now), now: now, in: transaction)
    }

    /// The signal was taken down; false when a later event has been applied already.
    static func unpublish(_ event: SignalUnpublished, subjectVersion: Int64, now: Timestamp, in transaction: any SchedulerTransaction) async throws
        -> Bool
    {
        let current = try await transaction.lockedSchedule(of: event.signalID)
        return try await apply(Publication.unpublished(event, subjectVersion: subjectVersion, current: current, now: now), now: now, in: transaction)
    }

    private static func apply(_ change: Publication.Change?, now: Timestamp, in transaction: any SchedulerTransaction) async throws -> Bool {
        guard let change else { return false }
        try await transaction.save(change.schedule)
        if let end = change.endsEraAt { try await transaction.endEra(of: change.schedule.id, at: end) }
        if let era = change.begins { try await transaction.begin(era) }
        let lost = change.lost.map { Occurrence($0, of: change.schedule, at: now) }
        let added = try await transaction.add(lost)
        let settled = lost.filter { added.contains($0.id) }.map { ($0, change.schedule.nextDueAt) }
        try await JobSettlement.announce(settled, in: transaction)
        return true
    }
}
