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

    /// What is known besides the schedule's row.
    struct Surroundings: Sendable {
        /// The runs of the schedule that have not ended.
        var open = OpenRuns()
        /// What is known of the market of what is published, and of that of what was.
        var sessions: [String: MarketSessions] = [:]
        let now: Timestamp
    }

    /// A version went live. Nil when a later event has been applied already.
    static func published(_ event: SignalPublished, subjectVersion: Int64, current: Schedule?, _ surroundings: Surroundings) -> Change? {
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
            cursor: from,
            // A pause outlives a republication, one that can never run as well, and the failures of the version that was live before count no more.
            pause: current?.pause,
            resumedAt: current?.resumedAt
        )
        let (owed, endsEraAt) = end(current, at: event.publishedAt, surroundings, reason: "republished")
        var begins: ScheduleEra?
        do throws(ScheduleError) {
            let (cadence, policy) = (event.manifest.schedule, event.manifest.policy)
            let grid = try ScheduleGrid(cadence)
            if let fault = SchedulePolicyRules.fault(in: policy, of: cadence, deadlineSeconds: event.manifest.deadlineSeconds) {
                throw ScheduleError.badPolicy(key: fault.key, message: fault.message)
            }
            let sessions = schedule.market.flatMap { surroundings.sessions[$0] } ?? .unknown
            let due = DueTimes(grid, policy, sessions: sessions)
            schedule.nextDueAt = schedule.pause == nil ? TickPlan.armed(due, after: from) : PausePlan.nextLook(due, after: from)
            // That of bars begins when marketdata has heard that somebody waits for them: before that, no close is told to us.
            if case .barClose = grid {
                begins = nil
            } else {
                begins = ScheduleEra(scheduleID: schedule.id, cadence: cadence, policy: policy, from: from, to: nil)
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
        _ surroundings: Surroundings
    ) -> Change? {
        if let current, current.subjectVersion >= subjectVersion { return nil }
        let (owed, endsEraAt) = end(current, at: time, surroundings, reason: "unpublished")
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
    static func end(_ current: Schedule?, at time: Timestamp, _ surroundings: Surroundings, reason: String)
        -> (owed: [TickPlan.Entry], endsEraAt: Timestamp?)
    {
        guard let current, current.state == .active, let manifest = current.publication?.manifest, let grid = try? ScheduleGrid(manifest.schedule)
        else {
            return ([], nil)
        }
        let sessions = current.market.flatMap { surroundings.sessions[$0] } ?? .unknown
        let look = TickPlan.Look(
            due: DueTimes(grid, manifest.policy, sessions: sessions),
            policy: manifest.policy,
            schedule: current.id.description,
            cursor: current.cursor,
            now: surroundings.now,
            open: surroundings.open
        )
        // What is not due yet is owed by nobody, even if the clock of signals is ahead. Of a market that is not known nothing is owed either.
        let until = max(min(time, surroundings.now, look.due.knownThrough), current.cursor)
        if current.pause != nil { return (PausePlan.skipped(look.due, after: current.cursor, through: until), until) }
        return (TickPlan.owed(look, through: until, reason: reason), until)
    }
}
