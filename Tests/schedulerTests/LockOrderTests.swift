import Contracts
import Messaging
import Postgres
import Schedules
import TestSupport
import Testing

@testable import scheduler

/// Ends of runs and due times meet: whoever is first, none waits for who waits for him.
@Suite("Order of locks", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct LockOrderTests {
    enum End: String, CaseIterable, Sendable {
        case failure, cancel, lostLease, longWait, release
    }

    private func publish(_ count: Int, _ store: PostgresSchedulerStore) async throws {
        for _ in 0..<count {
            let event = Fixture.publication(.interval(seconds: 60), policy: SchedulePolicy(overlap: .bufferOne))
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
        }
    }

    @Test(arguments: End.allCases) func anEndTakesTheScheduleBeforeTheJob(end: End) async throws {
        try await withPostgresStore { store, database in
            try await publish(1, store)
            _ = try await OccurrenceMaker(store: store).makeDue(at: Fixture.start + .seconds(60))
            var job = try #require(try await store.pool.query("SELECT \(unsafe: JobColumns.list) FROM jobs").first.map(JobColumns.job))
            if end == .longWait {
                try await store.pool.execute("UPDATE jobs SET queue_deadline = clock_timestamp() - interval '1 s', max_attempts = 1")
            } else {
                job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
            }
            switch end {
            case .lostLease: try await store.pool.execute("UPDATE leases SET expires_at = clock_timestamp() - interval '1 s'")
            case .release: _ = try await store.cancel(job.id)
            default: break
            }
            if end == .lostLease { try await store.pool.execute("UPDATE jobs SET max_attempts = 1") }

            // What a tick does: it holds the schedule, then takes the run that the next one waits for.
            let tick = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            try await tick.execute("BEGIN")
            _ = try await tick.query("SELECT FROM schedules FOR NO KEY UPDATE")
            let (claimed, finished) = (job, end == .failure ? try Fixture.finished(job, .failed, failure: .exception) : nil)
            let ending = Task {
                switch end {
                case .failure: _ = try await store.finish([finished].compactMap(\.self))
                case .cancel: _ = try await store.cancel(claimed.id)
                case .lostLease: _ = try await store.expireLeases(limit: 10)
                case .longWait: _ = try await store.expireWaits(limit: 10)
                case .release: try await store.release([LeaseReference(jobID: claimed.id, attemptID: try #require(claimed.attemptID))])
                }
            }
            var looks = 0
            while try await tick.query(
                "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND NOT granted"
            ).isEmpty, looks < 8_000 {
                looks += 1
                try await tick.execute("SELECT pg_sleep(0.005)")
            }
            #expect(looks < 8_000, "it waits for the schedule")
            #expect(try await tick.query("SELECT FROM jobs WHERE job_id = \(job.id) FOR SHARE NOWAIT").count == 1, "and holds no job meanwhile")
            try await tick.execute("COMMIT")
            await tick.close()
            try await ending.value
            let ended = try #require(try await store.job(job.id))
            if end == .cancel {
                #expect(ended.cancelRequestedAt != nil)
            } else {
                #expect(ended.state.isTerminal)
                #expect(try await store.pool.query("SELECT outcome FROM occurrences").first?.column(0, as: String.self) == "failed")
            }
        }
    }

    @Test func failuresOfManySchedulesAndTheirDueTimesDoNotBlockEachOther() async throws {
        try await withDatabase(service: "scheduler", catalogue: try Migrations.catalogue()) { database in
            let pool = PostgresPool(configuration: patientConfiguration(database, maximumConnections: 8), loops: [TestLoop.shared])
            try await pool.start()
            let store = PostgresSchedulerStore(pool: pool, outbox: Outbox(schema: Migrations.schema))
            try await publish(60, store)
            let maker = OccurrenceMaker(store: store)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { for minute in 1...40 { _ = try await maker.makeDue(at: Fixture.start + .seconds(60 * minute)) } }
                for worker in 0..<5 {
                    group.addTask {
                        var random = SeededRandom(UInt64(worker))
                        for _ in 0..<40 {
                            let jobs = try await store.claim(Fixture.claim(12, class: .signal, worker: "worker \(worker)"))
                            if let one = jobs.randomElement(using: &random) { _ = try await store.cancel(one.id) }
                            let reports = try jobs.shuffled(using: &random).map { job in
                                Bool.random(using: &random) ? try Fixture.finished(job) : try Fixture.finished(job, .failed, failure: .exception)
                            }
                            _ = try await store.finish(reports)
                        }
                    }
                }
                try await group.waitForAll()
            }
            let faults = try await store.jobFaults().filter { $0.key.contains("waits for others") || $0.key.contains("lease") }.values.flatMap(\.self)
            #expect(faults.isEmpty, "\(faults)")
            await pool.stop()
            // A session tells what it has counted at its end at the latest.
            let superuser = try await PostgresConnection.connect(database.superuser, on: TestLoop.shared)
            while try await superuser.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'scheduler_app'").count > 0
            {
                try await superuser.execute("SELECT pg_sleep(0.01)")
            }
            #expect(
                try await superuser.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").first?.column(
                    0,
                    as: Int64.self
                )
                    == 0
            )
            await superuser.close()
        }
    }
}
