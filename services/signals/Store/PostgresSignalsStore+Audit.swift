import Contracts
import Postgres

/// Questions of the audit: each gives the faults that it found, none when all is well.
extension PostgresSignalsStore {
    func allSignalIDs() async throws -> [SignalID] {
        try await query("SELECT signal_id FROM heads ORDER BY signal_id").map { try $0.column(0) }
    }

    /// A row that was planted or lost shows here: a run's count is not that of its predictions, or a prediction has no recorded run.
    func auditRuns() async throws -> [String] {
        try await faults(
            """
            SELECT 'job ' || r.job_id || ' reported ' || r.reported_rows || ' rows, ' || count(p.seq) || ' are recorded'
            FROM runs r LEFT JOIN predictions p ON p.job_id = r.job_id AND p.signal_id = r.signal_id
            WHERE r.outcome = 'recorded'
            GROUP BY r.job_id, r.reported_rows, r.first_seq, r.last_seq
            HAVING count(p.seq) <> r.reported_rows
                OR (r.reported_rows > 0 AND (min(p.seq) <> r.first_seq OR max(p.seq) <> r.last_seq OR max(p.row) <> r.reported_rows - 1))
            UNION ALL
            SELECT 'signal ' || p.signal_id || ' seq ' || p.seq || ' belongs to no recorded run'
            FROM predictions p LEFT JOIN runs r ON r.job_id = p.job_id AND r.signal_id = p.signal_id AND r.outcome = 'recorded'
            WHERE r.job_id IS NULL
            UNION ALL
            SELECT 'occurrence ' || occurrence_id || ' is recorded ' || count(*) || ' times'
            FROM runs WHERE outcome = 'recorded' AND occurrence_id IS NOT NULL GROUP BY occurrence_id HAVING count(*) > 1
            LIMIT 1000
            """
        )
    }

    func auditSequences() async throws -> [String] {
        try await faults(
            """
            SELECT 'signal ' || h.signal_id || ': ' || count(p.seq) || ' rows up to seq ' || coalesce(max(p.seq), 0) || ', the head says ' || h.seq
            FROM heads h LEFT JOIN predictions p ON p.signal_id = h.signal_id
            GROUP BY h.signal_id, h.seq HAVING count(p.seq) <> h.seq OR coalesce(max(p.seq), 0) <> h.seq
            LIMIT 1000
            """
        )
    }

    func auditOrder() async throws -> [String] {
        try await faults(
            """
            SELECT 'signal ' || signal_id || ' seq ' || seq FROM (
                SELECT signal_id, seq, made_at, lag(made_at) OVER (PARTITION BY signal_id ORDER BY seq) AS before FROM predictions) AS ordered
            WHERE made_at <= before LIMIT 1000
            """
        )
    }

    func auditOutcomes() async throws -> [String] {
        try await faults(
            """
            SELECT 'signal ' || p.signal_id || ' seq ' || p.seq FROM predictions p
            LEFT JOIN outcomes o ON o.signal_id = p.signal_id AND o.seq = p.seq
            LEFT JOIN pending_outcomes w ON w.signal_id = p.signal_id AND w.seq = p.seq
            WHERE (o.seq IS NULL) = (w.seq IS NULL) LIMIT 1000
            """
        )
    }

    /// By the time at which the transaction began: inside a long view the clock goes on while the outbox stands still.
    func auditOutbox() async throws -> [String] {
        try await faults(
            """
            SELECT type || ' ' || id FROM outbox WHERE sent_at IS NULL AND appended_at < transaction_timestamp() - interval '1 minute' LIMIT 1000
            """
        )
    }

    private func faults(_ sql: SQL) async throws -> [String] { try await query(sql).map { try $0.column(0) } }
}
