import Contracts
import Schedules

/// Stops a schedule for a while and lets it go on, in one transaction with what that means for its due times.
enum PauseKeeper {
    /// Pauses; what was due before has run or runs, what is due from now on is skipped. A schedule that is paused already stays as it is.
    static func pause(
        _ schedule: Schedule,
        by author: SchedulePause.Author,
        reason: String?,
        now: Timestamp,
        in transaction: any SchedulerTransaction
    ) async throws -> Schedule {
        guard schedule.state == .active, schedule.pause == nil, let publication = schedule.publication else { return schedule }
        var paused = schedule
        paused.pause = SchedulePause(since: now, by: author, reason: reason)
        return try await change(schedule, to: paused, publication, by: author, now: now, in: transaction)
    }

    /// Lets it go on from the grid: nothing that was due in the pause runs. A schedule that is not paused stays as it is.
    static func resume(_ schedule: Schedule, by author: SchedulePause.Author, now: Timestamp, in transaction: any SchedulerTransaction) async throws
        -> Schedule
    {
        guard schedule.state == .active, schedule.pause != nil, let publication = schedule.publication else { return schedule }
        var resumed = schedule
        resumed.pause = nil
        resumed.resumedAt = now
        resumed.failuresInARow = 0
        return try await change(schedule, to: resumed, publication, by: author, now: now, in: transaction)
    }

    /// Counts a run that failed by the code's fault, and pauses the schedule when its manifest says that so many in a row are enough.
    static func noteFailure(of occurrence: Occurrence, in transaction: any SchedulerTransaction) async throws {
        guard let schedule = try await transaction.lockedSchedule(occurrence.scheduleID), schedule.state == .active, schedule.pause == nil,
            let publication = schedule.publication,
            // A version that is live no more, or what was begun before the last pause, says nothing about what is live now.
            occurrence.dueAt > publication.publishedAt, occurrence.dueAt > schedule.resumedAt ?? .distantPast
        else { return }
        let count = schedule.failuresInARow + 1
        try await transaction.setFailures(count, of: schedule.id)
        guard let most = publication.manifest.policy.pauseAfterFailures, count >= most else { return }
        var failing = schedule
        failing.failuresInARow = count
        let last = occurrence.reason.map { "; the last: \($0)" } ?? ""
        let reason = SchedulePause.capped("\(count) runs in a row failed by the code's fault\(last)")
        _ = try await pause(failing, by: .failures, reason: reason, now: try await transaction.moment(), in: transaction)
    }

    /// Writes the schedule, the outcomes of what it owes up to now as it was, and the event.
    private static func change(
        _ schedule: Schedule,
        to wanted: Schedule,
        _ publication: SignalPublished,
        by author: SchedulePause.Author,
        now: Timestamp,
        in transaction: any SchedulerTransaction
    ) async throws -> Schedule {
        let markets = [schedule.market].compactMap(\.self)
        let surroundings = try await ScheduleKeeper.surroundings(of: schedule, markets, now: now, in: transaction)
        let (owed, until) = Publication.end(schedule, at: now, surroundings.known, reason: "downtime")
        var changed = wanted
        let grid = try ScheduleGrid(publication.manifest.schedule)
        if case .barClose = grid {
            // Bars say themselves when they are due.
        } else {
            let sessions = schedule.market.flatMap { surroundings.known.sessions[$0] } ?? .unknown
            let due = DueTimes(grid, publication.manifest.policy, sessions: sessions)
            changed.cursor = until ?? schedule.cursor
            changed.nextDueAt = changed.pause == nil ? TickPlan.armed(due, after: changed.cursor) : PausePlan.nextLook(due, after: changed.cursor)
        }
        try await transaction.save(changed)
        let made = owed.compactMap { OccurrenceMaker.Made($0, of: schedule, at: now, nextDueAt: changed.nextRunAt) }
        _ = try await OccurrenceMaker.write(made, meeting: surroundings.open, in: transaction)
        try await say(changed, by: author, since: now, in: transaction)
        return changed
    }

    private static func say(_ schedule: Schedule, by author: SchedulePause.Author, since: Timestamp, in transaction: any SchedulerTransaction)
        async throws
    {
        let version = try await transaction.takeEventVersions([schedule.signalID: 1])[schedule.signalID] ?? 1
        let event = ScheduleChanged(
            signalID: schedule.signalID,
            scheduleID: schedule.id,
            accountID: schedule.accountID,
            state: schedule.pause == nil ? .active : .paused,
            by: ScheduleChanged.Author(rawValue: author.rawValue) ?? .owner,
            reason: schedule.pause?.reason,
            since: since,
            nextDueAt: schedule.nextRunAt
        )
        try await transaction.say([(event: event, subjectVersion: version)])
    }
}
