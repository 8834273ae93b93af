import Contracts
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// Where jobs go that ended long ago: nothing is lost on the way, and nothing is missed in the archives.
@Suite("Job archives", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct JobArchiveTests {
    private func superuser(_ database: TestDatabase, _ body: (PostgresConnection) async throws -> Void) async throws {
        let connection = try await PostgresConnection.connect(
            database.superuser,
            on: TestLoop.shared
        )
        // What has ended cannot be changed otherwise, not even its time.
        try await connection.execute("SET session_replication_role = replica")
        try await body(connection)
        await connection.close()
    }

    /// Ends so many jobs, made in three months, each longer than a day ago; gives them by age.
    private func ended(_ count: Int, _ store: PostgresSchedulerStore, _ database: TestDatabase) async throws -> [Job] {
        _ = try await store.insert((0..<count).map { Fixture.job("job \($0)") })
        for _ in 0..<(count / 64 + 1) {
            let jobs = try await store.claim(Fixture.claim(64))
            _ = try await store.finish(
                try jobs.enumerated().map { index, job in
                    index % 5 == 0 ? try Fixture.finished(job, .failed, failure: .exception, log: "broken") : try Fixture.finished(job, log: "fine")
                }
            )
        }
        let jobs = try await store.jobs(JobFilter(accountID: Fixture.account, limit: count + 1)).reversed()
        try await superuser(database) { connection in
            for (index, job) in jobs.enumerated() {
                let month = Int32(index * 3 / count)
                try await connection.execute(
                    """
                    UPDATE jobs SET created_at = '2024-01-15T12:00:00Z'::timestamptz + make_interval(months => \(month)),
                        completed_at = '2024-01-15T13:00:00Z'::timestamptz + make_interval(months => \(month)) WHERE job_id = \(job.id)
                    """
                )
            }
        }
        var dated: [Job] = []
        for job in jobs { dated.append(try #require(try await store.job(job.id))) }
        return dated
    }

    private func hot(_ store: PostgresSchedulerStore) async throws -> Int {
        try await store.pool.query("SELECT count(*) FROM ONLY jobs").first?.column(0) ?? -1
    }

    private func pages(_ store: PostgresSchedulerStore, _ filter: JobFilter) async throws -> [JobID] {
        var (found, filter): ([JobID], JobFilter) = ([], filter)
        while true {
            let page = try await store.jobs(filter).map(\.id)
            found += page
            guard let last = page.last else { return found }
            filter.beyond = last
        }
    }

    @Test func whatIsArchivedIsFoundWhereverItIs() async throws {
        try await withPostgresStore { store, database in
            let jobs = try await ended(60, store, database)
            let open = Fixture.job("open")
            _ = try await store.insert([open])
            // Nothing of the last day goes, whatever is asked for.
            let young = Fixture.job("young")
            _ = try await store.insert([young])
            _ = try await store.cancel(young.id)
            #expect(try await store.archive(endedBefore: .now() + .seconds(3_600), limit: 25) == 25)
            #expect(try await hot(store) == 37)
            let ids = jobs.map(\.id)
            let all = [young.id, open.id] + ids.reversed()
            #expect(try await pages(store, JobFilter(accountID: Fixture.account, limit: 7)) == all)
            #expect(try await store.archive(endedBefore: .now() + .seconds(3_600), limit: 100) == 35)
            #expect(try await store.archive(endedBefore: .now() + .seconds(3_600), limit: 100) == 0)
            #expect(try await hot(store) == 2)
            #expect(
                try await store.pool.query("SELECT name FROM job_archives ORDER BY month").map { try $0.column(0, as: String.self) }
                    == ["jobs_2024_01", "jobs_2024_02", "jobs_2024_03"]
            )
            for job in jobs {
                #expect(try await store.job(job.id) == job)
                #expect(try await store.log(of: job.id)?.text == (job.state == .failed ? "broken" : "fine"))
            }
            #expect(try await pages(store, JobFilter(accountID: Fixture.account, limit: 7)) == all)
            let failed = jobs.filter { $0.state == .failed }.map(\.id)
            #expect(try await pages(store, JobFilter(accountID: Fixture.account, state: .failed, limit: 7)) == failed.reversed())
            #expect(try await pages(store, JobFilter(state: .failed, limit: 7)) == failed.reversed())
            #expect(try await pages(store, JobFilter(accountID: Fixture.account, kinds: [.noop], limit: 7)) == all)
            #expect(try await pages(store, JobFilter(accountID: Fixture.account, state: .pending, limit: 7)) == [open.id])
            // It has ended, and stays as it is.
            #expect(try await store.cancel(jobs[0].id) == .alreadyEnded(jobs[0].state))
            #expect(try await store.finish([try Fixture.finished(jobs[1])])[0].state == .stale)
            await #expect(throws: PostgresError.self) {
                try await store.pool.execute("UPDATE jobs SET error_message = 'x' WHERE job_id = \(jobs[0].id)")
            }
            await #expect(throws: PostgresError.self) { try await store.pool.execute("DELETE FROM jobs") }
            let faults = try await AuditCommand.run(on: store, now: .now()).flatMap(\.faults)
            #expect(faults.isEmpty)
        }
    }

    /// The key of a job is good until the job leaves the hot table, a day after its end at the earliest; then it may make another.
    @Test func aKeyIsGoodForADayAfterTheEnd() async throws {
        try await withPostgresStore { store, database in
            let job = Fixture.job("key")
            _ = try await store.insert([job])
            _ = try await store.cancel(job.id)
            var again = job
            again.id = .make()
            _ = try await store.archive(endedBefore: .now(), limit: 10)
            #expect(try await store.insert([again]) == [.existing(job.id)])
            for made in [job, again] {
                try await superuser(database) { connection in
                    try await connection.execute("UPDATE jobs SET completed_at = clock_timestamp() - interval '25 hours' WHERE job_id = \(made.id)")
                }
                #expect(try await store.archive(endedBefore: .now(), limit: 10) == 1)
                if made.id == again.id { continue }
                #expect(try await store.insert([again]) == [.created(again.id)])
                _ = try await store.cancel(again.id)
            }
            // Both, of the same key and month, are there.
            #expect(try await store.jobs(JobFilter(accountID: Fixture.account, limit: 10)).map(\.id) == [again.id, job.id].sorted(by: >))
        }
    }

    @Test func aRunStaysWithItsDueTimeForTheAudit() async throws {
        try await withPostgresStore { store, database in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let due = try #require(try await store.earliestDueTime())
            _ = try await OccurrenceMaker(store: store).makeDue(at: due)
            let job = try #require(try await store.claim(Fixture.claim(class: .signal)).first)
            _ = try await store.finish([try Fixture.finished(job, log: "text")])
            try await superuser(database) { connection in
                try await connection.execute("UPDATE occurrences SET recorded_at = clock_timestamp(), made_at = '2024-01-15'")
                try await connection.execute("UPDATE jobs SET created_at = '2024-01-15', completed_at = '2024-01-15'")
            }
            func faults() async throws -> [String] { try await AuditCommand.run(on: store, now: due).flatMap(\.faults) }
            #expect(try await faults().isEmpty)
            #expect(try await store.archive(endedBefore: .now(), limit: 10) == 1)
            #expect(try await faults().isEmpty)
            // One that is lost from an archive is missed.
            try await superuser(database) { try await $0.execute("CREATE TABLE kept AS SELECT * FROM jobs_2024_01") }
            try await superuser(database) { try await $0.execute("DELETE FROM jobs_2024_01") }
            #expect(try await faults().count == 1)
            try await superuser(database) { try await $0.execute("INSERT INTO jobs_2024_01 SELECT * FROM kept") }
            // Months that are no longer kept go as a whole, with what their jobs printed, and are not missed.
            let march = try #require(Timestamp(iso8601: "2024-03-20T00:00:00Z"))
            #expect(try await store.dropArchives(keepingMonths: 2, now: march) == 0)
            #expect(try await store.log(of: job.id) != nil)
            #expect(try await store.dropArchives(keepingMonths: 1, now: march) == 1)
            #expect(try await store.dropArchives(keepingMonths: 1, now: march) == 0)
            #expect(try await store.job(job.id) == nil)
            #expect(try await store.log(of: job.id) == nil)
            #expect(try await faults().isEmpty)
        }
    }

    /// A column that jobs get later: archives have it too, wherever it stands.
    @Test func aLaterColumnGoesAlong() async throws {
        try await withPostgresStore { store, database in
            _ = try await ended(6, store, database)
            #expect(try await store.archive(endedBefore: .now(), limit: 3) == 3)
            let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
            try await owner.execute("ALTER TABLE jobs ADD COLUMN later_on integer NOT NULL DEFAULT 7")
            await owner.close()
            #expect(try await store.archive(endedBefore: .now(), limit: 10) == 3)
            let values = try await store.pool.query("SELECT later_on FROM jobs").map { try $0.column(0, as: Int.self) }
            #expect(values == [7, 7, 7, 7, 7, 7])
        }
    }

    @Test func theArchiverMovesABatchAtATimeAndOneReplicaDoes() async throws {
        try await withPostgresStore { store, database in
            _ = try await ended(9, store, database)
            let time = ManualTimeSource(.now())
            let archiver = JobArchiver(store: store, keptMonths: nil, time: time, loop: TestLoop.shared)
            try await store.pool.withTransaction { connection in
                try await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('scheduler.archives', 0))")
                try await archiver.round()
                #expect(try await hot(store) == 9)
            }
            try await archiver.round()
            #expect(try await hot(store) == 0)
        }
    }

    /// A hundred thousand jobs go through a table that holds a thousand: it does not grow with what went through it.
    @Test(.enabled(if: LongTests.areWanted, "AUSPEX_TEST_LONG is not set")) func theHotTableStaysFlat() async throws {
        try await withPostgresStore { store, database in
            func megabytes() async throws -> Double {
                try await store.pool.query("SELECT pg_total_relation_size('jobs')::float8 / 1048576").first?.column(0) ?? 0
            }
            var sizes: [Double] = []
            for round in 0..<LongTests.rounds {
                for part in 0..<10 { _ = try await store.insert((0..<1_000).map { Fixture.job("\(round) \(part) \($0)", account: .platform) }) }
                while true {
                    let jobs = try await store.claim(Fixture.claim(500))
                    if jobs.isEmpty { break }
                    _ = try await store.finish(jobs.map { try Fixture.finished($0) })
                }
                try await superuser(database) { connection in
                    try await connection.execute(
                        "UPDATE ONLY jobs SET completed_at = clock_timestamp() - interval '25 hours' WHERE completed_at IS NOT NULL"
                    )
                }
                while try await store.archive(endedBefore: .now(), limit: 500) != 0 {}
                // What autovacuum does by itself within a minute.
                let owner = try await PostgresConnection.connect(
                    database.owner,
                    on: TestLoop.shared
                )
                try await owner.execute("VACUUM jobs")
                await owner.close()
                sizes.append(try await megabytes())
            }
            print("hot table, MiB by round of 10,000: \(sizes.map { Int($0) })")
            #expect(try #require(sizes.last) <= sizes[2] * 1.5)
        }
    }
}
