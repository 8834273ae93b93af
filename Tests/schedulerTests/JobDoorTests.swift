import Contracts
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// Batches, children, lists, costs and places in the queue, by their routes.
@Suite(.enabled(if: TestServers.hasPostgres))
struct JobDoorTests {
    private func batch(_ count: Int, key: String = "batch", account: AccountID = Fixture.account, bending: (inout BatchRequest) -> Void = { _ in })
        -> BatchRequest
    {
        var request = BatchRequest(
            accountID: account,
            idempotencyKey: key,
            jobs: (0..<count).map { BatchItem(kind: .backtest, resourceClass: .small, spec: ["trial": .integer(Int64($0))]) }
        )
        bending(&request)
        return request
    }

    // MARK: Batches

    @Test func aThousandJobsAreOneBatchWithOneState() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            let answer = try await signals.post("/internal/v1/jobs/batches", json: batch(1_000))
            #expect(answer.status == 201, "\(answer.text)")
            let receipt: BatchReceipt = try answer.decode()
            #expect(receipt.created && receipt.jobs.count == 1_000)
            let again = try await signals.post("/internal/v1/jobs/batches", json: batch(1_000))
            let repeated: BatchReceipt = try again.decode()
            #expect(again.status == 200 && !repeated.created && repeated.batchID == receipt.batchID && repeated.jobs == receipt.jobs)
            #expect(try await signals.post("/internal/v1/jobs/batches", json: batch(999)).verdict == "422 idempotency_key_reused idempotency_key")
            let person = try house.person()
            let path = "/api/jobs/batches/\(receipt.batchID)"
            func state() async throws -> JSONValue { try await person.get(path).json() }
            let waiting = try await state()
            #expect(waiting["state"]?.string == "pending" && waiting["total"]?.integer == 1_000 && waiting["counts"]?["pending"]?.integer == 1_000)
            let claimed = try await house.store.claim(Fixture.claim(10))
            for (index, job) in claimed.enumerated() {
                let outcome: FinishedJob.Outcome = index == 3 ? .failed : .completed
                _ = try await house.store.finish([try Fixture.finished(job, outcome, failure: index == 3 ? .exception : nil)])
            }
            let running = try await state()
            #expect(running["state"]?.string == "running" && running["progress"]?.integer == 1)
            #expect(running["first_errors"]?.array?.map { $0["place"]?.integer } == [Int64(receipt.jobs.firstIndex(of: claimed[3].id) ?? -1)])
            #expect(try await house.person(.make()).get(path).verdict == "404 not_found id")
            #expect(try await house.person(.make()).delete(path).verdict == "404 not_found id")
            let cancelled = try await person.delete(path)
            #expect(cancelled.status == 202)
            let end = try await state()
            #expect(try cancelled.json()["cancelled"]?.integer == 990 && end["state"]?.string == "failed" && end["progress"]?.integer == 100)
            #expect(end["counts"]?["cancelled"]?.integer == 990 && end["counts"]?["completed"]?.integer == 9 && end["completed_at"]?.string != nil)
            #expect(try await person.get("/api/jobs?batch=\(receipt.batchID)&state=completed").json()["items"]?.array?.count == 9)
        }
    }

    @Test func aBatchIsMadeWholeOrNotAtAll() async throws {
        try await withTestHouse { house in
            let signals = try house.service("signals")
            let before = try await house.books()
            let foreign = JobID.make()
            let bad: [(BatchRequest, String)] = [
                (batch(5) { $0.jobs[3].waitsFor = [JobDependency(on: foreign)] }, "422 unknown_job jobs[3].waits_for"),
                (batch(5) { $0.jobs[2].resourceClass = .signals }, "422 class_not_allowed jobs[2].resource_class"),
                (batch(5) { $0.jobs[1].maxAttempts = 0 }, "400 invalid_value jobs[1].max_attempts"),
                (batch(5) { $0.jobs[4].waitsForItems = [4] }, "400 invalid_value jobs[4].waits_for_items[0]"),
                (batch(5) { $0.jobs[4].waitsForItems = [0, -1] }, "400 invalid_value jobs[4].waits_for_items[1]"),
                (batch(5) { $0.jobs[0].kind = JobKind("") }, "400 invalid_value jobs[0].kind"),
                (batch(5) { $0.jobs[0].kind = .import }, "403 kind_not_allowed"), (batch(0), "400 invalid_value jobs"),
                (batch(1_001), "400 invalid_value jobs"), (batch(1, key: ""), "400 invalid_value idempotency_key"),
                (batch(1, key: String(repeating: "x", count: 191)), "400 invalid_value idempotency_key"),
            ]
            for (request, verdict) in bad { #expect(try await signals.post("/internal/v1/jobs/batches", json: request).verdict == verdict) }
            #expect(try await house.books() == before)
            #expect(try await house.pool.query("SELECT FROM job_batches").isEmpty)
        }
    }

    @Test func anItemMayWaitForThoseBeforeIt() async throws {
        try await withTestHouse { house in
            let request = batch(3) { $0.jobs[2].waitsForItems = [0, 1] }
            let receipt: BatchReceipt = try await house.service("signals").post("/internal/v1/jobs/batches", json: request).decode()
            let first = try await house.store.claim(Fixture.claim())
            #expect(Set(first.map(\.id)) == Set(receipt.jobs.prefix(2)))
            let state = try await house.person().get("/api/jobs/batches/\(receipt.batchID)").json()
            #expect(state["counts"]?["blocked"]?.integer == 1 && state["counts"]?["running"]?.integer == 2)
            _ = try await house.store.finish(try first.map { try Fixture.finished($0) })
            #expect(try await house.store.claim(Fixture.claim()).map(\.id) == [receipt.jobs[2]])
        }
    }

    // MARK: Parents and children

    @Test func aParentShowsItsChildrenAndTakesThemWithIt() async throws {
        try await withTestHouse { house in
            let parent = Fixture.job("parent", class: .large, kind: .optimisation)
            func child(_ key: String, of parent: NewJob, account: AccountID = Fixture.account) -> NewJob {
                var job = Fixture.job(key, account: account, kind: .optimisation)
                job.parentJobID = parent.id
                return job
            }
            let (first, second) = (child("first", of: parent), child("second", of: parent))
            let grandchild = child("grandchild", of: first)
            // Whoever names another's job as its parent is none of its children.
            let stranger = child("stranger", of: parent, account: .make())
            _ = try await house.store.insert([parent, first, second, grandchild, stranger])
            let person = try house.person()
            let answer = try await person.get("/api/jobs/\(parent.id)").json()
            #expect(answer["children"]?["total"]?.integer == 2 && answer["children"]?["state"]?.string == "pending")
            #expect(try await person.get("/api/jobs?parent=\(parent.id)").json()["items"]?.array?.count == 2)
            #expect(try await person.get("/api/jobs/\(second.id)").json()["children"] == nil)
            #expect(try await person.delete("/api/jobs/\(second.id)").status == 202)
            #expect(try await person.delete("/api/jobs/\(parent.id)?children=true").status == 202)
            for id in [parent.id, first.id, second.id, grandchild.id] { #expect(try await house.store.job(id)?.state == .cancelled) }
            #expect(try await house.store.job(stranger.id)?.state == .pending)
            #expect(try await person.delete("/api/jobs/\(parent.id)?children=perhaps").verdict == "400 invalid_parameter children")
        }
    }

    // MARK: Lists

    @Test func listsAreFilteredByWhatOnlySomeJobsHave() async throws {
        try await withTestHouse { house in
            let jobs = (0..<5).map { Fixture.job("job \($0)", kind: .dryRun) }
            for job in jobs { _ = try await house.store.insert([job]) }
            let person = try house.person()
            func ids(_ query: String) async throws -> [String] {
                try await person.get("/api/jobs?\(query)").json()["items"]?.array?.compactMap { $0["job_id"]?.string } ?? []
            }
            let all = jobs.map(\.id.description)
            #expect(try await ids("order=oldest") == all)
            #expect(try await ids("order=newest") == all.reversed())
            let page = try await person.get("/api/jobs?order=oldest&limit=2").json()
            let cursor = try #require(page["next_cursor"]?.string)
            #expect(try await ids("order=oldest&limit=2&cursor=\(cursor)") == Array(all[2..<4]))
            let moment = try #require(try await house.store.job(jobs[2].id)?.createdAt).iso8601
            #expect(try await ids("created_from=\(moment)&order=oldest") == Array(all[2...]))
            #expect(try await ids("created_to=\(moment)&order=oldest") == Array(all[..<2]))
            #expect(try await ids("created_from=2016-01-01T00:00:00Z&created_to=2016-01-02T00:00:00Z").isEmpty)
            for (query, verdict) in [
                ("state=ended", "400 invalid_parameter state"), ("order=random", "400 invalid_parameter order"),
                ("parent=x", "400 invalid_parameter parent"), ("batch=x", "400 invalid_parameter batch"),
                ("signal_id=x", "400 invalid_parameter signal_id"), ("created_from=yesterday", "400 invalid_parameter created_from"),
                ("created_to=x", "400 invalid_parameter created_to"), ("kind=", "400 invalid_parameter kind"),
                ("kind=a,,b", "400 invalid_parameter kind"), ("limit=0", "400 invalid_parameter limit"),
                ("cursor=x", "400 invalid_cursor cursor"), ("colour=red", "400 unknown_parameter colour"),
                ("created_from=\(moment)&created_to=\(moment)", "422 empty_range created_to"),
            ] {
                #expect(try await person.get("/api/jobs?\(query)").verdict == verdict, "\(query)")
            }
        }
    }

    @Test func oneJobIsShownWithItsSpecAndItsPlaceInTheQueue() async throws {
        try await withTestHouse { house in
            let greedy = AccountID.make()
            _ = try await house.store.insert((0..<50).map { Fixture.job("greedy \($0)", account: greedy, kind: .dryRun) })
            let (first, second) = (Fixture.job("first", kind: .dryRun, spec: ["strategy": "x"]), Fixture.job("second", kind: .dryRun))
            _ = try await house.store.insert([first, second, Fixture.job("low", priority: .low, kind: .dryRun)])
            let person = try house.person()
            let answer = try await person.get("/api/jobs/\(first.id)").json()
            #expect(answer["spec"]?["strategy"]?.string == "x")
            // One of the other account's at most goes before the first of this one, and two before the second.
            #expect(answer["queue_position"]?.integer == 2 && answer["queue_position_is_bounded"]?.bool == false)
            #expect(answer["expected_start_at"]?.string == nil)
            #expect(try await person.get("/api/jobs/\(second.id)").json()["queue_position"]?.integer == 4)
            let last = try #require(try await house.store.jobs(JobFilter(accountID: greedy, limit: 1)).first)
            let outlook = try #require(try await QueueStore(pool: house.pool).outlook(of: last))
            #expect(outlook.position == 52)
            let claimed = try await house.store.claim(Fixture.claim(2))
            #expect(claimed.contains { $0.id == first.id })
            let running = try await person.get("/api/jobs/\(first.id)").json()
            #expect(running["queue_position"] == nil && running["version"]?.integer == 2)
            let expected = try await person.get("/api/jobs/\(second.id)").json()["expected_start_at"]?.string
            #expect(expected.flatMap { Timestamp(iso8601: $0) } != nil)
        }
    }

    @Test func theOutlookIsBoundedAndByIndex() async throws {
        try await withTestHouse { house in
            _ = try await house.store.insert((0..<1_500).map { Fixture.job("job \($0)") })
            let job = try #require(try await house.store.jobs(JobFilter(accountID: Fixture.account, limit: 1)).first)
            let outlook = try #require(try await QueueStore(pool: house.pool).outlook(of: job))
            #expect(outlook.isBounded && outlook.ahead == QueueStore.most)
        }
    }

    @Test func whenATurnMayComeFollowsFromWhatRuns() {
        let now = Fixture.start
        var outlook = QueueOutlook(ahead: 10, isBounded: false, running: 2, averageSeconds: 6)
        #expect(outlook.expectedStart(availableAt: now, now: now) == now + .seconds(32))
        #expect(outlook.expectedStart(availableAt: now + .seconds(100), now: now) == now + .seconds(100))
        outlook.running = 0
        #expect(outlook.expectedStart(availableAt: now, now: now) == nil)
        outlook = QueueOutlook(ahead: 1_000, isBounded: true, running: 1, averageSeconds: .infinity)
        #expect(outlook.expectedStart(availableAt: now, now: now) == nil)
    }

    @Test func listsAndStreamsGoByTheirIndexes() async throws {
        try await withPostgresStore { store, database in
            let (parent, batch) = (JobID.make(), BatchID.make())
            let bulk: SQL = """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, completed_at,
                    parent_job_id, batch_id, changed_in, idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), CASE run % 2 WHEN 0 THEN 'pending' ELSE 'completed' END, 'small', 2, 2, 3, 'backtest', \(Fixture.account),
                    clock_timestamp(), CASE run % 2 WHEN 0 THEN NULL ELSE clock_timestamp() END,
                    CASE WHEN run % 100 = 0 THEN \(parent) ELSE gen_random_uuid() END, CASE WHEN run % 100 = 1 THEN \(batch) ELSE gen_random_uuid() END,
                    run, run::text, sha256('x'), '{}'
                FROM generate_series(1, 5000) AS run
                """
            try await store.pool.execute(bulk)
            let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            try await owner.execute("ANALYZE jobs")
            await owner.close()
            func plan(_ sql: SQL) async throws -> String {
                try await store.pool.query(("EXPLAIN " + sql).unprepared).map { try $0.column(0) as String }.joined(separator: "\n")
            }
            let children = try await plan(PostgresSchedulerStore.listing(JobFilter(accountID: Fixture.account, parentJobID: parent, limit: 50)))
            #expect(children.contains("jobs_by_parent"), "\(children)")
            let batched = try await plan(PostgresSchedulerStore.listing(JobFilter(accountID: Fixture.account, batchID: batch, limit: 50)))
            #expect(batched.contains("jobs_by_batch"), "\(batched)")
            let dated = try await plan(PostgresSchedulerStore.listing(JobFilter(accountID: Fixture.account, createdFrom: .now(), limit: 50)))
            #expect(dated.contains("(job_id >=") && !dated.contains("Seq Scan"), "\(dated)")
            let job = try #require(try await store.jobs(JobFilter(accountID: Fixture.account, state: .pending, limit: 1)).first)
            let outlook = try await plan(QueueStore.statement(job))
            #expect(!outlook.contains("Seq Scan on jobs"), "\(outlook)")
            let changes = try await plan(JobChanges.statement(of: Fixture.account, from: 4_990, after: nil))
            #expect(changes.contains("jobs_changes") && changes.contains("changed_in >="), "\(changes)")
        }
    }

    // MARK: Costs

    @Test func whatAttemptsUseIsAddedUpByKindAndDay() async throws {
        try await withTestHouse { house in
            _ = try await house.store.insert([
                Fixture.job("run", kind: .dryRun), Fixture.job("test", kind: .backtest), Fixture.job("never", class: .gpu, kind: .dryRun),
                Fixture.job("platform's", class: .gpu, kind: .settlement),
            ])
            let claimed = try await house.store.claim(Fixture.claim())
            var reports = try claimed.map { try Fixture.finished($0) }
            for (index, job) in claimed.enumerated() where job.kind == .dryRun {
                reports[index].outcome = .failed
                reports[index].failureKind = .infra
                reports[index].cpuSeconds = 1.5
                reports[index].memoryGibSeconds = 2.25
                reports[index].bytesIn = 1_000
                reports[index].bytesOut = 10
            }
            _ = try await house.store.finish(reports)
            // Told again, because the answer was lost: it counts once.
            _ = try await house.store.finish(reports)
            try await house.pool.execute("UPDATE jobs SET available_at = clock_timestamp() WHERE state = 'pending'")
            let again = try #require(try await house.store.claim(Fixture.claim()).first)
            var end = try Fixture.finished(again)
            (end.cpuSeconds, end.memoryGibSeconds, end.bytesIn, end.bytesOut) = (0.5, 0.75, 1_000, 5)
            _ = try await house.store.finish([end])
            let job = try #require(try await house.store.job(again.id))
            #expect(job.cpuSeconds == 2 && job.memoryGiBSeconds == 3 && job.bytesIn == 2_000 && job.bytesOut == 15)
            for job in try await house.store.jobs(JobFilter(state: .pending, limit: 10)) { _ = try await house.store.cancel(job.id) }

            let person = try house.person()
            let costs = try await person.get("/api/jobs/costs").json()
            let items = costs["items"]?.array ?? []
            #expect(items.map { $0["kind"]?.string } == ["backtest", "dry_run"])
            let runs = try #require(items.last)
            #expect(runs["jobs"]?.integer == 2 && runs["attempts"]?.integer == 2 && runs["cpu_seconds"]?.double == 2)
            #expect(runs["memory_gib_seconds"]?.double == 3 && runs["bytes_in"]?.integer == 2_000 && runs["bytes_out"]?.integer == 15)
            let days = try await person.get("/api/jobs/costs?group=day").json()
            #expect(days["items"]?.array?.count == 1 && days["total"]?["jobs"]?.integer == 3 && days["total"]?["cpu_seconds"]?.double == 2.5)
            let administrator = try house.person(.make(), roles: ["admin"])
            let accounts = try await administrator.get("/api/jobs/costs?group=account").json()
            #expect(
                accounts["items"]?.array?.map { $0["account_id"]?.string } == [Fixture.account.description]
                    && accounts["total"]?["jobs"]?.integer == 4
            )
            for (query, verdict) in [
                ("group=account", "403 insufficient_role"), ("account_id=\(AccountID.make())", "403 insufficient_role"),
                ("group=hour", "400 invalid_parameter group"), ("from=x", "400 invalid_parameter from"),
                ("to=2016-02-30", "400 invalid_parameter to"),
                ("from=2016-10-09&to=2016-10-08", "422 invalid_range from"), ("from=2014-01-01&to=2016-01-01", "422 invalid_range from"),
            ] {
                #expect(try await person.get("/api/jobs/costs?\(query)").verdict == verdict, "\(query)")
            }
        }
    }

    @Test func workersThatFinishAtOnceLoseNoCost() async throws {
        try await withPostgresStore { plain, _ in
            let store = PostgresSchedulerStore(pool: plain.pool, outbox: plain.outbox, limits: AccountLimits(runningInClass: 200, running: 200))
            _ = try await store.insert((0..<200).map { Fixture.job("job \($0)") })
            let jobs = try await store.claim(Fixture.claim(200))
            try #require(jobs.count == 200)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for part in 0..<20 {
                    group.addTask {
                        let reports = try jobs[(part * 10)..<(part * 10 + 10)].map { try Fixture.finished($0) }
                        _ = try await store.finish(reports)
                    }
                }
                try await group.waitForAll()
            }
            let today = CivilDate(of: .now())
            let sums = try await CostStore(pool: store.pool).sums(
                by: .kind,
                from: CivilDate(daysSince1970: today.daysSince1970 - 1),
                to: today,
                account: Fixture.account,
                kinds: nil
            )
            #expect(sums.map(\.cost.cpuMicroseconds) == [100_000_000] && sums.map(\.cost.jobs) == [200] && sums.map(\.cost.attempts) == [200])
        }
    }

    // MARK: Kinds

    @Test func aKindIsAskedForByThoseWhoseItIs() async throws {
        try await withTestHouse { house in
            func ask(_ service: String, _ kind: JobKind, _ resourceClass: ResourceClass) async throws -> String {
                let request = JobRequest(
                    kind: kind,
                    resourceClass: resourceClass,
                    accountID: Fixture.account,
                    spec: [:],
                    idempotencyKey: JobID.make().description
                )
                return try await house.service(service).post("/internal/v1/jobs", json: request).verdict
            }
            for rules in JobKindRules.table {
                for service in ["signals", "marketdata"] {
                    let verdict = try await ask(service, rules.kind, rules.classes[0])
                    #expect(verdict == (rules.submitters.contains(service) ? "201" : "403 kind_not_allowed"), "\(service) \(rules.kind)")
                }
            }
            #expect(try await ask("signals", .settlement, .large) == "422 class_not_allowed resource_class")
            #expect(try await ask("marketdata", JobKind("of a later version"), .large) == "201")
            #expect(Set(JobKind.ofOwners) == [.signalRun, .dryRun, .backfillRun, .backtest, .optimisation, .training])
        }
    }
}
