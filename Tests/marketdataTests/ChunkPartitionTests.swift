import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite("Parts of the table of days", .enabled(if: TestServers.hasPostgres)) struct ChunkPartitionTests {
    private func parts(_ connection: PostgresConnection) async throws -> [String] {
        try await connection.query("SELECT DISTINCT tableoid::regclass::text FROM chunks ORDER BY 1").map { try $0.column(0) }
    }

    @Test("Each month of fine bars is a part of its own, hours and days are one") func monthsHoldTheirDays() async throws {
        try await withPostgresStore { store, _, superuser in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-31T23:50:00Z", count: 20), as: "BTCUSD.csv")
            try await bench.take("Date,Open,High,Low,Close,Volume\n2016-10-31,1,2,1,2,5\n2016-11-01,2,3,2,3,5\n", as: "BTCUSD.csv")
            #expect(try await parts(superuser) == ["chunks_coarse", "chunks_fine_2016_10", "chunks_fine_2016_11"])
            #expect(try await bench.closes("BTCUSD", "10m") == ["109.25", "119.25"])
            // A part is dropped without a look at the others.
            try await superuser.execute("DROP TABLE chunks_fine_2016_10")
            #expect(try await Bench(store).closes("BTCUSD", "10m") == ["119.25"])
        }
    }

    @Test("A question for days opens the parts of their months only") func onlyItsMonths() async throws {
        try await withPostgresStore { store, pool, _ in
            _ = try await pool.query(
                "SELECT ensure_chunk_months(array(SELECT generate_series('2015-01-01'::date, '2016-12-01', interval '1 month')::date))"
            )
            let plan = try await pool.query(
                """
                EXPLAIN (COSTS OFF) SELECT c.bytes FROM unnest(array['2016-10-08'::date]) AS wanted (day) JOIN chunks c ON c.day = wanted.day
                WHERE c.instrument_id = gen_random_uuid() AND c.interval_seconds = 1 AND c.day BETWEEN '2016-10-08' AND '2016-11-02'
                """
            ).map { try $0.column(0, as: String.self) }.joined(separator: "\n")
            #expect(plan.contains("chunks_fine_2016_10") && plan.contains("chunks_fine_2016_11"))
            #expect(!plan.contains("chunks_fine_2016_12") && !plan.contains("chunks_coarse") && !plan.contains("chunks_fine_other"), "\(plan)")
        }
    }

    @Test("Days that came before their month was made move into it") func daysMove() async throws {
        try await withPostgresStore { store, pool, superuser in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
            let right = try await bench.closes("BTCUSD", "20m")
            // As a program of before the parts writes.
            try await superuser.execute("UPDATE chunks SET recorded_at = recorded_at")
            try await superuser.execute("CREATE TEMP TABLE kept AS SELECT * FROM chunks")
            try await superuser.execute("DROP TABLE chunks_fine_2016_10")
            try await superuser.execute("INSERT INTO chunks SELECT * FROM kept")
            #expect(try await parts(superuser) == ["chunks_fine_other"])
            #expect(try await Bench(store).closes("BTCUSD", "20m") == right)
            for _ in 0..<2 { _ = try await pool.query("SELECT ensure_chunk_months(array['2016-10-31'::date])") }
            #expect(try await parts(superuser) == ["chunks_fine_2016_10"])
            #expect(try await Bench(store).closes("BTCUSD", "20m") == right)
        }
    }

    @Test("Two imports that need the same new month both get it") func concurrently() async throws {
        try await withPostgresStore { store, pool, superuser in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for month in 1...4 {
                    for _ in 0..<3 {
                        group.addTask {
                            _ = try await pool.query("SELECT ensure_chunk_months(array[make_date(2020, \(month)::int, 5), make_date(2020, 1, 5)])")
                        }
                    }
                }
                try await group.waitForAll()
            }
            let made = try await superuser.query("SELECT count(*) FROM pg_inherits WHERE inhparent = 'chunks_fine'::regclass").first?.column(
                0,
                as: Int.self
            )
            #expect(made == 5)
        }
    }

    @Test("A database of before the parts keeps its days") func migrated() async throws {
        let all = try Migrations.catalogue().migrations
        try await withDatabase(service: "marketdata", migrations: Array(all.prefix(7))) { database in
            let superuser = try await PostgresConnection.connect(
                database.superuser,
                on: TestLoop.shared
            )
            try await superuser.execute(
                """
                INSERT INTO instruments (id, symbol, asset_class, calendar, time_zone, volume_unit, feed, created_at)
                VALUES ('00000000-0000-7000-8000-000000000001', 'OLD', 'crypto', 'always-open', 'UTC', 'base', 'live', now())
                """
            )
            try await superuser.execute(
                """
                INSERT INTO chunks (instrument_id, interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end,
                    covered_from, covered_to, sha256, recorded_at, import_id, bytes)
                SELECT '00000000-0000-7000-8000-000000000001', seconds, 'trade', 'imported', day, revision, revision, 3, day, day, day, day, day,
                    decode(repeat('ab', 32), 'hex'), CASE revision WHEN 1 THEN '-infinity' ELSE now() END, gen_random_uuid(), 'bytes'
                FROM unnest(array[1, 60, 3600, 86400]) AS seconds, unnest(array['2016-10-08'::date, '2019-02-03']) AS day, generate_series(1, 2) AS revision
                """
            )
            let before = try await superuser.query("SELECT md5(string_agg(c::text, '|' ORDER BY c::text)) FROM chunks c").first?.column(
                0,
                as: String.self
            )
            try await Migrator(databaseURL: database.ownerURL, schema: "marketdata", migrations: Array(all.prefix(8))).run()
            let after = try await superuser.query(
                """
                SELECT md5(string_agg(c::text, '|' ORDER BY c::text)) FROM (SELECT instrument_id, interval_seconds, side, origin, day, revision, edition,
                    rows, first_start, first_end, last_end, covered_from, covered_to, sha256, recorded_at, import_id, bytes FROM chunks) AS c
                """
            ).first?.column(0, as: String.self)
            #expect(before == after)
            #expect(try await parts(superuser) == ["chunks_coarse", "chunks_fine_2016_10", "chunks_fine_2019_02"])
            await superuser.close()
        }
    }
}
