import Contracts
import Postgres

/// Counts what waits in each class, within a bound: reads only.
struct WaitingStore: Sendable {
    private let pool: PostgresPool

    init(pool: PostgresPool) {
        self.pool = pool
    }

    /// All classes. At most ``WaitingJobs/mostCounted`` jobs of each are looked at, by the index of claims; of more than those the oldest that was
    /// looked at counts.
    func loads() async throws -> [ClassLoad] {
        let names = ResourceClass.allCases.map(\.rawValue)
        let rows = try await pool.query(
            """
            WITH held AS (SELECT resource_class, count(*) AS running FROM leases GROUP BY resource_class)
            SELECT class.name, coalesce(held.running, 0), waiting.claimable, waiting.age, waiting.expected
            FROM unnest(\(names)::text[]) AS class (name) LEFT JOIN held ON held.resource_class = class.name
            CROSS JOIN LATERAL (
                SELECT count(*) AS claimable, coalesce(sum(estimated_seconds), 0)::float8 AS expected,
                    coalesce(extract(epoch FROM clock_timestamp() - min(available_at)), 0)::float8 AS age
                FROM (SELECT available_at, estimated_seconds FROM ONLY jobs
                    WHERE state = 'pending' AND blocked_by = 0 AND resource_class = class.name AND available_at <= (SELECT clock_timestamp())
                    LIMIT \(WaitingJobs.mostCounted)) AS looked) AS waiting
            """
        )
        return try rows.compactMap { row in
            let (name, running, claimable, age, expected) = try row.decode(String.self, Int.self, Int.self, Double.self, Double.self)
            return ResourceClass(rawValue: name).map {
                ClassLoad(class: $0, claimable: claimable, oldestAgeSeconds: max(0, age), running: running, expectedSeconds: expected)
            }
        }
    }
}
