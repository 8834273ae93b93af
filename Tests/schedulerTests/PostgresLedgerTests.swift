import Contracts
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// What only the real store can show: several at once, leases that end, plans of the claim.
@Suite(.enabled(if: TestServers.hasPostgres))
struct PostgresLedgerTests {
    private func expire(_ store: PostgresSchedulerStore) async throws {
        try await store.pool.execute("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'")
    }

    @Test func aStaleWorkerThatComesBackChangesNothing() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert([Fixture.job("a")])
            let first = try #require(try await store.claim(Fixture.claim(worker: "first")).first)
            try await expire(store)
            let lost = try await store.expireLeases(limit: 10)
            #expect(lost == 1)
            let standing = try await store.renew([LeaseRenewal(jobID: first.id, attemptID: try #require(first.attemptID), progress: 99)])
            #expect(standing[0].state == .lost)
            try await store.pool.execute("UPDATE jobs SET available_at = clock_timestamp()")
            let second = try #require(try await store.claim(Fixture.claim(worker: "second")).first)
            #expect(second.attempt == 2 && second.attemptID != first.attemptID)
            let late = try await store.finish([try Fixture.finished(first, result: ["from": "first"])])
            #expect(late[0].state == .stale)
            let accepted = try await store.finish([try Fixture.finished(second, result: ["from": "second"])])
            #expect(accepted[0].state == .accepted)
            let ended = try #require(try await store.job(first.id))
            #expect(ended.result == ["from": "second"])
        }
    }

    /// A worker has room in classes that have nothing most of the time: to ask for these again is a look, for which nobody waits in turn.
    @Test(.timeLimit(.minutes(10))) func aClaimWhereNothingWaitsTakesNoTurn() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert([Fixture.job("a")])
            let first = Fixture.claim(5)
            let won = try await store.claim(first)
            let nothing = try await store.claim(Fixture.claim(5))
            #expect(won.count == 1 && nothing.isEmpty)
            try await store.pool.withTransaction { connection in
                _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended('scheduler.claims', 0))")
                let still = try await store.claim(Fixture.claim(5))
                // What a claim got before it hears again without a turn.
                let again = try await store.claim(first)
                let repeated = try await store.claim(Claim(id: first.id, worker: first.worker, classes: []))
                #expect(still.isEmpty && again.map(\.attemptID) == won.map(\.attemptID) && repeated.map(\.attemptID) == won.map(\.attemptID))
            }
            _ = try await store.insert([Fixture.job("b"), Fixture.job("c", class: .standard)])
            let both = Claim(id: .make(), worker: "worker", classes: [ClassSlots(class: .small, slots: 2), ClassSlots(class: .standard, slots: 2)])
            #expect(Set(try await store.claim(both).map(\.idempotencyKey)) == ["b", "c"])
        }
    }

    /// Plans are made once on each connection, the first of them while the tables are still empty; a plan that read all of a table would stay.
    @Test func endsLookJobsUpByTheirKeysFromTheFirstOn() async throws {
        try await withPostgresStore { store, _ in
            let plan = try await store.pool.withTransaction { connection in
                _ = try await connection.query(.plannedOnce)
                var explained: SQL = "EXPLAIN (COSTS OFF) "
                explained.append(PostgresSchedulerStore.locking([FinishedJob(jobID: .make(), attemptID: .make(), outcome: .completed)]))
                return try await connection.query(explained.unprepared).map { try $0.column(0, as: String.self) }.joined(separator: "\n")
            }
            #expect(plan.contains("Index Scan using jobs_pkey") && plan.contains("Nested Loop") && !plan.contains("Seq Scan"), "\(plan)")
        }
    }

    @Test func aJobThatIsLostThreeTimesHasFailed() async throws {
        try await withPostgresStore { store, _ in
            let job = Fixture.job("a")
            _ = try await store.insert([job])
            var last: Job?
            for attempt in 1...3 {
                try await store.pool.execute("UPDATE jobs SET available_at = clock_timestamp()")
                let claimed = try await store.claim(Fixture.claim())
                #expect(claimed.first?.attempt == attempt)
                last = claimed.first
                try await expire(store)
                _ = try await store.expireLeases(limit: 10)
            }
            let ended = try #require(try await store.job(job.id))
            #expect(ended.state == .failed && ended.failureKind == .lostWorker)
            // The last worker comes back: what it brings is dropped, so it must not hear that it was accepted.
            let late = try await store.finish([try Fixture.finished(try #require(last), result: ["late": true])])
            #expect(late[0].state == .stale)
            let unchanged = try #require(try await store.job(job.id))
            #expect(unchanged.state == .failed && unchanged.result == nil)
        }
    }

    @Test func waitingTooLongIsAFailedAttempt() async throws {
        try await withPostgresStore { store, _ in
            let job = Fixture.job("a")
            _ = try await store.insert([job])
            for _ in 1...3 {
                try await store.pool.execute("UPDATE jobs SET queue_deadline = clock_timestamp() - interval '1 s'")
                let count = try await store.expireWaits(limit: 10)
                #expect(count == 1)
            }
            let ended = try #require(try await store.job(job.id))
            #expect(ended.state == .failed && ended.failureKind == .queueTimeout && ended.attempt == 3)
        }
    }

    @Test func listsOfOneSignalOrKindDoNotWalkTheHistory() async throws {
        try await withPostgresStore { store, database in
            let signal = SignalID.make()
            let bulk: SQL = """
                INSERT INTO jobs (job_id, state, resource_class, priority, precedence, max_attempts, kind, account_id, queue_deadline, completed_at,
                    signal_id, idempotency_key, input_sha256, spec)
                SELECT gen_random_uuid(), 'completed', 'signal', 2, 2, 3, CASE WHEN run % 1000 = 0 THEN 'import' ELSE 'signal_run' END,
                    \(Fixture.account), clock_timestamp(), clock_timestamp(), CASE run WHEN 7 THEN \(signal) ELSE gen_random_uuid() END, run::text,
                    sha256('x'), '{}'
                FROM generate_series(1, 5000) AS run
                """
            try await store.pool.execute(bulk)
            let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            try await owner.execute("ANALYZE jobs")
            await owner.close()
            func plan(_ filter: JobFilter) async throws -> String {
                var explained: SQL = "EXPLAIN "
                explained.append(PostgresSchedulerStore.listing(filter))
                return try await store.pool.query(explained.unprepared).map { try $0.column(0) as String }.joined(separator: "\n")
            }
            let bySignal = try await plan(JobFilter(accountID: Fixture.account, signalID: signal, limit: 50))
            #expect(bySignal.contains("jobs_by_signal"), "\(bySignal)")
            let byKind = try await plan(JobFilter(accountID: Fixture.account, kinds: [JobKind("import")], limit: 50))
            #expect(byKind.contains("jobs_idempotency") && !byKind.contains("jobs_account"), "\(byKind)")
            #expect(try await store.jobs(JobFilter(accountID: Fixture.account, signalID: signal, limit: 50)).count == 1)
            #expect(try await store.jobs(JobFilter(accountID: Fixture.account, kinds: [JobKind("import")], limit: 50)).count == 5)
            #expect(try await store.jobs(JobFilter(accountID: Fixture.account, kinds: [.signalRun], limit: 50)).count == 50)
        }
    }

    @Test func aRenewalThatSaysNothingNewWritesNoJob() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert([Fixture.job("a"), Fixture.job("b")])
            let jobs = try await store.claim(Fixture.claim(2))
            func renew(_ progress: Int) async throws {
                let leases = try jobs.map { LeaseRenewal(jobID: $0.id, attemptID: try #require($0.attemptID), progress: progress) }
                #expect(try await store.renew(leases).allSatisfy { $0.state == .held })
            }
            func rows() async throws -> [String] {
                try await store.pool.query("SELECT ctid::text || xmin::text FROM jobs ORDER BY job_id").map { try $0.column(0) }
            }
            try await renew(40)
            let before = try await rows()
            try await renew(40)
            #expect(try await rows() == before)
            try await renew(400)
            #expect(try await rows() != before)
            #expect(try await store.jobs(JobFilter(accountID: Fixture.account, limit: 2)).map(\.progress) == [100, 100])
        }
    }

    @Test func manyWorkersAtOnceGetEachJobOnce() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert((0..<400).map { Fixture.job("job \($0)", account: AccountID.make()) })
            let claimed = try await withThrowingTaskGroup(of: [Job].self) { group in
                for worker in 0..<8 {
                    group.addTask {
                        var mine: [Job] = []
                        var empty = 0
                        while empty < 20 {
                            let jobs = try await store.claim(Fixture.claim(7, worker: "worker \(worker)"))
                            empty = jobs.isEmpty ? empty + 1 : 0
                            mine += jobs
                        }
                        return mine
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(claimed.count == 400 && Set(claimed.map(\.id)).count == 400)
        }
    }

    @Test func theSameClaimTwiceAtOnceGetsTheSame() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert((0..<20).map { Fixture.job("job \($0)") })
            let claim = Fixture.claim(5)
            async let one = store.claim(claim)
            async let two = store.claim(claim)
            let (first, second) = try await (one, two)
            #expect(first.count == 5 && Set(first.map(\.id)) == Set(second.map(\.id)))
        }
    }

    @Test func twoSchedulersAtOnceFireEachDueTimeOnce() async throws {
        try await withPostgresStore { store, database in
            let events = (0..<60).map { _ in Fixture.publication(.interval(seconds: 60)) }
            for event in events {
                _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            }
            let due = try #require(try await store.earliestDueTime())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let maker = OccurrenceMaker(store: store)
                        for step in 0..<10 { _ = try await maker.makeDue(at: due + .seconds(step * 60)) }
                    }
                }
                try await group.waitForAll()
            }
            let doubled = try await store.pool.query("SELECT schedule_id FROM occurrences GROUP BY schedule_id, due_at HAVING count(*) > 1")
            #expect(doubled.isEmpty)
            let total = try await store.pool.query("SELECT count(*) FROM occurrences").first?.column(0, as: Int.self)
            #expect(total == 600)
            let checks = try await AuditCommand.run(on: store, now: due + .seconds(600))
            let faults = checks.flatMap(\.faults)
            #expect(faults.isEmpty)
            // One lost and one doubled row are found.
            let superuser = try await PostgresConnection.connect(
                database.superuser,
                on: TestLoop.shared
            )
            try await superuser.execute(
                "DELETE FROM occurrences WHERE occurrence_id = (SELECT occurrence_id FROM occurrences WHERE outcome = 'skipped' LIMIT 1)"
            )
            let lost = try await AuditCommand.run(on: store, now: due + .seconds(600))
            #expect(lost.first?.faults.count == 1)
            try await superuser.execute(
                """
                INSERT INTO occurrences (occurrence_id, outcome, schedule_id, signal_id, account_id, due_at, as_of, made_at)
                SELECT gen_random_uuid(), 'skipped', schedule_id, signal_id, account_id, due_at + interval '1 second', as_of, made_at FROM occurrences LIMIT 1
                """
            )
            let doubledToo = try await AuditCommand.run(on: store, now: due + .seconds(600))
            #expect(doubledToo.first?.faults.count == 2)
            await superuser.close()
        }
    }

    /// As many schedules as this one, all due at once.
    private func crowd(of signal: SignalID, _ count: Int, _ store: PostgresSchedulerStore) async throws {
        try await store.pool.execute(
            """
            INSERT INTO schedules (schedule_id, state, signal_id, account_id, subject_version, publication, cursor_at, next_due_at)
            SELECT gen_random_uuid(), state, copy, account_id, subject_version, jsonb_set(publication, '{signal_id}', to_jsonb(copy::text)),
                cursor_at, next_due_at
            FROM schedules CROSS JOIN LATERAL (SELECT gen_random_uuid() AS copy FROM generate_series(2, \(Int32(count)))) AS copies
            WHERE signal_id = \(signal)
            """
        )
    }

    @Test func oneLookWorksOffAWholeCrowd() async throws {
        try await withPostgresStore { store, _ in
            let event = Fixture.publication(.interval(seconds: 3_600))
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let due = try #require(try await store.earliestDueTime())
            // More than one transaction works off, and no multiple of that.
            let count = 3 * OccurrenceMaker.batch + 7
            try await crowd(of: event.signalID, count, store)
            let time = ManualTimeSource(due + .seconds(4))
            let hints = Mutex<[ResourceClass]>([])
            let ticker = Ticker(store: store, time: time, loop: TestLoop.shared) { hint in hints.withLock { $0.append(hint) } }
            _ = try await ticker.look()
            #expect(hints.withLock { $0.count } >= count / OccurrenceMaker.batch && hints.withLock { $0.allSatisfy { $0 == .signal } })
            let row = try #require(
                try await store.pool.query(
                    """
                    SELECT count(*), count(DISTINCT schedule_id), count(DISTINCT job_id), count(*) FILTER (WHERE outcome = 'fired'),
                        (SELECT count(*) FROM jobs WHERE state = 'pending'),
                        (SELECT count(DISTINCT convert_from(envelope, 'UTF8')::jsonb ->> 'subject') FROM outbox
                         WHERE convert_from(envelope, 'UTF8')::jsonb ->> 'subject_version' = '1'),
                        (SELECT count(*) FROM schedules WHERE event_version = 1 AND cursor_at = \(due + .seconds(4)) AND next_due_at = \(due + .seconds(3_600)))
                    FROM occurrences WHERE due_at = \(due)
                    """
                ).first
            )
            for column in 0..<7 { #expect(try row.column(column, as: Int.self) == count, "column \(column)") }
            // Nothing is left, and nothing is made twice.
            _ = try await ticker.look()
            #expect(try await store.pool.query("SELECT count(*) FROM occurrences").first?.column(0, as: Int.self) == count)
        }
    }

    /// The tail of the first crowd shares a transaction with the head of the second; either may be the larger part of it.
    @Test(arguments: [1_200, 1_300]) func twoCrowdsAtOnceAreBothInTime(first: Int) async throws {
        try await withPostgresStore { store, _ in
            let counts = [first, 1_300]
            let cadences = [Cadence.cron(expression: "59 59 * * * *", zone: "UTC"), .interval(seconds: 3_600)]
            for (cadence, count) in zip(cadences, counts) {
                let event = Fixture.publication(cadence)
                _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
                try await crowd(of: event.signalID, count, store)
            }
            let due = try #require(try await store.earliestDueTime())
            let looks = Self.looks()
            let ticker = Ticker(store: store, time: ManualTimeSource(due + .seconds(4)), loop: TestLoop.shared) { _ in }
            _ = try await ticker.look()
            let rows = try await store.pool.query(
                "SELECT due_at, count(*), count(*) FILTER (WHERE outcome = 'fired') FROM occurrences GROUP BY due_at ORDER BY due_at"
            )
            #expect(try rows.map { try $0.column(0, as: Timestamp.self) } == [due, due + .seconds(1)])
            for column in 1...2 { #expect(try rows.map { try $0.column(column, as: Int.self) } == counts) }
            // Each transaction is seen in the figures, not each crowd.
            #expect(Self.looks() >= looks + counts.reduce(0, +) / OccurrenceMaker.batch)
        }
    }

    private static func looks() -> Int {
        let line = Metrics.shared.render().split(separator: "\n").first { $0.hasPrefix("auspex_scheduler_tick_lag_seconds_count") }
        return line.flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
    }

    @Test func anEndedJobCannotBeChanged() async throws {
        try await withPostgresStore { store, _ in
            let job = Fixture.job("a")
            _ = try await store.insert([job])
            _ = try await store.cancel(job.id)
            await #expect(throws: PostgresError.self) {
                try await store.pool.execute("UPDATE jobs SET state = 'pending', completed_at = NULL WHERE job_id = \(job.id)")
            }
        }
    }

    @Test func theSweeperWaitsForAWholeLease() async throws {
        try await withPostgresStore { store, _ in
            let time = ManualTimeSource()
            let sweeper = Sweeper(store: store, time: time, loop: TestLoop.shared) { _ in }
            _ = try await store.insert([Fixture.job("a")])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            try await expire(store)
            for _ in 0..<29 {
                time.advance(by: .seconds(1))
                await sweeper.round()
            }
            let early = try #require(try await store.job(job.id))
            #expect(early.state == .running)
            time.advance(by: .seconds(1))
            await sweeper.round()
            let taken = try #require(try await store.job(job.id))
            #expect(taken.state == .pending && taken.failureKind == .lostWorker)
        }
    }

    @Test func aJobThatCannotBeEndedHoldsUpNoOther() async throws {
        try await withPostgresStore { store, database in
            let jobs = (0..<3).map { Fixture.job("job \($0)") }
            _ = try await store.insert(jobs)
            _ = try await store.claim(Fixture.claim())
            let superuser = try await PostgresConnection.connect(
                database.superuser,
                on: TestLoop.shared
            )
            try await superuser.execute("CREATE TABLE broken (job_id uuid)")
            try await superuser.execute("INSERT INTO broken VALUES (\(jobs[0].id))")
            try await superuser.execute("GRANT SELECT ON broken TO scheduler_app")
            try await superuser.execute(
                """
                CREATE FUNCTION refuse_broken() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN IF EXISTS (SELECT FROM scheduler.broken WHERE job_id = NEW.job_id) THEN RAISE check_violation; END IF; RETURN NEW; END'
                """
            )
            try await superuser.execute("CREATE TRIGGER broken BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION refuse_broken()")
            await superuser.close()
            try await expire(store)
            let time = ManualTimeSource()
            let sweeper = Sweeper(store: store, time: time, loop: TestLoop.shared) { _ in }
            for _ in 0..<31 {
                time.advance(by: .seconds(1))
                await sweeper.round()
            }
            var states: [JobState?] = []
            for job in jobs { states.append(try await store.job(job.id)?.state) }
            #expect(states == [.running, .pending, .pending])
            // Nor does it postpone what comes later.
            #expect(sweeper.mayExpire)
            // Waits end the same way.
            try await store.pool.execute(
                "UPDATE jobs SET queue_deadline = clock_timestamp() - interval '1 s' WHERE job_id <> \(jobs[0].id)"
            )
            let count = try await store.expireWaits(limit: 10)
            #expect(count == 2)
        }
    }

    @Test func aReleasedJobWaitsFromThenOn() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert([Fixture.job("a")])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            // It ran for longer than it might have waited.
            try await store.pool.execute("UPDATE jobs SET queue_deadline = clock_timestamp() - interval '1 s'")
            try await store.release([LeaseReference(jobID: job.id, attemptID: try #require(job.attemptID))])
            let late = try await store.expireWaits(limit: 10)
            let released = try #require(try await store.job(job.id))
            #expect(late == 0 && released.state == .pending && released.attempt == 0)
        }
    }

    /// An end locks the job and then its lease; a renewal in the other order could wait for it while it waits for the renewal.
    @Test func aRenewalThatWaitsForAJobHoldsNoLease() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert([Fixture.job("a")])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            let renewal = LeaseRenewal(jobID: job.id, attemptID: try #require(job.attemptID), progress: 50)
            let renewing = try await store.pool.withTransaction { ending in
                try await ending.execute("SELECT FROM jobs WHERE job_id = \(job.id) FOR NO KEY UPDATE")
                let renewing = Task { try await store.renew([renewal]) }
                try await eventually("the renewal waiting") {
                    try await store.pool.query(
                        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    ).count == 1
                }
                try await ending.execute("SELECT FROM leases WHERE job_id = \(job.id) FOR UPDATE NOWAIT")
                return renewing
            }
            let standing = try await renewing.value
            #expect(standing.map(\.state) == [.held])
        }
    }

    @Test func aPauseOfTheProcessTakesNothingFromWorkers() async throws {
        try await withPostgresStore { store, _ in
            let time = ManualTimeSource()
            let sweeper = Sweeper(store: store, time: time, loop: TestLoop.shared) { _ in }
            for _ in 0..<60 {
                time.advance(by: .seconds(1))
                await sweeper.round()
            }
            _ = try await store.insert([Fixture.job("a")])
            let job = try #require(try await store.claim(Fixture.claim()).first)
            // Stopped for a minute: nobody could renew.
            try await expire(store)
            time.advance(by: .seconds(60))
            await sweeper.round()
            for _ in 0..<29 {
                time.advance(by: .seconds(1))
                await sweeper.round()
            }
            let spared = try #require(try await store.job(job.id))
            #expect(spared.state == .running)
            time.advance(by: .seconds(1))
            await sweeper.round()
            let taken = try #require(try await store.job(job.id))
            #expect(taken.state == .pending && taken.failureKind == .lostWorker)
        }
    }

    @Test func accountsWhoseJobsWaitForTheirTimeStarveNobody() async throws {
        try await withPostgresStore { store, _ in
            var jobs = (0..<100).map { Fixture.job("later \($0)", account: .make()) }
            for index in jobs.indices { jobs[index].availableAt = .now() + .seconds(3_600) }
            // Ids rise with time: this account stands behind all of them.
            let ready = Fixture.job("ready", account: .make())
            _ = try await store.insert(jobs + [ready])
            let claimed = try await store.claim(Fixture.claim(5))
            #expect(claimed.map(\.id) == [ready.id])
        }
    }

    @Test func moreAccountsThanAClaimCanSeeAllGetTheirTurn() async throws {
        try await withPostgresStore { store, _ in
            let accounts = (0..<100).map { _ in AccountID.make() }
            for round in 0..<4 { _ = try await store.insert(accounts.map { Fixture.job("round \(round)", account: $0) }) }
            var served: [AccountID: Int] = [:]
            for _ in 0..<100 {
                let jobs = try await store.claim(Fixture.claim(2))
                for job in jobs { served[job.accountID, default: 0] += 1 }
                _ = try await store.finish(jobs.map { try Fixture.finished($0) })
            }
            #expect(served.count == 100 && served.values.allSatisfy { (1...3).contains($0) })
            // What comes first still comes first, wherever the walk begins.
            _ = try await store.insert([Fixture.job("urgent", account: accounts[50], priority: .urgent)])
            let urgent = try await store.claim(Fixture.claim(1))
            #expect(urgent.map(\.idempotencyKey) == ["urgent"])
        }
    }

    @Test func eventsOfEndedJobsThatAreHeardOfAreInTheOutbox() async throws {
        try await withPostgresStore { store, _ in
            _ = try await store.insert((0..<3).map { Fixture.job("job \($0)", kind: .signalRun) } + [Fixture.job("of no interest to others")])
            let claimed = try await store.claim(Fixture.claim())
            #expect(claimed.count == 4)
            _ = try await store.finish(claimed.map { try Fixture.finished($0, result: ["ok": true]) })
            let jobs = claimed.filter { $0.kind == .signalRun }
            let rows = try await store.pool.query("SELECT envelope FROM outbox WHERE type = \(JobCompleted.eventType)")
            let events = try rows.map { try Envelope(decoding: try $0.column(0, as: [UInt8].self)).body(as: JobCompleted.self) }
            #expect(Set(events.map(\.jobID)) == Set(jobs.map(\.id)) && events.allSatisfy { $0.outcome == .completed && $0.result == ["ok": true] })
        }
    }

    /// In a time zone, say, that was there when it was published and is not on this machine.
    @Test func aScheduleWhoseGridCannotBeReadWaitsAndHoldsUpNothing() async throws {
        try await withPostgresStore { store, _ in
            let (broken, sound) = (Fixture.publication(.cron(expression: "0 * * * *", zone: "Europe/Berlin")), Fixture.publication())
            for event in [broken, sound] {
                _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: event.publishedAt, in: $0) }
            }
            let before = try #require(try await store.schedule(of: broken.signalID))
            func setZone(_ zone: String) async throws {
                try await store.pool.execute(
                    """
                    UPDATE schedules SET publication = jsonb_set(publication, '{manifest,schedule,zone}', to_jsonb(\(zone)::text))
                    WHERE signal_id = \(broken.signalID)
                    """
                )
            }
            try await setZone("Mars/Base")
            let now = try #require(before.nextDueAt)
            let maker = OccurrenceMaker(store: store)
            #expect(try await maker.makeDue(at: now).jobs == 1)
            // Not at once again, which would be all the time.
            #expect(try await maker.makeDue(at: now).schedules == 0)
            let waiting = try #require(try await store.schedule(of: broken.signalID))
            #expect(waiting.nextDueAt == before.nextDueAt && waiting.cursor == before.cursor)
            let next = try #require(try await store.schedule(of: sound.signalID)?.nextDueAt)
            #expect(try await store.earliestDueTime(besides: maker.resting(at: now)) == next, "nothing is looked for before it")
            // What was due meanwhile is not lost.
            try await setZone("Europe/Berlin")
            #expect(try await maker.makeDue(at: now + OccurrenceMaker.retryAfter - .microseconds(1)).jobs == 0)
            #expect(try await maker.makeDue(at: now + OccurrenceMaker.retryAfter).jobs == 1)
            #expect(try await store.occurrences(of: before.id, before: nil, limit: 9).map(\.dueAt) == [now])
            #expect(try await store.schedule(of: broken.signalID)?.nextDueAt == now + .seconds(3_600))
        }
    }

    /// While images roll, one replica's machine may lack what another's has.
    @Test func whatOneReplicaCannotReadAnotherRuns() async throws {
        try await withPostgresStore { store, _ in
            let event = Fixture.publication()
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: event.publishedAt, in: $0) }
            let readable = try #require(try await store.schedule(of: event.signalID))
            let now = try #require(readable.nextDueAt)
            func set(_ cadence: Cadence) async throws {
                let publication = Fixture.publication(cadence, signal: event.signalID)
                try await store.pool.execute(
                    "UPDATE schedules SET publication = \(try PostgresJSON(encoding: publication)) WHERE signal_id = \(event.signalID)"
                )
            }
            let (old, new) = (OccurrenceMaker(store: store), OccurrenceMaker(store: store))
            // As the old one sees it.
            try await set(.cron(expression: "0 * * * *", zone: "Mars/Base"))
            let row: SQL = "SELECT xmin::text || schedules::text FROM schedules"
            let before = try await store.pool.query(row).first?.column(0, as: String.self)
            #expect(try await old.makeDue(at: now).jobs == 0)
            let after = try await store.pool.query(row).first?.column(0, as: String.self)
            #expect(after == before)
            // As the new one does.
            try await set(.interval(seconds: 3_600))
            #expect(try await old.makeDue(at: now).schedules == 0)
            #expect(try await new.makeDue(at: now).jobs == 1)
            // Armed anew it is another matter for the old one as well.
            try await store.pool.execute("UPDATE schedules SET next_due_at = \(now + .seconds(1))")
            #expect(try await old.makeDue(at: now + .seconds(1)).schedules == 1)
            // A clock that is set back makes no rest longer.
            #expect(old.resting(at: now).count == 1 && old.resting(at: now - .seconds(3_600)).isEmpty)
        }
    }

    @Test func jobsGoThroughQuickly() async throws {
        try await withPostgresStore { store, _ in
            let total = 2_000
            let started = ContinuousClock.now
            let intake = JobIntake(store: store, loop: TestLoop.shared) { _ in }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for sender in 0..<32 {
                    group.addTask { for number in 0..<total / 32 { _ = try await intake.insert(Fixture.job("job \(sender) \(number)")) } }
                }
                try await group.waitForAll()
            }
            let created = ContinuousClock.now - started
            var done = 0
            var claiming = Duration.zero
            while done < total / 32 * 32 {
                let began = ContinuousClock.now
                let jobs = try await store.claim(Fixture.claim(50))
                claiming += ContinuousClock.now - began
                if jobs.isEmpty { break }
                done += try await store.finish(jobs.map { try Fixture.finished($0) }).count
            }
            let all = ContinuousClock.now - started
            print(
                "jobs: \(Int(Double(total) / (created / .seconds(1))))/s made, \(Int(Double(done) / (all / .seconds(1))))/s made, claimed and finished"
            )
            #expect(done == total / 32 * 32)
        }
    }
}
