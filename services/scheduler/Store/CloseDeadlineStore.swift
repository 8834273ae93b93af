import Contracts
import Messaging
import Postgres

/// Which closes of bars are waited for, and up to when each has its outcome.
struct CloseDeadlineStore: Sendable {
    let pool: PostgresPool
    let outbox: Outbox

    /// What marketdata said of bars, and when; the time is the scheduler's.
    struct Known: Sendable {
        let bars: ExpectedBars
        let knownThrough: Timestamp
        let refreshedAt: Timestamp
    }

    /// A deadline with how far it is.
    struct Standing: Sendable {
        let deadline: BarDeadline
        /// Up to here each close has its outcome; nil if nobody has looked yet.
        let settledTo: Timestamp?
        /// When marketdata said last when its bars close.
        let refreshedAt: Timestamp?

        var bar: WatchedBar { WatchedBar(instrument: deadline.instrument, intervalSeconds: deadline.intervalSeconds) }
    }

    /// Everything that active schedules wait for.
    func standings() async throws -> [Standing] {
        try await pool.query(
            """
            SELECT bar_instrument, bar_seconds, window_seconds, settled_to, refreshed_at FROM (
                SELECT bar_instrument, bar_seconds, coalesce(bar_window_seconds, greatest(10, bar_seconds)) AS window_seconds FROM schedules
                WHERE state = 'active' AND bar_instrument IS NOT NULL GROUP BY 1, 2, 3) AS awaited
            LEFT JOIN close_deadlines USING (bar_instrument, bar_seconds, window_seconds)
            LEFT JOIN expected_bars USING (bar_instrument, bar_seconds) ORDER BY 1, 2, 3
            """
        ).map { row in
            Standing(
                deadline: BarDeadline(instrument: try row.column(0), intervalSeconds: try row.column(1), windowSeconds: try row.column(2)),
                settledTo: try row.column(3),
                refreshedAt: try row.column(4)
            )
        }
    }

    func known(of bars: [WatchedBar]) async throws -> [WatchedBar: Known] {
        if bars.isEmpty { return [:] }
        var found: [WatchedBar: Known] = [:]
        let rows = try await pool.query(
            """
            SELECT bar_instrument, bar_seconds, bars, known_through, refreshed_at
            FROM expected_bars JOIN unnest(\(bars.map(\.instrument)), \(bars.map { Int32($0.intervalSeconds) })) AS wanted (bar_instrument, bar_seconds)
                USING (bar_instrument, bar_seconds)
            """
        )
        for row in rows {
            let bar = WatchedBar(instrument: try row.column(0), intervalSeconds: try row.column(1))
            found[bar] = Known(
                bars: try row.column(2, as: PostgresJSON.self).decode(),
                knownThrough: try row.column(3),
                refreshedAt: try row.column(4)
            )
        }
        return found
    }

    func save(_ known: Known, of bar: WatchedBar) async throws {
        try await pool.execute(
            """
            INSERT INTO expected_bars (bar_instrument, bar_seconds, bars, known_through, refreshed_at)
            VALUES (\(bar.instrument), \(Int32(bar.intervalSeconds)), \(try PostgresJSON(encoding: known.bars)), \(known.knownThrough),
                \(known.refreshedAt))
            ON CONFLICT (bar_instrument, bar_seconds) DO UPDATE SET bars = excluded.bars, known_through = excluded.known_through,
                refreshed_at = excluded.refreshed_at
            """
        )
    }

    /// Begins deadlines at which nobody has looked.
    func begin(_ deadlines: [(deadline: BarDeadline, settledTo: Timestamp)]) async throws {
        if deadlines.isEmpty { return }
        try await pool.execute(
            """
            INSERT INTO close_deadlines (bar_instrument, bar_seconds, window_seconds, settled_to)
            SELECT instrument, seconds, window_seconds, settled_to
            FROM unnest(\(deadlines.map(\.deadline.instrument)), \(deadlines.map { Int32($0.deadline.intervalSeconds) }),
                \(deadlines.map { Int32($0.deadline.windowSeconds) }), \(deadlines.map(\.settledTo)))
                AS new (instrument, seconds, window_seconds, settled_to)
            ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING
            """
        )
    }

