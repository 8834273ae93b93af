import Contracts
import Messaging
import Postgres

/// The ledger of cadence: days that are over are kept, the rest is counted from the occurrences.
struct CadenceStore: Sendable {
    let store: PostgresSchedulerStore

    /// How many schedules one transaction settles.
    static let batch = 500
    /// How long after its end a day is settled: most runs have been recorded by then.
    static let grace = Duration.seconds(600)
    /// So far back days are settled that nobody settled in time.
    static let reach: Int64 = 31

    /// The days of a schedule from the first to the last, without those on which nothing was due.
    func days(of schedule: ScheduleID, from first: CivilDate, through last: CivilDate) async throws -> [CadenceDay] {
        let rows = try await store.pool.query(
            """
            SELECT \(unsafe: Self.columns) FROM cadence_days
            WHERE schedule_id = \(schedule) AND version > 0 AND day BETWEEN \(first.description)::date AND \(last.description)::date ORDER BY day
            """
        )
        var days: [CivilDate: CadenceDay] = [:]
        for row in rows {
            let day = try Self.day(row)
            days[day.day] = day
        }
        let walked: Int64? = try await store.pool.query(
            "SELECT (max(day) - date '1970-01-01')::bigint FROM cadence_walks WHERE done_at IS NOT NULL"
        ).first?.column(0)
        let open = max(first, walked.map { CivilDate(daysSince1970: $0 + 1) } ?? first)
        if open <= last {
            let counted = try await count([schedule], from: open, through: last) { try await store.pool.query($0) }
            for (day, counts) in counted[schedule] ?? [:] where days[day] == nil { days[day] = CadenceDay(day: day, counts: counts, version: 0) }
        }
        return days.values.filter { $0.counts.due > 0 }.sorted { $0.day < $1.day }
    }

    /// Settles the next part of the days that are over; true when there may be more to do at once.
    func settle(now: Timestamp) async throws -> Bool {
        let isMoreStale = try await settleStale(now: now)
        let isMoreToWalk = try await walk(now: now)
        return isMoreStale || isMoreToWalk
    }

    /// One replica counts at a time. Of two at once, the one that had counted before a change could write its counts after the other, which had counted after
    /// it: nobody would count the day again.
    static func takeTurn(on connection: PostgresConnection) async throws -> Bool {
        try await connection.query("SELECT pg_try_advisory_xact_lock(hashtextextended('scheduler.cadence', 0))").first?.column(0) ?? false
    }

    /// Days about which something has changed since.
    private func settleStale(now: Timestamp) async throws -> Bool {
        let over = CivilDate(of: now - Self.grace).description
        return try await store.onConnection { transaction in
            guard try await Self.takeTurn(on: transaction.connection) else { return false }
            let stale = try await transaction.connection.query(
                """
                SELECT (day - date '1970-01-01')::bigint, schedule_id FROM cadence_days WHERE is_stale AND day < \(over)::date
                ORDER BY day, schedule_id LIMIT \(Self.batch) FOR NO KEY UPDATE SKIP LOCKED
                """
            ).map { (CivilDate(daysSince1970: try $0.column(0)), try $0.column(1, as: ScheduleID.self)) }
            for (day, group) in Dictionary(grouping: stale, by: \.0) { try await write(day, of: group.map(\.1), in: transaction) }
            return stale.count == Self.batch
        }
    }

    /// The schedules one after the other, a day at a time; where another replica walks, this one does not.
    private func walk(now: Timestamp) async throws -> Bool {
        let over = CivilDate(of: now - Self.grace).daysSince1970 - 1
        return try await store.onConnection { transaction in
            let connection = transaction.connection
            guard try await Self.takeTurn(on: connection) else { return false }
            // The first day is that of the first occurrence, as far back as days are settled at all.
            let next: SQL = """
                greatest(coalesce((SELECT max(day) - date '1970-01-01' + 1 FROM cadence_walks),
                    (SELECT (min(due_at) AT TIME ZONE 'UTC')::date - date '1970-01-01' FROM occurrences), \(Int32(over))), \(Int32(over - Self.reach)))
                """
            try await connection.execute(
                """
                INSERT INTO cadence_walks (day) SELECT date '1970-01-01' + number FROM (SELECT \(next) AS number) AS next
                WHERE number <= \(Int32(over)) AND NOT EXISTS (SELECT FROM cadence_walks WHERE done_at IS NULL) ON CONFLICT DO NOTHING
                """
            )
            guard
                let row = try await connection.query(
                    """
                    SELECT (day - date '1970-01-01')::bigint, after_schedule FROM cadence_walks
                    WHERE done_at IS NULL ORDER BY day LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
                    """
                ).first
            else { return false }
            let (number, after) = try row.decode(Int64.self, ScheduleID.self)
            let day = CivilDate(daysSince1970: number)
            let schedules = try await connection.query(
                "SELECT schedule_id FROM schedules WHERE schedule_id > \(after) ORDER BY schedule_id LIMIT \(Self.batch)"
            ).map { try $0.column(0, as: ScheduleID.self) }
            try await write(day, of: schedules, in: transaction)
            let isDone = schedules.count < Self.batch
            try await connection.execute(
                """
                UPDATE cadence_walks SET after_schedule = \(schedules.last ?? after), done_at = CASE WHEN \(isDone) THEN clock_timestamp() END
                WHERE day = \(day.description)::date
                """
            )
            return !isDone || number < over
        }
    }

