internal import Postgres

/// Deletes what is sent since a day and what the inbox need not remember any more: as much as there is, in batches that hold no lock for long.
struct RetentionCleaner {
    let pool: PostgresPool
    let schema: String

    /// A batch is some tens of milliseconds of work; the pause leaves the database to others, and still allows a hundred thousand rows a second.
    private static let batchSize = 5_000
    private static let pause = Duration.milliseconds(20)

    /// Goes on until less than a whole batch is left to delete, or its task is cancelled.
    func run() async throws {
        try await repeatedly {
            """
            DELETE FROM \(identifier: schema).outbox WHERE id IN
                (SELECT id FROM \(identifier: schema).outbox WHERE sent_at < clock_timestamp() - interval '1 day' LIMIT \(Self.batchSize))
            """
        }
        try await repeatedly {
            """
            DELETE FROM \(identifier: schema).inbox WHERE (consumer, event_id) IN
                (SELECT consumer, event_id FROM \(identifier: schema).inbox
                 WHERE handled_at < clock_timestamp() - interval '31 days' LIMIT \(Self.batchSize))
            """
        }
    }

    private func repeatedly(_ delete: () -> SQL) async throws {
        while try await pool.execute(delete()) >= Self.batchSize { try await Task.sleep(for: Self.pause) }
    }
}
