import Contracts
import Messaging
import Postgres

/// The store in Postgres, schema `scheduler`, as the role `scheduler_app`.
final class PostgresSchedulerStore: SchedulerStore {
    let pool: PostgresPool
    let outbox: Outbox
    let limits: AccountLimits
    let turns = ClaimTurns()
    /// Told of classes in which jobs may be claimed that waited for others.
    let hint: @Sendable (ResourceClass) -> Void
    let news: JobNews

    init(
        pool: PostgresPool,
        outbox: Outbox,
        limits: AccountLimits = AccountLimits(),
        news: JobNews = JobNews(),
        hint: @escaping @Sendable (ResourceClass) -> Void = { _ in }
    ) {
        self.news = news
        self.pool = pool
        self.outbox = outbox
        self.limits = limits
        self.hint = hint
    }

    /// What a connection to this schema is like.
    ///
    /// Every statement here has an index that fits it. The tables are empty at first and grow by thousands a second, so a plan made before the
    /// first statistics would read them from end to end, and a prepared statement would keep that plan: hence no sequential scans.
    static func configuration(url: String, maximumConnections: Int) -> PostgresConfiguration {
        var configuration = PostgresConfiguration(
            url: url,
            maximumConnections: maximumConnections,
            schema: Migrations.schema,
            applicationName: "auspex-scheduler"
        )
        configuration.sessionSettings = ["enable_seqscan": "off"]
        return configuration
    }

    func transaction<Outcome: Sendable>(_ body: @Sendable (any SchedulerTransaction) async throws -> Outcome) async throws -> Outcome {
        try await outbox.transaction(on: pool) { connection in
            try await body(PostgresSchedulerTransaction(connection: connection, outbox: outbox, hint: hint, news: news))
        }
    }

    func earliestDueTime(besides resting: [RestingSchedule]) async throws -> Timestamp? {
        try await pool.query(
            "SELECT min(next_due_at) FROM schedules WHERE state = 'active' AND next_due_at IS NOT NULL\(ScheduleColumns.besides(resting))"
        ).first?.column(0)
    }

    func watchedBars() async throws -> [WatchedBar] {
        try await pool.query(
            """
            SELECT DISTINCT bar_instrument, bar_seconds FROM schedules WHERE state = 'active' AND bar_instrument IS NOT NULL
            ORDER BY bar_instrument, bar_seconds
            """
        ).map { WatchedBar(instrument: try $0.column(0), intervalSeconds: try $0.column(1)) }
    }

    func beginBarEras(of watches: [WatchedBar]) async throws {
        if watches.isEmpty { return }
        // The database's clock, by which closes become known as well. The lock keeps a publication off that would end the era.
        try await pool.execute(
            """
            WITH armed AS (
                SELECT schedule_id, cursor_at, publication FROM schedules
                WHERE state = 'active' AND bar_instrument IS NOT NULL
                  AND (bar_instrument, bar_seconds) IN (SELECT instrument, seconds FROM
                      unnest(\(watches.map(\.instrument)), \(watches.map { Int32($0.intervalSeconds) })) AS bar (instrument, seconds))
                  AND NOT EXISTS (SELECT FROM schedule_eras AS era WHERE era.schedule_id = schedules.schedule_id AND era.to_at IS NULL)
                ORDER BY schedule_id FOR NO KEY UPDATE)
            INSERT INTO schedule_eras (schedule_id, from_at, to_at, cadence, policy)
            SELECT schedule_id, greatest(cursor_at, clock_timestamp()), NULL, publication -> 'manifest' -> 'schedule', publication -> 'manifest' -> 'policy'
            FROM armed
            ON CONFLICT DO NOTHING
            """
        )
    }

    func schedules(of account: AccountID, after: ScheduleID?, limit: Int) async throws -> [Schedule] {
        try await pool.query(
            """
            SELECT \(unsafe: ScheduleColumns.list) FROM schedules
            WHERE account_id = \(account) AND (\(after)::uuid IS NULL OR schedule_id > \(after)) ORDER BY schedule_id LIMIT \(limit)
            """
        ).map(ScheduleColumns.schedule)
    }

    func schedule(_ id: ScheduleID) async throws -> Schedule? {
        try await pool.query("SELECT \(unsafe: ScheduleColumns.list) FROM schedules WHERE schedule_id = \(id)").first.map(ScheduleColumns.schedule)
    }

    func schedule(of signal: SignalID) async throws -> Schedule? {
        try await pool.query("SELECT \(unsafe: ScheduleColumns.list) FROM schedules WHERE signal_id = \(signal)").first.map(ScheduleColumns.schedule)
    }

    func occurrences(of schedule: ScheduleID, before: Timestamp?, limit: Int) async throws -> [Occurrence] {
        try await pool.query(
            """
            SELECT \(unsafe: OccurrenceColumns.list) FROM all_occurrences
            WHERE schedule_id = \(schedule) AND due_at < \(before ?? .distantFuture) ORDER BY due_at DESC LIMIT \(limit)
            """
        ).map(OccurrenceColumns.occurrence)
    }
}
