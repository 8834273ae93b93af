import Contracts
import Foundation
@testable import Messaging
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// A week of hourly schedules whose runs are claimed, renewed, ended and archived: what every due time writes to does not grow from day to day.
///
/// `AUSPEX_WEEK_SCHEDULES=100000` makes it the size of a large installation, which takes hours. `AUSPEX_WEEK_FIGURES=1` prints what was measured.
@Suite("A simulated week", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct SimulatedWeekTests {
    private static let schedules = ProcessInfo.processInfo.environment["AUSPEX_WEEK_SCHEDULES"].flatMap { Int($0) } ?? 60
    private static let days = 7
    /// What a due time writes to and leaves again: as large at the end of each day.
    private static let hot = ["schedules", "schedule_eras", "occurrences", "jobs", "leases", "outbox"]
    private static let tables = hot + ["cadence_days"]

    /// How often a day changes or deletes rows of a table for one schedule, each of which leaves a dead row: exactly what is done for 24 due times. One more
    /// for each of them has to be found worth it.
    private static let versions = [
        "schedules": 24,
        "schedule_eras": 0,
        // Recorded, and moved to the archive.
        "occurrences": 2 * 24,
        // Claimed, told how far it is, ended, made older by this test, archived.
        "jobs": 5 * 24,
        // Renewed and ended.
        "leases": 2 * 24,
        // The events of a due time and of its run's end, and one of the day: sent, which is done by this test, and deleted.
        "outbox": 2 * (2 * 24 + 1),
        "cadence_days": 0,
    ]

    /// A table at the end of a day, before and after it was vacuumed.
    private struct Standing: Sendable {
        var rows = 0
        /// How many rows were changed or deleted since the table was made.
        var versions = 0
        var deadBefore = 0
        var deadAfter = 0
        var bytes = 0
    }

    @Test func hotTablesStayAsLargeAsTheyAre() async throws {
        try await withPostgresStore { bounded, database in
            let limits = AccountLimits(runningInClass: Self.schedules, running: Self.schedules, open: Self.schedules * 2)
            let store = PostgresSchedulerStore(pool: bounded.pool, outbox: bounded.outbox, limits: limits)
            let superuser = try await PostgresConnection.connect(
                database.superuser,
                on: TestLoop.shared
            )
            try await superuser.execute("CREATE EXTENSION pgstattuple SCHEMA public")
            // What a day leaves is counted: nothing else may clear it away meanwhile.
            for table in Self.tables { try await superuser.execute("ALTER TABLE \(unsafe: table) SET (autovacuum_enabled = false)") }
            try await Self.countVersions(superuser)
            // In the time to come, so that the database's clock takes none of it for a day that is over.
            let start = CivilDate(daysSince1970: CivilDate(of: .now()).daysSince1970 + 30).startUTC
            try await publish(start, store, superuser)
            let maker = OccurrenceMaker(store: store)
            let cadence = CadenceStore(store: store)
            let archive = OccurrenceArchive(store: store)
            var week: [[String: Standing]] = []
            for hour in 1...Self.days * 24 {
                let now = start + .seconds(3_600 * hour)
                var made = 0
                repeat { made = try await maker.makeDue(at: now).schedules } while made > 0
                #expect(try await work(store) == Self.schedules)
                // What signals would bring.
                try await superuser.execute("UPDATE occurrences SET recorded_at = due_at WHERE due_at = \(now)")
                guard hour % 24 == 1, hour > 1 else { continue }
                while try await cadence.settle(now: now) {}
                while try await archive.move(now: now) > 0 {}
                try await passADay(store, superuser)
                week.append(try await Self.standings(superuser))
            }
            try await hold(week, superuser)
            await superuser.close()
        }
    }

    private func publish(_ start: Timestamp, _ store: PostgresSchedulerStore, _ superuser: PostgresConnection) async throws {
        let event = Fixture.publication(.interval(seconds: 3_600), at: start)
        _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: start, in: $0) }
        try await superuser.execute(
            """
            WITH made AS (
                INSERT INTO schedules (schedule_id, state, signal_id, account_id, subject_version, publication, cursor_at, next_due_at)
                SELECT gen_random_uuid(), 'active', gen_random_uuid(), account_id, 1, publication, cursor_at, next_due_at
                FROM schedules, generate_series(2, \(Self.schedules)) RETURNING schedule_id
            )
            INSERT INTO schedule_eras (schedule_id, from_at, to_at, cadence) SELECT made.schedule_id, from_at, to_at, cadence FROM made, schedule_eras
            """
        )
    }

    /// Claims, renews and ends all that waits, as executors do; gives how many jobs that were.
    private func work(_ store: PostgresSchedulerStore) async throws -> Int {
        var done = 0
        while true {
            let jobs = try await store.claim(Fixture.claim(100, class: .signal))
            if jobs.isEmpty { return done }
            let leases = try jobs.map { LeaseRenewal(jobID: $0.id, attemptID: try #require($0.attemptID), progress: 50) }
            #expect(try await store.renew(leases).allSatisfy { $0.state == .held })
            _ = try await store.finish(try jobs.map { try Fixture.finished($0) })
            done += jobs.count
        }
    }

    /// Makes what has ended and what was sent a day older by the database's clock, and has it archived and deleted.
    private func passADay(_ store: PostgresSchedulerStore, _ superuser: PostgresConnection) async throws {
        // What has ended cannot be changed otherwise, not even its time.
        try await superuser.execute("SET session_replication_role = replica")
        try await superuser.execute("UPDATE ONLY jobs SET completed_at = completed_at - interval '25 hours' WHERE completed_at IS NOT NULL")
        try await superuser.execute("SET session_replication_role = origin")
        while try await store.archive(endedBefore: .now(), limit: JobArchiver.batch) == JobArchiver.batch {}
        try await superuser.execute("UPDATE outbox SET sent_at = clock_timestamp() - interval '25 hours'")
        try await RetentionCleaner(pool: store.pool, schema: Migrations.schema).run()
    }

    private func hold(_ week: [[String: Standing]], _ superuser: PostgresConnection) async throws {
        let rows = try await superuser.query(
            """
            SELECT (SELECT count(*) FROM occurrences), (SELECT count(*) FROM occurrences_archive), (SELECT sum(due) FROM cadence_days)::bigint,
                (SELECT count(*) FROM jobs), (SELECT count(*) FROM ONLY jobs)
            """
        )[0]
        let (hot, archived, counted, jobs, hotJobs) = try rows.decode(Int.self, Int.self, Int.self, Int.self, Int.self)
        // Every due time is there once, and counted once its day is over; every run is in the ledger or its archive.
        #expect(hot + archived == Self.schedules * Self.days * 24)
        #expect(counted >= Self.schedules * (Self.days - 1) * 24 - Self.schedules)
        #expect(hot <= Self.schedules * 4 * 24)
        #expect(jobs == Self.schedules * Self.days * 24 && hotJobs == Self.schedules * 23)
        let (middle, end) = (week[week.count - 2], week[week.count - 1])
        for table in Self.tables {
            let (before, after) = (try #require(middle[table]), try #require(end[table]))
            let all = "\(table): \(week.compactMap { $0[table] })"
            // Dead rows are fewer than were left: reading prunes pages as it happens to come by. So what was written is counted, and no more of it is there.
            let left = after.versions - before.versions
            #expect(left <= Self.schedules * (Self.versions[table] ?? 0), "\(all)")
            #expect(after.deadBefore <= left, "\(all)")
            #expect(after.deadAfter <= after.deadBefore / 100 + 10, "\(all)")
            // Who writes elsewhere on the server for long keeps pages from being pruned meanwhile, also those of this database: such a day takes room that
            // later ones use again. What is never used again makes every day grow.
            let bytes = week.compactMap { $0[table]?.bytes }
            let grewEachDay = (week.count - 3..<week.count).allSatisfy { day in
                // The ledger of cadence has a row a schedule and day, and grows by no more.
                let growth = table == "cadence_days" ? Double(day + 1) / Double(day) : 1
                return Double(bytes[day]) > Double(bytes[day - 1]) * growth * 1.15 + 65_536
            }
            #expect(!grewEachDay, "\(all)")
        }
        #expect(end["schedules"]?.rows == Self.schedules && end["schedule_eras"]?.rows == Self.schedules && end["schedule_eras"]?.deadBefore == 0)
        #expect(end["leases"]?.rows == 0 && end["jobs"]?.rows == 0 && end["outbox"]?.rows == 0)
        #expect(try #require(end["cadence_days"]).rows <= Self.schedules * Self.days)
        if ProcessInfo.processInfo.environment["AUSPEX_WEEK_FIGURES"] != nil {
            for table in Self.tables {
                let one = week.compactMap { $0[table] }
                print(
                    "\(table): rows \(one.map(\.rows)), versions \(one.map(\.versions)), dead \(one.map(\.deadBefore)) -> \(one.map(\.deadAfter)), KiB \(one.map { $0.bytes / 1024 })"
                )
            }
        }
    }

    /// Counts from now on what leaves a dead row, in sequences, which no transaction takes back.
    private static func countVersions(_ superuser: PostgresConnection) async throws {
        try await superuser.execute(
            """
            CREATE FUNCTION public.count_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                PERFORM nextval(('public.versions_of_' || TG_TABLE_NAME)::regclass);
                RETURN NULL;
            END $$
            """
        )
        for table in tables {
            try await superuser.execute("CREATE SEQUENCE public.versions_of_\(unsafe: table) MINVALUE 0 START 0")
            // The one that was called first says nought.
            try await superuser.execute("SELECT nextval('public.versions_of_\(unsafe: table)')")
            try await superuser.execute(
                """
                CREATE TRIGGER versions_counted AFTER UPDATE OR DELETE ON \(unsafe: table) FOR EACH ROW EXECUTE FUNCTION public.count_version()
                """
            )
            // What the test itself does to let a day pass is a write as well.
            try await superuser.execute("ALTER TABLE ONLY \(unsafe: table) ENABLE ALWAYS TRIGGER versions_counted")
        }
    }

    /// Vacuums all and says how they stand.
    private static func standings(_ connection: PostgresConnection) async throws -> [String: Standing] {
        func dead(_ table: String) async throws -> (rows: Int, dead: Int) {
            let rows = try await connection.query(
                "SELECT tuple_count, dead_tuple_count FROM public.pgstattuple('scheduler.\(unsafe: table)'::regclass)"
            )
            return try rows[0].decode(Int.self, Int.self)
        }
        var found: [String: Standing] = [:]
        for table in tables {
            let before = try await dead(table)
            var after = before
            // The server itself may look at the database at this moment, which keeps what it sees.
            try await eventually("\(table) without its dead rows") {
                try await connection.execute("VACUUM \(unsafe: table)")
                after = try await dead(table)
                return after.dead <= before.dead / 100 + 10
            }
            let bytes = try await connection.query("SELECT pg_total_relation_size('scheduler.\(unsafe: table)'::regclass)")[0].column(0, as: Int.self)
            let versions = try await connection.query("SELECT last_value FROM public.versions_of_\(unsafe: table)")[0].column(0, as: Int.self)
            found[table] = Standing(rows: after.rows, versions: versions, deadBefore: before.dead, deadAfter: after.dead, bytes: bytes)
        }
        return found
    }
}