    /// Counts a day of schedules, and says what is new.
    private func write(_ day: CivilDate, of schedules: [ScheduleID], in transaction: PostgresSchedulerTransaction) async throws {
        if schedules.isEmpty { return }
        let connection = transaction.connection
        // Before anything is counted: what changes from now on marks the day again.
        try await connection.execute(
            """
            UPDATE cadence_days SET is_stale = false FROM (SELECT schedule_id FROM cadence_days
                WHERE day = \(day.description)::date AND schedule_id = ANY (\(schedules)) AND is_stale ORDER BY schedule_id FOR NO KEY UPDATE) AS locked
            WHERE cadence_days.day = \(day.description)::date AND cadence_days.schedule_id = locked.schedule_id
            """
        )
        let counted = try await count(schedules, from: day, through: day) { try await connection.query($0) }
        let ids = schedules.filter { counted[$0]?[day] != nil }.sorted()
        let counts = ids.map { counted[$0]?[day] ?? CadenceCounts() }
        if ids.isEmpty { return }
        let reasons = try counts.map { try PostgresJSON(encoding: $0.skippedByReason) }
        let changed = try await connection.query(
            """
            INSERT INTO cadence_days AS known (schedule_id, day, version, due, on_time, late, missed, skipped, failed, unrecorded, skipped_by_reason)
            SELECT schedule_id, \(day.description)::date, 1, due, on_time, late, missed, skipped, failed, unrecorded, reasons
            FROM unnest(\(ids), \(counts.map(\.due)), \(counts.map(\.onTime)), \(counts.map(\.late)), \(counts.map(\.missed)), \(counts.map(\.skipped)),
                \(counts.map(\.failed)), \(counts.map(\.unrecorded)), \(reasons))
                AS new (schedule_id, due, on_time, late, missed, skipped, failed, unrecorded, reasons)
            ON CONFLICT (schedule_id, day) DO UPDATE SET version = known.version + 1, due = excluded.due, on_time = excluded.on_time, late = excluded.late,
                missed = excluded.missed, skipped = excluded.skipped, failed = excluded.failed, unrecorded = excluded.unrecorded,
                skipped_by_reason = excluded.skipped_by_reason, settled_at = clock_timestamp()
            WHERE (known.due, known.on_time, known.late, known.missed, known.skipped, known.failed, known.unrecorded, known.skipped_by_reason)
                IS DISTINCT FROM (excluded.due, excluded.on_time, excluded.late, excluded.missed, excluded.skipped, excluded.failed, excluded.unrecorded,
                    excluded.skipped_by_reason)
            RETURNING schedule_id, version, (SELECT signal_id FROM schedules WHERE schedules.schedule_id = known.schedule_id),
                (SELECT account_id FROM schedules WHERE schedules.schedule_id = known.schedule_id)
            """
        )
        let events = try changed.map { row in
            let (id, version, signal, account) = try row.decode(ScheduleID.self, Int.self, SignalID.self, AccountID.self)
            let counts = counted[id]?[day] ?? CadenceCounts()
            let event = CadenceSettled(
                signalID: signal,
                scheduleID: id,
                accountID: account,
                day: day,
                due: counts.due,
                onTime: counts.onTime,
                late: counts.late,
                missed: counts.missed,
                skipped: counts.skipped,
                failed: counts.failed,
                unrecorded: counts.unrecorded,
                skippedByReason: counts.skippedByReason.sorted { $0.key < $1.key }.map { SkippedDueTimes(reason: $0.key, due: $0.value) }
            )
            return (event: event, subjectVersion: Int64(version))
        }
        if !events.isEmpty { try await transaction.say(events) }
    }

