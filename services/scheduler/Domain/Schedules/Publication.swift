import Contracts
import Schedules

/// What a signal's events make of its schedule, whatever order they come in.
enum Publication {
    /// The changes that an event brings.
    struct Change: Sendable, Hashable {
        let schedule: Schedule
        /// The due times that the grid that ends still owes, with their outcomes.
        let owed: [TickPlan.Entry]
        /// Where the ended grid's era stops; nil if none was running.
        let endsEraAt: Timestamp?
        /// The era that begins; nil if none does.
        let begins: ScheduleEra?
    }

    /// A version went live. Nil when a later event has been applied already.
    static func published(_ event: SignalPublished, subjectVersion: Int64, current: Schedule?, hasOpenRun: Bool, now: Timestamp) -> Change? {
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
        let (owed, endsEraAt) = end(current, at: event.publishedAt, now: now, hasOpenRun: hasOpenRun, reason: "republished")
        var begins: ScheduleEra?
        do {
            let grid = try ScheduleGrid(event.manifest.schedule)
            // A pause outlives a republication, and the failures of the version that was live before count no more.
            schedule.pause = current?.pause
            schedule.resumedAt = current?.resumedAt
            schedule.nextDueAt = schedule.pause == nil ? grid.next(after: from) : PausePlan.nextLook(grid, after: from)
            // That of bars begins when marketdata has heard that somebody waits for them: before that, no close is told to us.
            if case .barClose = grid {
                begins = nil
            } else {
                begins = ScheduleEra(scheduleID: schedule.id, cadence: event.manifest.schedule, from: from, to: nil)
            }
        } catch {
            schedule.state = .invalid
            schedule.invalidReason = error.description
        }
        return Change(schedule: schedule, owed: owed, endsEraAt: endsEraAt, begins: begins)
    }

    /// The signal was taken down at `time`. Nil when a later event has been applied already.
    static func unpublished(
        _ event: SignalUnpublished,
        subjectVersion: Int64,
        at time: Timestamp,
        current: Schedule?,
        hasOpenRun: Bool,
        now: Timestamp
    ) -> Change? {
        if let current, current.subjectVersion >= subjectVersion { return nil }
        let (owed, endsEraAt) = end(current, at: time, now: now, hasOpenRun: hasOpenRun, reason: "unpublished")
        let schedule = Schedule(
            id: current?.id ?? .make(),
            signalID: event.signalID,
            accountID: event.accountID,
            state: .unpublished,
            subjectVersion: subjectVersion,
            publication: current?.publication,
            cursor: endsEraAt ?? max(current?.cursor ?? time, time),
            pause: current?.pause,
            resumedAt: current?.resumedAt
        )
        return Change(schedule: schedule, owed: owed, endsEraAt: endsEraAt, begins: nil)
    }

    /// What the running grid still owes up to `time`: what is young enough still runs, as it would have, had the grid been looked at in between.
    static func end(_ current: Schedule?, at time: Timestamp, now: Timestamp, hasOpenRun: Bool, reason: String)
        -> (owed: [TickPlan.Entry], endsEraAt: Timestamp?)
    {
        guard let current, current.state == .active, let cadence = current.publication?.manifest.schedule, let grid = try? ScheduleGrid(cadence)
        else {
            return ([], nil)
        }
        // What is not due yet is owed by nobody, even if the clock of signals is ahead.
        let until = max(min(time, now), current.cursor)
        if current.pause != nil { return (PausePlan.skipped(grid, after: current.cursor, through: until), until) }
        return (TickPlan.owed(grid, after: current.cursor, through: until, now: now, hasOpenRun: hasOpenRun, reason: reason), until)
    }
}
