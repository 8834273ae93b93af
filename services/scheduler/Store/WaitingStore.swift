import Contracts
import Postgres

/// Counts what waits in each class, within a bound: reads only.
struct WaitingStore: Sendable {
    private let pool: PostgresPool

    init(pool: PostgresPool) {
        self.pool = pool
    }

    /// How many jobs of a class are read for their estimates: the rest is expected to take as long as those, in proportion.
    static let mostRead = 1_000

    /// So many lines of one account's jobs of one precedence are looked at in each class for the oldest job.
    static let mostLines = 10_000

    /// All classes. At most ``WaitingJobs/mostCounted`` jobs of each are counted, within the index of claims.
    ///
    /// The oldest is looked for among all that wait, whoever goes first: of one account's jobs of one precedence the index has the oldest before the
    /// others, so the first of each are enough, and it is asked for those only.
    func loads() async throws -> [ClassLoad] {
        try await pool.query(Self.statement).compactMap { row in
            let (name, running, claimable, age, expected) = try row.decode(String.self, Int.self, Int.self, Double.self, Double.self)
            return ResourceClass(rawValue: name).map {
                ClassLoad(class: $0, claimable: claimable, oldestAgeSeconds: max(0, age), running: running, expectedSeconds: expected)
            }
        }
    }

    /// In the order of the index of claims: without one, another index was walked from end to end for every class, through all that waits.
    static var statement: SQL {
        let pending: SQL = "FROM ONLY jobs WHERE state = 'pending' AND blocked_by = 0 AND resource_class = class.name"
        let order: SQL = "ORDER BY resource_class, precedence, account_id, available_at"
        let claimable: SQL = "\(pending) AND available_at <= (SELECT clock_timestamp()) \(order)"
        return """
            WITH held AS (SELECT resource_class, count(*) AS running FROM leases GROUP BY resource_class)
            SELECT class.name, coalesce(held.running, 0), waiting.claimable, oldest.age,
                coalesce(known.seconds * waiting.claimable / nullif(known.jobs, 0), 0)::float8
            FROM unnest(\(ResourceClass.allCases.map(\.rawValue))::text[]) AS class (name) LEFT JOIN held ON held.resource_class = class.name
            CROSS JOIN LATERAL (
                SELECT count(*) AS claimable FROM (SELECT available_at \(claimable) LIMIT \(WaitingJobs.mostCounted)) AS looked) AS waiting
            CROSS JOIN LATERAL (
                WITH RECURSIVE firsts AS (
                    (SELECT precedence, account_id, available_at, 1 AS line \(pending) \(order) LIMIT 1)
                    UNION ALL
                    SELECT next.precedence, next.account_id, next.available_at, firsts.line + 1 FROM firsts CROSS JOIN LATERAL (
                        SELECT precedence, account_id, available_at
                        \(pending) AND (jobs.precedence, jobs.account_id) > (firsts.precedence, firsts.account_id) \(order) LIMIT 1) AS next
                    WHERE firsts.line < \(Self.mostLines))
                -- What lies ahead of us has an age below zero.
                SELECT coalesce(extract(epoch FROM clock_timestamp() - min(available_at)), 0)::float8 AS age FROM firsts) AS oldest
            CROSS JOIN LATERAL (
                SELECT sum(estimated_seconds) AS seconds, count(*) AS jobs
                FROM (SELECT estimated_seconds \(claimable) LIMIT least(waiting.claimable, \(Self.mostRead))) AS looked) AS known
            """
    }
}
