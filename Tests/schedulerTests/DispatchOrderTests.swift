import Contracts
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// Who comes first: ranks, then accounts in turn.
@Suite("Dispatch order", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct DispatchOrderTests {
    /// Claims and ends with so many slots until `count` jobs were begun; gives their keys in the order in which workers got them.
    private func begun(_ count: Int, slots: Int, _ store: PostgresSchedulerStore) async throws -> [String] {
        var keys: [String] = []
        while keys.count < count {
            let jobs = try await store.claim(Fixture.claim(slots))
            if jobs.isEmpty { break }
            keys += jobs.map(\.idempotencyKey)
            _ = try await store.finish(jobs.map { try Fixture.finished($0) })
        }
        return keys
    }

    @Test(arguments: [1, 2, 7, 64]) func tenJobsBehindAThousandAreAmongTheFirstForty(slots: Int) async throws {
        try await withPostgresStore { store, _ in
            let (many, few) = (AccountID.make(), AccountID.make())
            _ = try await store.insert((0..<1_000).map { Fixture.job("many \($0)", account: many) })
            _ = try await store.insert((0..<10).map { Fixture.job("few \($0)", account: few) })
            let first = try await begun(40, slots: slots, store).prefix(40)
            #expect(first.count { $0.hasPrefix("few") } == 10, "\(first)")
        }
    }

    @Test func urgentComesBeforeAllElse() async throws {
        try await withPostgresStore { store, _ in
            let accounts = (0..<90).map { _ in AccountID.make() }
            for priority in [Priority.normal, .high, .low] {
                _ = try await store.insert(accounts.map { Fixture.job("\(priority) \($0)", account: $0, priority: priority) })
            }
            _ = try await begun(30, slots: 5, store)
            for (number, account) in [accounts[0], accounts[45], accounts[89]].enumerated() {
                _ = try await store.insert([Fixture.job("urgent \(number)", account: account, priority: .urgent)])
            }
            let next = try await store.claim(Fixture.claim(5)).map(\.idempotencyKey)
            #expect(Set(next.prefix(3)) == ["urgent 0", "urgent 1", "urgent 2"] && next.suffix(2).allSatisfy { $0.hasPrefix("high") }, "\(next)")
            _ = try await begun(58, slots: 29, store)
            let rest = try await begun(180, slots: 20, store)
            #expect(rest.prefix(90).allSatisfy { $0.hasPrefix("normal") } && rest.suffix(90).allSatisfy { $0.hasPrefix("low") })
        }
    }

    /// Two ten-minute backtests are as much as their account may run, and take all shared slots: its hourly signal is on time all the same.
    @Test func twoLongJobsMakeNoSignalOfTheirAccountLate() async throws {
        try await withPostgresStore { unbound, _ in
            let limits = AccountLimits(runningInClass: 2, running: 2)
            let store = PostgresSchedulerStore(pool: unbound.pool, outbox: unbound.outbox, limits: limits)
            let event = Fixture.publication(.interval(seconds: 3_600))
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            _ = try await store.insert((0..<3).map { Fixture.job("backtest \($0)", class: .standard, kind: .backtest) })
            // A worker with two shared slots and one of signals.
            let first = Claim(id: .make(), worker: "worker", classes: [ClassSlots(class: .signal, slots: 1), ClassSlots(class: .standard, slots: 2)])
            #expect(try await store.claim(first).map(\.kind) == [.backtest, .backtest])
            // Another worker has room: the account is at its limit.
            let other = Fixture.claim(2, class: .standard, worker: "other")
            #expect(try await store.claim([other]).heldBack == [.standard])
            let due = Fixture.start + .seconds(3_600)
            #expect(try await OccurrenceMaker(store: store).makeDue(at: due).jobs == 1)
            #expect(try await store.claimableClasses().contains(.signal))
            let runs = try await store.claim(Fixture.claim(1, class: .signal))
            #expect(runs.map(\.kind) == [.signalRun] && runs.map(\.accountID) == [Fixture.account])
            #expect(try await store.claim(Fixture.claim(2, class: .standard)).isEmpty)
            let schedule = try #require(try await store.schedule(of: event.signalID))
            #expect(try await store.occurrences(of: schedule.id, before: nil, limit: 9).map(\.outcome) == [.fired])
        }
    }

    /// A claim does not look at the jobs that wait for their time one by one.
    @Test func jobsThatWaitForTheirTimeCostAClaimNothing() async throws {
        try await withPostgresStore { store, _ in
            let account = AccountID.make()
            try await store.pool.execute(
                """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, available_at, queue_deadline,
                    idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), 'pending', 'small', 2, 2, 3, 'noop', \(account), '9999-12-31', '9999-12-31', number::text, sha256('x'), '{}'
                FROM generate_series(1, 3000) AS number
                """
            )
            let ready = Fixture.job("ready", account: .make())
            _ = try await store.insert([ready])
            var explained: SQL = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) "
            explained.append(
                ClaimStatements.take(.small, for: [Fixture.claim(1)], behind: .platform, limits: AccountLimits(), lease: "interval '30 s'")
            )
            let plan = try await store.pool.withConnection { connection in
                try await connection.query(explained.unprepared).map { try $0.column(0, as: String.self) }
            }
            let read = try #require(plan.first { $0.contains("Buffers: shared") }?.split(separator: "hit=").last?.prefix { $0.isNumber })
            #expect(try #require(Int(read)) < 200, "\(plan.joined(separator: "\n"))")
            #expect(try await store.job(ready.id)?.state == .running)
        }
    }

    /// An account that has run many short jobs has left their leases in the index, dead until the next vacuum: bitmaps and anti-joins would read them all at
    /// each claim, a plain scan marks them once. (What it reads then is not counted here: when an entry counts as dead is the whole server's business.)
    @Test func leasesThatAreGoneAreReadByNoBitmap() async throws {
        try await withPostgresStore { store, _ in
            try await store.pool.execute(
                """
                INSERT INTO leases (job_id, attempt_id, claim_id, account_id, resource_class, worker, expires_at)
                SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), \(Fixture.account), 'small', 'gone', clock_timestamp()
                FROM generate_series(1, 2000) AS number
                """
            )
            func plan(_ statement: SQL) async throws -> String {
                var explained: SQL = "EXPLAIN (COSTS OFF) "
                explained.append(statement)
                return try await store.pool.withTransaction { connection in
                    _ = try await connection.query(ClaimStatements.turn)
                    return try await connection.query(explained.unprepared).map { try $0.column(0, as: String.self) }
                }.joined(separator: "\n")
            }
            let claims = [Fixture.claim(64), Fixture.claim(1)]
            let take = try await plan(
                ClaimStatements.take(.small, for: claims, behind: .platform, limits: AccountLimits(), lease: "interval '30 s'")
            )
            #expect(take.contains("using leases_claim on leases") && take.contains("using leases_account on leases"), "\(take)")
            let held = try await plan(ClaimStatements.held(by: claims))
            #expect(held.contains("using leases_claim on leases") && held.contains("using jobs_pkey on jobs"), "\(held)")
            #expect(!held.contains("Hash") && !held.contains("Merge"), "\(held)")
            for plan in [take, held] { #expect(!plan.contains("Bitmap") && !plan.contains("Seq Scan") && !plan.contains("Gather"), "\(plan)") }
        }
    }

    /// More accounts than a claim passes have nothing to be claimed now: the next claim goes on where the last one gave up.
    @Test func whoStandsBehindAThousandThatWaitForTheirTimeIsFound() async throws {
        try await withPostgresStore { store, _ in
            try await store.pool.execute(
                """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, available_at, queue_deadline,
                    idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), 'pending', 'small', 2, 2, 3, 'noop', gen_random_uuid(), '9999-12-31', '9999-12-31', number::text,
                    sha256('x'), '{}'
                FROM generate_series(1, 1500) AS number
                """
            )
            let last = try #require(AccountID("ffffffff-ffff-7fff-bfff-ffffffffffff"))
            _ = try await store.insert([Fixture.job("last", account: last)])
            var found: [Job] = []
            for _ in 0..<2 { found += try await store.claim(Fixture.claim(5)) }
            #expect(found.map(\.idempotencyKey) == ["last"])
        }
    }

    @Test func claimsThatGoTogetherShareWhatThereIs() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert((0..<6).map { Fixture.job("job \($0)") })
            let claims = (0..<3).map { Fixture.claim(5, worker: "worker \($0)") }
            let answers = try await store.claim(claims)
            #expect(claims.map { answers.jobs[$0.id]?.count } == [2, 2, 2])
            #expect(claims.allSatisfy { claim in answers.jobs[claim.id]?.allSatisfy { $0.worker == claim.worker && $0.claimID == claim.id } == true })
            #expect(Set(answers.jobs.values.flatMap { $0.map(\.id) }).count == 6)
        }
    }

    @Test func theOldestAreRaisedFirstAndNeverToUrgent() async throws {
        try await withPostgresStore { store, _ in
            let jobs = [Priority.low, .low, .normal, .high].enumerated().map { Fixture.job("job \($0)", priority: $1) }
            _ = try await store.insert(jobs)
            #expect(try await store.raiseWaiting(limit: 10) == 0)
            for (index, job) in jobs.enumerated() {
                try await store.pool.execute(
                    "UPDATE jobs SET ranked_at = clock_timestamp() - make_interval(mins => \(Int32(20 - index))) WHERE job_id = \(job.id)"
                )
            }
            func ranks() async throws -> [Int16] {
                try await store.pool.query("SELECT precedence FROM jobs ORDER BY idempotency_key").map { try $0.column(0) }
            }
            #expect(try await store.raiseWaiting(limit: 2) == 2)
            #expect(try await ranks() == [2, 2, 2, 1])
            #expect(try await store.raiseWaiting(limit: 10) == 1)
            #expect(try await ranks() == [2, 2, 1, 1])
            try await store.pool.execute("UPDATE jobs SET ranked_at = clock_timestamp() - interval '11 minutes'")
            #expect(try await store.raiseWaiting(limit: 10) == 2)
            #expect(try await ranks() == [1, 1, 1, 1])
            #expect(try await store.raiseWaiting(limit: 10) == 0)
        }
    }
}
