import Contracts

/// What a signal's events make of its schedule, whatever order they come in.
enum Publication {
    /// The changes that an event brings.
    struct Change: Sendable, Hashable {
        let schedule: Schedule
        /// Lost due times of the grid that ends.
        let lost: [TickPlan.Entry]
        /// Where the ended grid's era stops; nil if none was running.
        let endsEraAt: Timestamp?
        /// The era that begins; nil if none does.
        let begins: ScheduleEra?
    }

    /// A version went live. Nil when a later event has been applied already.
    static func published(_ event: SignalPublished, subjectVersion: Int64, current: Schedule?, now: Timestamp) -> Change? {
        if let current, current.subjectVersion >= subjectVersion { return nil }
        // Never before what has its outcome already: a due time must not get a second one.
        let from = max(current?.cursor ?? event.publishedAt, event.publishedAt)
        var schedule = Schedule(
            id: current?.id ?? .make(),
            signalID: event.signalID,
            accountID: event.accountID,
            state: .active,
            subjectVersion: subjectVersion,
            publication: event,
            cursor: from
        )
        let (lost, endsEraAt) = end(current, at: event.publishedAt)
        var begins: ScheduleEra?
        do {
            let grid = try ScheduleGrid(event.manifest.schedule)
            schedule.nextDueAt = grid.next(after: from)
            begins = ScheduleEra(scheduleID: schedule.id, cadence: event.manifest.schedule, from: from, to: nil)
        } catch {
            schedule.state = .invalid
            schedule.invalidReason = error.description
        }
        return Change(schedule: schedule, lost: lost, endsEraAt: endsEraAt, begins: begins)
    }

    /// The signal was taken down. Nil when a later event has been applied already.
    static func unpublished(_ event: SignalUnpublished, subjectVersion: Int64, current: Schedule?, now: Timestamp) -> Change? {
        if let current, current.subjectVersion >= subjectVersion { return nil }
        let (lost, endsEraAt) = end(current, at: now)
        let schedule = Schedule(
            id: current?.id ?? .make(),
            signalID: event.signalID,
            accountID: event.accountID,
            state: .unpublished,
            subjectVersion: subjectVersion,
            publication: current?.publication,
            cursor: max(current?.cursor ?? now, now)
        )
        return Change(schedule: schedule, lost: lost, endsEraAt: endsEraAt, begins: nil)
    }

    /// Gives what the running grid still owes the outcome `missed`.
    private static func end(_ current: Schedule?, at time: Timestamp) -> (lost: [TickPlan.Entry], endsEraAt: Timestamp?) {
        guard let current, current.state == .active, let cadence = current.publication?.manifest.schedule, let grid = try? ScheduleGrid(cadence)
        else {
            return ([], nil)
        }
        let until = max(time, current.cursor)
        return (TickPlan.lost(grid, after: current.cursor, before: until + .microseconds(1), reason: "republished"), until)
    }
}
