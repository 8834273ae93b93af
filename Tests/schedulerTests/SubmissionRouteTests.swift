import Contracts
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// How jobs are asked for: one by one and in batches, and what is refused.
@Suite("Submission", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct SubmissionRouteTests {
    private func request(_ key: String, account: AccountID = Fixture.account, spec: JSONValue = [:], priority: Priority = .normal) -> JobRequest {
        JobRequest(kind: .noop, resourceClass: .small, accountID: account, priority: priority, spec: spec, idempotencyKey: key)
    }

    @Test func aBatchIsAnsweredLineByLine() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            let batch = BulkRequest(jobs: ["a", "b", "c"].map { request($0) })
            let made: BulkReceipt = try await signals.post("/internal/v1/jobs/bulk", json: batch).decode()
            #expect(made.jobs.count == 3 && made.jobs.allSatisfy { $0.created == true && $0.jobID != nil && $0.code == nil })
            var again = batch
            again.jobs[1].spec = ["other": 1]
            again.jobs.append(request("d"))
            let answered: BulkReceipt = try await signals.post("/internal/v1/jobs/bulk", json: again).decode()
            #expect(answered.jobs.map(\.created) == [false, nil, false, true])
            #expect(answered.jobs.map(\.code) == [nil, "idempotency_key_reused", nil, nil])
            #expect(answered.jobs[0].jobID == made.jobs[0].jobID && answered.jobs[2].jobID == made.jobs[2].jobID)
            #expect(try await house.store.jobs(JobFilter(accountID: Fixture.account, limit: 10)).count == 4)
        }
    }

    @Test func whatCannotBeReadRefusesAll() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            func verdict(_ jobs: [JobRequest]) async throws -> String {
                try await signals.post("/internal/v1/jobs/bulk", json: BulkRequest(jobs: jobs)).verdict
            }
            var bad = request("bad")
            bad.maxAttempts = 0
            #expect(try await verdict([request("good"), bad]) == "400 invalid_value jobs[1].max_attempts")
            #expect(try await verdict([request("")]) == "400 invalid_value jobs[0].idempotency_key")
            #expect(try await verdict([]) == "400 invalid_value jobs")
            #expect(try await verdict((0...500).map { request("job \($0)") }) == "400 invalid_value jobs")
            #expect(try await verdict((0..<500).map { request("job \($0)") }) == "200")
            #expect(try await house.store.jobs(JobFilter(accountID: Fixture.account, limit: 600)).count == 500)
        }
    }

    @Test func aFullQueueIsSaidWithItsCode() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            try await house.pool.execute("INSERT INTO account_limits (account_id, resource_class, open_most) VALUES (\(Fixture.account), 'all', 1)")
            #expect(try await signals.post("/internal/v1/jobs", json: request("a")).status == 201)
            let refused = try await signals.post("/internal/v1/jobs", json: request("b"))
            #expect(refused.verdict == "429 queue_full" && refused.headers["retry-after"] == "5" && refused.isProperRefusal)
            #expect(try await signals.post("/internal/v1/jobs", json: request("a")).status == 200)
            let batch: BulkReceipt = try await signals.post(
                "/internal/v1/jobs/bulk",
                json: BulkRequest(jobs: [request("a"), request("b"), request("b", account: .make())])
            ).decode()
            #expect(batch.jobs.map(\.code) == [nil, "queue_full", nil] && batch.jobs.map(\.created) == [false, nil, true])
        }
    }

    @Test func batchesAreHeldToTheQueueHoweverFarFromFullItWas() async throws {
        try await withTestHouse { house in
            try await house.pool.execute("INSERT INTO account_limits (account_id, resource_class, open_most) VALUES (\(Fixture.account), 'all', 800)")
            let intake = JobIntake(store: house.store, loop: TestLoop.shared) { _ in }
            let jobs = (0..<99).map { Fixture.job("job \($0)") }
            // An eighth of the limit is not reached, yet many such batches may come within a second.
            #expect(try await intake.withinCaps(jobs, roles: nil).limits == [Fixture.account: 800])
            let gate = QueueGate(store: house.store, time: ManualTimeSource())
            #expect(try await gate.limits(for: jobs) == [:])
            gate.noteWritten(jobs)
            #expect(try await gate.limits(for: jobs) == [Fixture.account: 800])
        }
    }

    @Test func theSameBatchAskedForAtAnotherMomentIsTheSame() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            func ask(_ moment: String, _ what: String) async throws -> RequestClient.Answer {
                let spec: JSONValue = ["what": .string(what), "due_at": .string(moment), "as_of": .string(moment)]
                let item = BatchItem(kind: .dryRun, resourceClass: .small, spec: spec)
                let request = BatchRequest(accountID: Fixture.account, idempotencyKey: "one", jobs: [item])
                return try await signals.post("/internal/v1/jobs/batches", json: request)
            }
            #expect(try await ask("2016-10-08T00:00:00Z", "a").verdict == "201")
            #expect(try await ask("2016-10-09T00:00:00Z", "a").verdict == "200")
            #expect(try await ask("2016-10-09T00:00:00Z", "b").verdict == "422 idempotency_key_reused idempotency_key")
        }
    }

    @Test func theRolesOfWhoAsksCapThePriority() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            for (key, roles, asked, expected) in [
                ("a", ["subscriber"], Priority.high, Priority.normal), ("b", ["provider"], .urgent, .high), ("c", nil, .urgent, .high),
                ("d", ["subscriber"], .low, .low),
            ] as [(String, [String]?, Priority, Priority)] {
                var wanted = request(key, priority: asked)
                wanted.roles = roles
                let receipt: JobReceipt = try await signals.post("/internal/v1/jobs", json: wanted).decode()
                #expect(try await house.store.job(receipt.jobID)?.priority == expected, "\(key)")
            }
        }
    }
}
