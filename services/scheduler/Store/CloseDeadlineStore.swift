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

    /// Everything that active schedules wait for.
    func deadlines() async throws -> [BarDeadline] {
        try await pool.query(
            """
            SELECT bar_instrument, bar_seconds, coalesce(bar_window_seconds, greatest(10, bar_seconds)) FROM schedules
            WHERE state = 'active' AND bar_instrument IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """
        ).map { BarDeadline(instrument: try $0.column(0), intervalSeconds: try $0.column(1), windowSeconds: try $0.column(2)) }
    }

    func known(of bar: WatchedBar) async throws -> Known? {
        try await pool.query(
            """
            SELECT bars, known_through, refreshed_at FROM expected_bars
            WHERE bar_instrument = \(bar.instrument) AND bar_seconds = \(Int32(bar.intervalSeconds))
            """
        ).first.map { row in
            Known(bars: try row.column(0, as: PostgresJSON.self).decode(), knownThrough: try row.column(1), refreshedAt: try row.column(2))
        }
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

    /// Begins at `start` with a deadline that was never looked at.
    func begin(_ deadline: BarDeadline, at start: Timestamp) async throws {
        try await pool.execute(
            """
            INSERT INTO close_deadlines (bar_instrument, bar_seconds, window_seconds, settled_to)
            VALUES (\(deadline.instrument), \(Int32(deadline.intervalSeconds)), \(Int32(deadline.windowSeconds)), \(start)) ON CONFLICT DO NOTHING
            """
        )
    }

    /// Works off a deadline from where it was left: `settle` is handed that moment and a transaction, and gives up to when all is settled. Nothing happens
    /// while another replica does the same.
    func advance(_ deadline: BarDeadline, _ settle: @Sendable (Timestamp, PostgresSchedulerTransaction) async throws -> Timestamp) async throws {
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

    /// Schedules that waited for these closes and have heard nothing of them.
    func unheard(_ closes: [Timestamp], _ deadline: BarDeadline, in transaction: PostgresSchedulerTransaction) async throws
        -> [(schedule: Schedule, close: Timestamp)]
    {
        try await transaction.connection.query(
            """
            SELECT \(unsafe: ScheduleColumns.list), close_at FROM unnest(\(closes)) AS close (close_at) CROSS JOIN schedules
            WHERE state = 'active' AND bar_instrument = \(deadline.instrument) AND bar_seconds = \(Int32(deadline.intervalSeconds))
              AND coalesce(bar_window_seconds, greatest(10, bar_seconds)) = \(deadline.windowSeconds) AND cursor_at < close_at
              AND EXISTS (SELECT FROM schedule_eras AS era
                  WHERE era.schedule_id = schedules.schedule_id AND era.to_at IS NULL AND era.from_at < close_at)
              AND NOT EXISTS (SELECT FROM all_occurrences AS known WHERE known.schedule_id = schedules.schedule_id AND known.due_at = close_at)
            ORDER BY close_at, schedule_id
            """
        ).map { row in (try ScheduleColumns.schedule(row), try row.column("close_at")) }
    }
}
