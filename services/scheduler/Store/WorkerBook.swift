import Contracts
import Postgres

/// Who works now, in the table `workers`.
struct WorkerBook: Sendable {
    /// Who has said nothing for so long is gone.
    static let silenceSeconds: Int32 = 60

    private let pool: PostgresPool

    init(pool: PostgresPool) {
        self.pool = pool
    }

    /// Keeps a worker's report in place of its last one, and forgets who is gone.
    func keep(_ report: WorkerReport) async throws {
        let json = try PostgresJSON(encoding: report)
        // Rows that another report is removing just now are left to it: two that wait for each other would both fail.
        try await pool.execute(
            """
            WITH gone AS (
                DELETE FROM workers WHERE worker IN (
                    SELECT worker FROM workers
                    WHERE reported_at < clock_timestamp() - \(Self.silenceSeconds) * interval '1 second' AND worker <> \(report.worker)
                    FOR UPDATE SKIP LOCKED))
            INSERT INTO workers (worker, report, reported_at) VALUES (\(report.worker), \(json), clock_timestamp())
            ON CONFLICT (worker) DO UPDATE SET report = excluded.report, reported_at = excluded.reported_at
            """
        )
    }

    /// Those who reported lately, by name.
    func present() async throws -> [KnownWorker] {
        try await pool.query(
            """
            SELECT report, reported_at FROM workers
            WHERE reported_at >= clock_timestamp() - \(Self.silenceSeconds) * interval '1 second' ORDER BY worker
            """
        ).map { row in
            let report: PostgresJSON = try row.column(0)
            return KnownWorker(report: try report.decode(), reportedAt: try row.column(1))
        }
    }
}