    /// Counts the days of schedules from their occurrences, wherever those lie by now.
    private func count(_ schedules: [ScheduleID], from first: CivilDate, through last: CivilDate, _ query: (SQL) async throws -> [PostgresRow])
        async throws -> [ScheduleID: [CivilDate: CadenceCounts]]
    {
        let end = CivilDate(daysSince1970: last.daysSince1970 + 1).startUTC
        var found: [ScheduleID: [CivilDate: CadenceCounts]] = [:]
        for row in try await query(
            """
            SELECT schedule_id, ((due_at AT TIME ZONE 'UTC')::date - date '1970-01-01')::bigint, outcome, reason, recorded_at IS NOT NULL, recorded_late,
                count(*)
            FROM all_occurrences WHERE schedule_id = ANY (\(schedules)) AND due_at >= \(first.startUTC) AND due_at < \(end) AND range_to IS NULL
            GROUP BY 1, 2, 3, 4, 5, 6
            """
        ) {
            found[try row.column(0), default: [:]][CivilDate(daysSince1970: try row.column(1)), default: CadenceCounts()].add(
                try row.column(2),
                reason: try row.column(3),
                isRecorded: try row.column(4),
                isRecordedLate: try row.column(5),
                count: try row.column(6)
            )
        }
        for row in try await query(
            """
            SELECT made.schedule_id, due_at, range_to, due_count, outcome, reason,
                (SELECT cadence FROM schedule_eras AS era WHERE era.schedule_id = made.schedule_id AND era.from_at < made.due_at
                 ORDER BY era.from_at DESC LIMIT 1)
            FROM all_occurrences AS made
            WHERE made.schedule_id = ANY (\(schedules)) AND range_to IS NOT NULL AND range_to >= \(first.startUTC) AND due_at < \(end)
            """
        ) {
            let cadence: Cadence? = try row.column(6, as: PostgresJSON?.self)?.decode()
            let parts = CadenceCounts.divided(from: try row.column(1), to: try row.column(2), count: try row.column(3), cadence: cadence)
            for (day, part) in parts where first <= day && day <= last && part > 0 {
                found[try row.column(0), default: [:]][day, default: CadenceCounts()].add(
                    try row.column(4),
                    reason: try row.column(5),
                    isRecorded: false,
                    isRecordedLate: false,
                    count: part
                )
            }
        }
        return found
    }

    private static let columns = """
        (day - date '1970-01-01')::bigint, version, on_time, late, missed, failed, unrecorded, skipped_by_reason
        """

    private static func day(_ row: PostgresRow) throws -> CadenceDay {
        var counts = CadenceCounts()
        counts.onTime = try row.column(2)
        counts.late = try row.column(3)
        counts.missed = try row.column(4)
        counts.failed = try row.column(5)
        counts.unrecorded = try row.column(6)
        counts.skippedByReason = try row.column(7, as: PostgresJSON.self).decode()
        return CadenceDay(day: CivilDate(daysSince1970: try row.column(0)), counts: counts, version: try row.column(1))
    }

    /// Days whose counts are not those of their occurrences, in words.
    func faults(since: CivilDate) async throws -> [String] {
        try await store.pool.query(
            """
            SELECT 'schedule ' || known.schedule_id || ' counts ' || known.due || ' due times on ' || known.day || ', ' || counted.due || ' have an outcome'
            FROM cadence_days AS known CROSS JOIN LATERAL (
                SELECT count(*) AS due, count(*) FILTER (WHERE outcome = 'missed') AS missed, count(*) FILTER (WHERE outcome = 'skipped') AS skipped,
                    count(*) FILTER (WHERE outcome = 'failed') AS failed,
                    count(*) FILTER (WHERE outcome = 'fired' AND recorded_at IS NOT NULL AND NOT recorded_late) AS on_time
                FROM all_occurrences AS made WHERE made.schedule_id = known.schedule_id AND made.due_at >= known.day::timestamp AT TIME ZONE 'UTC'
                  AND made.due_at < (known.day + 1)::timestamp AT TIME ZONE 'UTC') AS counted
            WHERE known.day >= \(since.description)::date AND NOT known.is_stale AND known.version > 0
              AND NOT EXISTS (SELECT FROM all_occurrences AS range WHERE range.schedule_id = known.schedule_id AND range.range_to IS NOT NULL
                  AND range.range_to >= known.day::timestamp AT TIME ZONE 'UTC')
              AND (known.due, known.missed, known.skipped, known.failed, known.on_time)
                  IS DISTINCT FROM (counted.due, counted.missed, counted.skipped, counted.failed, counted.on_time)
            """
        ).map { try $0.column(0) }
    }
}
