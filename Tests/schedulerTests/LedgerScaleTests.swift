import Contracts
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// Which indexes the ledger's statements use in a large table: 20,000 rows, or a million with AUSPEX_TEST_LONG.
@Suite("Ledger at scale", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct LedgerScaleTests {
    private func explain(_ statement: SQL, _ store: PostgresSchedulerStore, _ command: SQL = "EXPLAIN ") async throws -> String {
        var explained = command
        explained.append(statement)
        return try await store.pool.query(explained.unprepared).map { try $0.column(0) as String }.joined(separator: "\n")
    }

    /// Carries a statement out; gives its plan as it went, and how many pages it read.
    private func carriedOut(_ statement: SQL, _ store: PostgresSchedulerStore) async throws -> (plan: String, pages: Int) {
        let plan = try await explain(statement, store, "EXPLAIN (ANALYZE, BUFFERS) ")
        // Of the whole statement: the first line that tells it.
        let line = try #require(plan.split(separator: "\n").first { $0.contains("Buffers: shared") })
        let counts = line.split(separator: " ").filter { $0.hasPrefix("hit=") || $0.hasPrefix("read=") }
        return (plan, counts.compactMap { Int($0.drop { $0 != "=" }.dropFirst()) }.reduce(0, +))
    }

    @Test func noListAndNoClaimReadsTheTableFromEndToEnd() async throws {
        try await withPostgresStore { store, database in
            let account = AccountID.make()
            var configuration = database.owner
            configuration.statementTimeout = .seconds(600)
            let owner = try await PostgresConnection.connect(configuration, on: TestLoop.shared)
            // Two of five wait, the others have ended; a fiftieth of all is of one account.
            try await owner.execute(
                """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, completed_at,
                    failure_kind, idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), state, 'small', 2, 2, 3, 'noop',
                    CASE WHEN number % 50 = 0 THEN \(account) ELSE ('00000000-0000-7000-8000-' || lpad(to_hex(number % 499), 12, '0'))::uuid END,
                    clock_timestamp() + interval '1 day', CASE WHEN state <> 'pending' THEN clock_timestamp() END,
                    CASE WHEN state = 'failed' THEN 'exception' END, number::text, sha256('x'), '{}'
                FROM (SELECT number, CASE WHEN number % 5 < 2 THEN 'pending' WHEN number % 997 = 3 THEN 'failed' ELSE 'completed' END AS state
                    FROM generate_series(1, \(Int32(LongTests.rows))) AS number) AS made
                """
            )
            let running = try await store.claim(Fixture.claim(20))
            #expect(running.count == 20)
            // An archive of some of them.
            try await owner.execute("SELECT ensure_job_archive('2024-01-01')")
            try await owner.execute("VACUUM ANALYZE jobs")
            func expect(_ filter: JobFilter, _ indexes: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws {
                let plan = try await explain(PostgresSchedulerStore.listing(filter), store)
                #expect(!plan.contains("Seq Scan on jobs"), "\(plan)", sourceLocation: sourceLocation)
                #expect(indexes.contains { plan.contains($0) }, "\(plan)", sourceLocation: sourceLocation)
            }
            // A person's lists.
            try await expect(JobFilter(accountID: account, limit: 51), "jobs_account")
            try await expect(JobFilter(accountID: account, state: .pending, limit: 51), "jobs_claimable", "jobs_account")
            try await expect(JobFilter(accountID: account, state: .running, limit: 51), "leases_account")
            try await expect(JobFilter(accountID: account, state: .failed, limit: 51), "jobs_unhappy_of_account")
            try await expect(JobFilter(accountID: account, state: .cancelled, limit: 51), "jobs_unhappy_of_account")
            try await expect(JobFilter(accountID: account, state: .completed, limit: 51), "jobs_account")
            // An administrator's.
            try await expect(JobFilter(limit: 51), "jobs_pkey")
            try await expect(JobFilter(state: .running, limit: 51), "leases_pkey", "on leases")
            try await expect(JobFilter(state: .failed, limit: 51), "jobs_unhappy")
            try await expect(JobFilter(state: .pending, limit: 51), "jobs_pkey", "jobs_claimable")
            try await expect(JobFilter(state: .completed, limit: 51), "jobs_pkey")
            // What goes on by itself.
            let claim = ClaimStatements.take(.small, for: [Fixture.claim(8)], behind: .platform, limits: AccountLimits(), lease: "interval '30 s'")
            let plan = try await explain(claim, store)
            #expect(!plan.contains("Seq Scan on jobs") && plan.contains("Index Only Scan using jobs_claimable"), "\(plan)")
            let open = try await explain(QueueStandings.open(of: [account], countedTo: [100]), store)
            #expect(!open.contains("Seq Scan on jobs") && open.contains("jobs_claimable"), "\(open)")
            // The hints of every second look at one job a class where one can be claimed, whatever waits behind it.
            let hints = try await carriedOut(PostgresSchedulerStore.claimable, store)
            #expect(hints.plan.contains("Limit") && !hints.plan.contains("Join") && hints.pages < 100, "\(hints.plan)")
            // Where all that waits lies ahead, they read its entries in the index, about ninety a page, and no job.
            try await owner.execute("UPDATE ONLY jobs SET available_at = clock_timestamp() + interval '1 hour' WHERE state = 'pending'")
            try await owner.execute("VACUUM (ANALYZE, INDEX_CLEANUP ON) jobs")
            await owner.close()
            let ahead = try await carriedOut(PostgresSchedulerStore.claimable, store)
            #expect(ahead.plan.contains("Index Only Scan using jobs_claimable") && ahead.plan.contains("Heap Fetches: 0"), "\(ahead.plan)")
            #expect(ahead.pages < LongTests.rows / 20, "\(ahead.plan)")
        }
    }
}