    /// Writes how far deadlines are of which no close is open, unless somebody else has moved them, or does.
    func move(_ deadlines: [(deadline: BarDeadline, from: Timestamp, to: Timestamp)]) async throws {
        if deadlines.isEmpty { return }
        try await pool.execute(
            """
            WITH held AS (
                SELECT bar_instrument, bar_seconds, window_seconds, new.reached FROM close_deadlines
                JOIN unnest(\(deadlines.map(\.deadline.instrument)), \(deadlines.map { Int32($0.deadline.intervalSeconds) }),
                    \(deadlines.map { Int32($0.deadline.windowSeconds) }), \(deadlines.map(\.from)), \(deadlines.map(\.to)))
                    AS new (bar_instrument, bar_seconds, window_seconds, settled_to, reached)
                    USING (bar_instrument, bar_seconds, window_seconds, settled_to)
                FOR NO KEY UPDATE OF close_deadlines SKIP LOCKED)
            UPDATE close_deadlines SET settled_to = held.reached FROM held
            WHERE close_deadlines.bar_instrument = held.bar_instrument AND close_deadlines.bar_seconds = held.bar_seconds
              AND close_deadlines.window_seconds = held.window_seconds
            """
        )
    }

    /// Works off a deadline from where it was left: `settle` is handed that moment and a transaction, and gives up to when all is settled. Nothing happens
    /// while another replica does the same.
    func advance(
        _ deadline: BarDeadline,
        _ settle: @Sendable (Timestamp, PostgresSchedulerTransaction) async throws -> Timestamp
    ) async throws {
        try await outbox.transaction(on: pool) { connection in
            let rows = try await connection.query(
                """
                SELECT settled_to FROM close_deadlines WHERE bar_instrument = \(deadline.instrument)
                  AND bar_seconds = \(Int32(deadline.intervalSeconds)) AND window_seconds = \(Int32(deadline.windowSeconds))
                FOR NO KEY UPDATE SKIP LOCKED
                """
            )
            guard let settled = try rows.first?.column(0, as: Timestamp.self) else { return }
            let reached = try await settle(settled, PostgresSchedulerTransaction(connection: connection, outbox: outbox))
            try await connection.execute(
                """
                UPDATE close_deadlines SET settled_to = \(reached) WHERE bar_instrument = \(deadline.instrument)
                  AND bar_seconds = \(Int32(deadline.intervalSeconds)) AND window_seconds = \(Int32(deadline.windowSeconds))
                """
            )
        }
    }

    /// Whether a schedule waited for one of these closes and has heard nothing of it. What has an outcome keeps it, and who begins to wait later waits
    /// for none of them: nothing comes to be unheard afterwards.
    func isUnheard(_ closes: [Timestamp], _ deadline: BarDeadline) async throws -> Bool {
        try await !pool.query("SELECT 1 \(Self.unheard(closes, deadline)) LIMIT 1").isEmpty
    }

    /// Schedules that waited for these closes and have heard nothing of them. They are held first and in the order of their ids, as by whoever hears of a
    /// close, and then it is looked what they have heard.
    func lockedUnheard(_ closes: [Timestamp], _ deadline: BarDeadline, in transaction: PostgresSchedulerTransaction) async throws
        -> [(schedule: Schedule, close: Timestamp)]
    {
        _ = try await transaction.connection.query(
            "SELECT schedule_id FROM schedules WHERE \(Self.waiting(deadline)) ORDER BY schedule_id FOR NO KEY UPDATE"
        )
        return try await transaction.connection.query(
            "SELECT \(unsafe: ScheduleColumns.list), close_at \(Self.unheard(closes, deadline)) ORDER BY close_at, schedule_id"
        ).map { row in (try ScheduleColumns.schedule(row), try row.column("close_at")) }
    }

    private static func waiting(_ deadline: BarDeadline) -> SQL {
        """
        state = 'active' AND bar_instrument = \(deadline.instrument) AND bar_seconds = \(Int32(deadline.intervalSeconds))
          AND coalesce(bar_window_seconds, greatest(10, bar_seconds)) = \(deadline.windowSeconds)
        """
    }

    private static func unheard(_ closes: [Timestamp], _ deadline: BarDeadline) -> SQL {
        """
        FROM unnest(\(closes)) AS close (close_at) CROSS JOIN schedules
        WHERE \(waiting(deadline)) AND cursor_at < close_at
          AND EXISTS (SELECT FROM schedule_eras AS era
              WHERE era.schedule_id = schedules.schedule_id AND era.to_at IS NULL AND era.from_at < close_at)
          AND NOT EXISTS (SELECT FROM all_occurrences AS known WHERE known.schedule_id = schedules.schedule_id AND known.due_at = close_at)
        """
    }
}
