import Contracts
import Foundation
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// A week of hourly schedules: what every due time writes to does not grow from day to day.
///
/// `AUSPEX_WEEK_SCHEDULES=100000` makes it the size of a large installation, which takes hours.
@Suite("A simulated week", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct SimulatedWeekTests {
    private static let schedules = ProcessInfo.processInfo.environment["AUSPEX_WEEK_SCHEDULES"].flatMap { Int($0) } ?? 60
    private static let days = 7

    @Test func hotTablesStayAsLargeAsTheyAre() async throws {
        try await withPostgresStore { store, database in
            let superuser = try await PostgresConnection.connect(
                PostgresConfiguration(url: database.superuserURL, schema: "scheduler"),
                on: TestLoop.shared
            )
            // In the time to come, so that the database's clock takes none of it for a day that is over.
            let start = CivilDate(daysSince1970: CivilDate(of: .now()).daysSince1970 + 30).startUTC
            let event = Fixture.publication(.interval(seconds: 3_600), at: start)
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: start, in: $0) }
            try await superuser.execute(
                """
                INSERT INTO schedules (schedule_id, state, signal_id, account_id, subject_version, publication, cursor_at, next_due_at)
                SELECT gen_random_uuid(), 'active', gen_random_uuid(), account_id, 1, publication, cursor_at, next_due_at
                FROM schedules, generate_series(2, \(Self.schedules))
                """
            )
            let maker = OccurrenceMaker(store: store)
            let cadence = CadenceStore(store: store)
            let archive = OccurrenceArchive(store: store)
            var sizes: [[String: Int64]] = []
            for hour in 1...Self.days * 24 {
                let now = start + .seconds(3_600 * hour)
                var made = 0
                repeat { made = try await maker.makeDue(at: now).schedules } while made > 0
                // What executors and signals would bring, and what the ledger of jobs does with runs that have ended.
                try await superuser.execute("UPDATE occurrences SET recorded_at = due_at WHERE due_at = \(now)")
                try await superuser.execute("TRUNCATE jobs, outbox CASCADE")
                guard hour % 24 == 1, hour > 1 else { continue }
                while try await cadence.settle(now: now) {}
                while try await archive.move(now: now) > 0 {}
                for table in ["schedules", "occurrences", "cadence_days"] { try await superuser.execute("VACUUM \(unsafe: table)") }
                sizes.append(try await Self.sizes(superuser))
            }
            let rows = try await superuser.query(
                "SELECT (SELECT count(*) FROM occurrences), (SELECT count(*) FROM occurrences_archive), (SELECT sum(due) FROM cadence_days)::bigint"
            )[0]
            let (hot, archived, counted) = try rows.decode(Int.self, Int.self, Int.self)
            // Every due time is there once, and counted once its day is over.
            #expect(hot + archived == Self.schedules * Self.days * 24)
            #expect(counted >= Self.schedules * (Self.days - 1) * 24 - Self.schedules)
            #expect(hot <= Self.schedules * 4 * 24)
            let (middle, end) = (sizes[sizes.count - 2], sizes[sizes.count - 1])
            for table in ["schedules", "occurrences"] {
                let (before, after) = (try #require(middle[table]), try #require(end[table]))
                #expect(Double(after) <= Double(before) * 1.15 + 65_536, "\(table): \(sizes.map { $0[table] ?? 0 })")
            }
            await superuser.close()
        }
    }

    private static func sizes(_ connection: PostgresConnection) async throws -> [String: Int64] {
        let rows = try await connection.query(
            "SELECT name, pg_total_relation_size(('scheduler.' || name)::regclass) FROM unnest(ARRAY['schedules', 'occurrences', 'cadence_days']) AS name"
        )
        return Dictionary(try rows.map { try $0.decode(String.self, Int64.self) }) { first, _ in first }
    }
}
