import Contracts
import Postgres

/// What is due soon, found by index: nothing here walks over schedules that are not.
struct AnnouncementReader: Sendable {
    let pool: PostgresPool

    /// What has been overdue for so long is run whenever it can be, and not soon: no replica can read its grid, or none is there.
    static let longestOverdue = Duration.seconds(60)

    /// Schedules that are due within the horizon with their due times, the earliest first.
    func expected(at now: Timestamp, horizonSeconds: Int, limit: Int) async throws -> [(schedule: Schedule, dueAt: Timestamp)] {
        let until = now + .seconds(horizonSeconds)
        let timed = try await pool.query(
            """
            SELECT \(unsafe: ScheduleColumns.list) FROM schedules
            WHERE state = 'active' AND next_due_at > \(now - Self.longestOverdue) AND next_due_at <= \(until) AND paused_at IS NULL AND bar_instrument IS NULL
            ORDER BY next_due_at LIMIT \(limit)
            """
        ).map(ScheduleColumns.schedule)
        var found = timed.compactMap { schedule in schedule.nextDueAt.map { (schedule: schedule, dueAt: $0) } }
        let ends = try await barLengths().map { (seconds: $0, end: Self.end(ofBarRunningAt: now, seconds: $0)) }.filter { $0.end <= until }
        for (seconds, end) in ends {
            found += try await pool.query(
                """
                SELECT \(unsafe: ScheduleColumns.list) FROM schedules
                WHERE state = 'active' AND bar_instrument IS NOT NULL AND bar_seconds = \(Int32(seconds)) AND paused_at IS NULL LIMIT \(limit)
                """
            ).map { (schedule: try ScheduleColumns.schedule($0), dueAt: end) }
        }
        return Array(found.sorted { ($0.dueAt, $0.schedule.id) < ($1.dueAt, $1.schedule.id) }.prefix(limit))
    }

    /// Bars of hours and less end at whole multiples of their length, in every zone that matters; where a day ends is a matter of its market, so a longer
    /// bar is guessed at by UTC and no longer than a day.
    private func barLengths() async throws -> [Int] {
        try await pool.query(
            """
            WITH RECURSIVE lengths (seconds) AS (
                (SELECT bar_seconds FROM schedules WHERE state = 'active' AND bar_instrument IS NOT NULL ORDER BY bar_seconds LIMIT 1)
                UNION ALL
                SELECT (SELECT bar_seconds FROM schedules WHERE state = 'active' AND bar_instrument IS NOT NULL AND bar_seconds > lengths.seconds
                        ORDER BY bar_seconds LIMIT 1)
                FROM lengths WHERE lengths.seconds IS NOT NULL)
            SELECT seconds FROM lengths WHERE seconds <= 86400
            """
        ).map { try $0.column(0, as: Int.self) }
    }

    /// When the bar that runs now is expected to end.
    static func end(ofBarRunningAt now: Timestamp, seconds: Int) -> Timestamp {
        let length = Int64(seconds)
        return Timestamp(seconds: (now.seconds / length + 1) * length)
    }
}
