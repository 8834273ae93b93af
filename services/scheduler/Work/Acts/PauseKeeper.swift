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
        let hasOpenRun = try await !transaction.schedulesWithOpenRuns(among: [schedule.id]).isEmpty
        let (owed, _) = Publication.end(schedule, at: now, now: now, hasOpenRun: hasOpenRun, reason: "downtime")
        var paused = schedule
        paused.pause = SchedulePause(since: now, by: author, reason: reason)
        try moveOn(&paused, publication, now: now)
        try await write(owed, of: schedule, paused, publication, now: now, in: transaction)
        try await say(paused, by: author, since: now, in: transaction)
        return paused
    }

    /// Lets it go on from the grid: nothing that was due in the pause runs. A schedule that is not paused stays as it is.
    static func resume(_ schedule: Schedule, by author: SchedulePause.Author, now: Timestamp, in transaction: any SchedulerTransaction) async throws
        -> Schedule
    {
        guard schedule.state == .active, schedule.pause != nil, let publication = schedule.publication else { return schedule }
        let (skipped, _) = Publication.end(schedule, at: now, now: now, hasOpenRun: false, reason: PausePlan.reason)
        var resumed = schedule
        resumed.pause = nil
        resumed.resumedAt = now
        resumed.failuresInARow = 0
        try moveOn(&resumed, publication, now: now)
        try await write(skipped, of: schedule, resumed, publication, now: now, in: transaction)
        try await say(resumed, by: author, since: now, in: transaction)
        return resumed
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
        let reason = String("\(count) runs in a row failed by the code's fault\(last)".prefix(SchedulePause.maximumReasonLength))
        _ = try await pause(failing, by: .failures, reason: reason, now: try await transaction.moment(), in: transaction)
    }

    /// Everything up to now has its outcome by what is written in the same transaction. Bars say themselves when they are due.
    private static func moveOn(_ schedule: inout Schedule, _ publication: SignalPublished, now: Timestamp) throws {
        let grid = try ScheduleGrid(publication.manifest.schedule)
        if case .barClose = grid { return }
        schedule.cursor = max(schedule.cursor, now)
        schedule.nextDueAt = schedule.pause == nil ? grid.next(after: schedule.cursor) : PausePlan.nextLook(grid, after: schedule.cursor)
    }

    private static func write(
        _ entries: [TickPlan.Entry],
        of schedule: Schedule,
        _ changed: Schedule,
        _ publication: SignalPublished,
        now: Timestamp,
        in transaction: any SchedulerTransaction
    ) async throws {
        try await transaction.save(changed)
        let made = entries.map { entry in
            OccurrenceMaker.Made(occurrence: Occurrence(entry, of: schedule, at: now), publication: publication, nextDueAt: changed.nextRunAt)
        }
        _ = try await OccurrenceMaker.write(made, in: transaction)
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
