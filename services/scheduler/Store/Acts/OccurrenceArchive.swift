import Contracts
import Postgres

/// Moves occurrences that can no longer change out of the table that every due time writes to.
struct OccurrenceArchive: Sendable {
    let store: PostgresSchedulerStore

    /// How long occurrences stay at hand.
    static let hot = Duration.seconds(3 * 86_400)
    static let batch = 5_000

    /// Moves up to a batch; gives how many. Only of days that have been counted, and only what has its last outcome: a run that nobody recorded so far stays.
    func move(now: Timestamp, limit: Int = batch) async throws -> Int {
        let cutoff = now - Self.hot
        return try await store.onConnection { transaction in
            let connection = transaction.connection
            let counted: Int64? = try await connection.query(
                "SELECT (max(day) - date '1970-01-01')::bigint FROM cadence_walks WHERE done_at IS NOT NULL"
            ).first?.column(0)
            guard let counted else { return 0 }
            let end = min(cutoff, CivilDate(daysSince1970: counted + 1).startUTC)
            let old = try await connection.query(
                """
                SELECT occurrence_id, (date_trunc('month', due_at AT TIME ZONE 'UTC')::date - date '1970-01-01')::bigint FROM occurrences
                WHERE due_at < \(end) AND coalesce(range_to, due_at) < \(end)
                  AND (recorded_at IS NOT NULL OR outcome IN ('missed', 'skipped', 'failed'))
                ORDER BY due_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
                """
            ).map { (id: try $0.column(0, as: OccurrenceID.self), month: CivilDate(daysSince1970: try $0.column(1))) }
            if old.isEmpty { return 0 }
            for month in Set(old.map(\.month)).sorted() {
                _ = try await connection.query("SELECT ensure_occurrence_month(\(month.description)::date)")
            }
            // What is there already stays here as well, for the audit to name it.
            return try await connection.execute(
                """
                WITH moved AS (
                    DELETE FROM occurrences WHERE occurrence_id = ANY (\(old.map(\.id)))
                      AND NOT EXISTS (SELECT FROM occurrences_archive AS kept WHERE kept.schedule_id = occurrences.schedule_id AND kept.due_at = occurrences.due_at)
                    RETURNING \(unsafe: OccurrenceColumns.list))
                INSERT INTO occurrences_archive (\(unsafe: OccurrenceColumns.list)) SELECT \(unsafe: OccurrenceColumns.list) FROM moved
                """
            )
        }
    }
}
