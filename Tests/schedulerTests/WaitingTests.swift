import Contracts
import HTTPServing
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// The signal for adding and removing executors.
@Suite(.enabled(if: TestServers.hasPostgres))
struct WaitingTests {
    @Test func everyClassIsCounted() async throws {
        try await withPostgresStore { store, _ in
            var later = Fixture.job("later")
            later.availableAt = Timestamp.now() + .seconds(3600)
            _ = try await store.insert([Fixture.job("a"), Fixture.job("b"), Fixture.job("c"), later])
            try await store.pool.execute(
                "UPDATE jobs SET available_at = clock_timestamp() - interval '90 seconds', estimated_seconds = 4 WHERE available_at <= clock_timestamp()"
            )
            let held = try await store.claim(Fixture.claim(1))
            #expect(held.count == 1)
            let loads = try await WaitingStore(pool: store.pool).loads()
            #expect(loads.map(\.class).sorted { $0.rawValue < $1.rawValue } == ResourceClass.allCases.sorted { $0.rawValue < $1.rawValue })
            let load = try #require(loads.first { $0.class == held[0].resourceClass })
            #expect(load.claimable == 2 && load.running == 1, "what is not yet due cannot be claimed")
            #expect(load.oldestAgeSeconds >= 90 && load.expectedSeconds == 8)
            for other in loads where other.class != load.class { #expect(other == ClassLoad(class: other.class)) }
        }
    }

    @Test func countingIsBounded() async throws {
        try await withPostgresStore { store, _ in
            let name = Fixture.job("a").resourceClass
            _ = try await store.insert([Fixture.job("a")])
            // Twelve thousand copies of it.
            try await store.pool.execute(
                """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, 'copy-' || n, input_sha256, spec
                FROM jobs CROSS JOIN generate_series(1, 12000) AS n
                """
            )
            let load = try #require(try await WaitingStore(pool: store.pool).loads().first { $0.class == name })
            #expect(load.claimable == WaitingJobs.mostCounted)
        }
    }

    /// Ten thousand that go first are as many as are counted; the one behind them has waited longest all the same.
    @Test func theOldestIsFoundBehindWhoeverGoesFirst() async throws {
        try await withPostgresStore { store, _ in
            let first = Fixture.job("young")
            let other = Fixture.job("old", account: .make(), priority: .low)
            var ahead = Fixture.job("ahead", account: other.accountID, priority: .low)
            ahead.availableAt = .now() + .seconds(7_200)
            _ = try await store.insert([first, other, ahead])
            try await store.pool.execute(
                """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, 'copy-' || n, input_sha256, spec
                FROM jobs CROSS JOIN generate_series(1, \(WaitingJobs.mostCounted)) AS n WHERE account_id = \(first.accountID)
                """
            )
            func age() async throws -> Double {
                try #require(try await WaitingStore(pool: store.pool).loads().first { $0.class == first.resourceClass }).oldestAgeSeconds
            }
            try await store.pool.execute(
                """
                UPDATE jobs SET available_at = available_at - interval '1 hour'
                WHERE account_id = \(other.accountID) AND available_at <= clock_timestamp()
                """
            )
            #expect(try await age() >= 3_600)
            try await store.pool.execute("UPDATE jobs SET available_at = clock_timestamp() + interval '1 hour'")
            #expect(try await age() == 0, "what lies ahead has no age")
        }
    }

    @Test func countingReadsTheIndexOfClaimsAndFewJobs() async throws {
        try await withPostgresStore { store, _ in
            let name = Fixture.job("a").resourceClass
            _ = try await store.insert([Fixture.job("a"), Fixture.job("b", class: .large)])
            // Five thousand that can be claimed, as many that lie ahead, and as many of another class.
            try await store.pool.execute(
                """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, available_at, queue_deadline,
                    idempotency_key, input_sha256, spec, estimated_seconds)
                SELECT gen_random_uuid(), state, resource_class, priority, precedence, max_attempts, kind, account_id,
                    available_at + ahead * interval '1 hour', queue_deadline, 'copy-' || job_id || '-' || n || '-' || ahead, input_sha256, spec, 1 + n % 2
                FROM jobs CROSS JOIN generate_series(1, 5000) AS n CROSS JOIN generate_series(0, 1) AS ahead
                """
            )
            try await store.pool.execute("UPDATE jobs SET estimated_seconds = 1 WHERE estimated_seconds IS NULL")
            try await store.pool.execute("ANALYZE jobs")
            let plan = try await store.pool.query(("EXPLAIN (ANALYZE, COSTS OFF) " + WaitingStore.statement).unprepared)
                .map { try $0.column(0) as String }.joined(separator: "\n")
            #expect(plan.contains("Index Only Scan using jobs_claimable on jobs"), "\(plan)")
            #expect(!plan.contains("Sort") && !plan.contains("using jobs_waiting") && !plan.contains("Rows Removed by Filter"), "\(plan)")
            let load = try #require(try await WaitingStore(pool: store.pool).loads().first { $0.class == name })
            #expect(load.claimable == 5_001)
            // Of a thousand that were read, half of which take a second and half two.
            #expect(abs(load.expectedSeconds - 7_500) < 750, "\(load.expectedSeconds)")
        }
    }

    @Test func theRouteGivesWhatWasCountedLast() async throws {
        let loads = Mutex<[ClassLoad]>([])
        let gauge = WaitingGauge(count: { loads.withLock { $0 } }, time: SystemTimeSource(), loop: TestLoop.shared)
        var router = Router(problemOf: SchedulerRoutes.problem)
        WaitingRoutes(gauge: gauge).add(to: &router) { _ in Open() }
        let client = RequestClient(router: router)
        #expect(try await client.send(.get, "/internal/v1/waiting").status == 503)
        loads.withLock { $0 = [ClassLoad(class: .large, claimable: 3, oldestAgeSeconds: 12.5, running: 1, expectedSeconds: 60)] }
        await gauge.round()
        let answer = try await client.send(.get, "/internal/v1/waiting").decode(WaitingJobs.self)
        #expect(answer.classes == loads.withLock { $0 })
        let page = Metrics.shared.render()
        #expect(page.contains(#"auspex_scheduler_claimable_oldest_seconds{class="large"} 12.5"#))
        #expect(page.contains(#"auspex_scheduler_claimable_jobs{class="large"} 3"#))
    }

    @Test func theTimeOfAClassIsTheSettings() throws {
        var classes = ResourceClasses.standard
        classes[.small] = try classes[.small].changed(by: "seconds=120")
        #expect(JobLimits.timeLimitSeconds(resourceClass: .signal, kind: .signalRun, spec: ["manifest": ["class": "small"]], classes: classes) == 120)
        #expect(JobLimits.timeLimitSeconds(resourceClass: .small, kind: .dryRun, spec: .object([:])) == 60)
        #expect(JobLimits.timeLimitSeconds(resourceClass: .standard, kind: .dryRun, spec: .object([:])) == 600)
        #expect(JobLimits.timeLimitSeconds(resourceClass: .large, kind: .dryRun, spec: .object([:])) == 3600)
    }

    private struct Open: Middleware {
        func handle(_ request: Request, next: Handler) async throws -> Response { try await next(request) }
    }
}
