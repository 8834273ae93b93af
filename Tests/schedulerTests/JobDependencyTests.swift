import Contracts
import Messaging
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// What only the real store can show of waits: several ends at once, bounds, wake-ups.
@Suite(.enabled(if: TestServers.hasPostgres))
struct JobDependencyTests {
    private func chain(_ count: Int) -> [NewJob] {
        var jobs = [Fixture.job("job 0")]
        for index in 1..<count {
            var job = Fixture.job("job \(index)")
            job.waitsFor = [JobDependency(on: jobs[index - 1].id)]
            jobs.append(job)
        }
        return jobs
    }

    private func states(_ store: PostgresSchedulerStore) async throws -> [String: Int] {
        let rows = try await store.pool.query("SELECT state, count(*)::int4 FROM jobs GROUP BY state")
        return Dictionary(uniqueKeysWithValues: try rows.map { (try $0.column(0), try $0.column(1)) })
    }

    @Test func whoWaitsForOthersLiesInNoIndexOfThoseWhoCanRunAndDoesNotRise() async throws {
        try await withPostgresStore { store, database in
            var jobs = chain(400)
            for index in jobs.indices { jobs[index].priority = .low }
            _ = try await store.insert(jobs)
            try await store.pool.execute("UPDATE jobs SET ranked_at = clock_timestamp() - interval '1 hour' WHERE blocked_by > 0")
            #expect(try await store.raiseWaiting(limit: 1_000) == 0)
            let first = try #require(try await store.claim(Fixture.claim(1)).first)
            #expect(first.id == jobs[0].id)
            #expect(try await store.claimableClasses().isEmpty)
            #expect(try await store.queueStandings(of: [Fixture.account])[Fixture.account]?.open == 400)
            #expect(try await store.jobs(JobFilter(accountID: Fixture.account, state: .pending, limit: 1_000)).count == 399)
            // What rose before it was let go begins anew.
            try await store.pool.execute("UPDATE jobs SET precedence = 1 WHERE job_id = \(jobs[1].id)")
            _ = try await store.finish([try Fixture.finished(first)])
            let rank = try await store.pool.query("SELECT precedence FROM jobs WHERE job_id = \(jobs[1].id)").first?.column(0, as: Int16.self)
            #expect(rank == Priority.low.ordinal)
            let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            try await owner.execute("REINDEX TABLE jobs")
            try await owner.execute("ANALYZE jobs")
            let entries = try await owner.query(
                "SELECT reltuples::int4 FROM pg_class WHERE relname IN ('jobs_claimable', 'jobs_ranked') ORDER BY relname"
            )
            #expect(try entries.map { try $0.column(0, as: Int.self) } == [1, 1])
            for statement in [
                PostgresSchedulerStore.listing(JobFilter(accountID: Fixture.account, state: .pending, limit: 50)),
                QueueStandings.open(of: [Fixture.account], countedTo: [1_000]),
            ] {
                let plan = try await store.pool.query(("EXPLAIN " + statement).unprepared).map { try $0.column(0) as String }.joined(separator: "\n")
                #expect(!plan.contains("Seq Scan on jobs"), "\(plan)")
            }
            await owner.close()
        }
    }

    @Test func aMomentThatHasNotComeIsNoWait() async throws {
        try await withPostgresStore { store, _ in
            var job = Fixture.job("later", priority: .low)
            job.availableAt = .now() + .seconds(3_600)
            _ = try await store.insert([job])
            try await store.pool.execute("UPDATE jobs SET ranked_at = clock_timestamp() - interval '1 hour'")
            #expect(try await store.raiseWaiting(limit: 10) == 0)
            try await store.pool.execute("UPDATE jobs SET available_at = clock_timestamp() - interval '11 minutes'")
            #expect(try await store.raiseWaiting(limit: 10) == 1)
        }
    }

    @Test func aTransactionLetsSoManyGoAndTheSweeperTheRest() async throws {
        try await withPostgresStore { store, _ in
            let root = Fixture.job("root")
            _ = try await store.insert([root])
            let count = JobUnblocking.most * 2 + 10
            let dependants = (0..<count).map { index in
                var job = Fixture.job("dependant \(index)")
                job.waitsFor = [JobDependency(on: root.id)]
                return job
            }
            _ = try await store.insert(dependants)
            #expect(try await store.cancel(root.id) == .cancelled)
            #expect(try await states(store) == ["cancelled": 1 + JobUnblocking.most, "pending": count - JobUnblocking.most])
            #expect(try await store.unblockLeftOver(limit: 10) == 1)
            #expect(try await store.unblockLeftOver(limit: 10) == 1)
            #expect(try await store.unblockLeftOver(limit: 10) == 0)
            #expect(try await states(store) == ["cancelled": count + 1])
            #expect(try await store.pool.query("SELECT FROM job_dependencies").isEmpty)
        }
    }

    @Test func aLongChainIsCancelledInSteps() async throws {
        try await withPostgresStore { store, _ in
            let jobs = chain(JobUnblocking.most + 50)
            _ = try await store.insert(jobs)
            #expect(try await store.cancel(jobs[0].id) == .cancelled)
            while try await store.unblockLeftOver(limit: 10) > 0 {}
            #expect(try await states(store) == ["cancelled": jobs.count])
            #expect(try await store.pool.query("SELECT FROM job_dependencies").isEmpty)
        }
    }

    @Test func jobsThatEndAtOnceCountOnceEach() async throws {
        try await withPostgresStore { store, _ in
            let roots = (0..<40).map { Fixture.job("root \($0)") }
            _ = try await store.insert(roots)
            let dependants = (0..<10).map { index in
                var job = Fixture.job("dependant \(index)", class: .large)
                job.waitsFor = roots.map { JobDependency(on: $0.id) }
                return job
            }
            let running = try await store.claim(Fixture.claim(40))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for dependant in dependants { group.addTask { _ = try await store.insert([dependant]) } }
                for job in running { group.addTask { _ = try await store.finish([try Fixture.finished(job)]) } }
                group.addTask { _ = try await store.cancel(dependants[3].id) }
                try await group.waitForAll()
            }
            _ = try await store.cancel(dependants[3].id)
            let free = try await store.claim(Fixture.claim(100, class: .large))
            #expect(Set(free.map(\.id)) == Set(dependants.map(\.id)).subtracting([dependants[3].id]))
            #expect(try await store.pool.query("SELECT FROM job_dependencies").isEmpty)
        }
    }

    @Test func workersAreWokenForWhatIsFree() async throws {
        try await withPostgresStore { plain, _ in
            let woken = Mutex<[ResourceClass]>([])
            let store = PostgresSchedulerStore(pool: plain.pool, outbox: plain.outbox) { name in woken.withLock { $0.append(name) } }
            let (root, other) = (Fixture.job("root"), Fixture.job("other"))
            _ = try await store.insert([root, other])
            var child = Fixture.job("child", class: .large)
            child.waitsFor = [JobDependency(on: root.id), JobDependency(on: other.id)]
            _ = try await store.insert([child])
            let jobs = try await store.claim(Fixture.claim())
            _ = try await store.finish([try Fixture.finished(jobs[0])])
            #expect(woken.withLock { $0 }.isEmpty)
            _ = try await store.finish([try Fixture.finished(jobs[1])])
            #expect(woken.withLock { $0 } == [.large])
        }
    }
}
