import Bars
import Contracts
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// For how long days are kept, and that nothing goes that a rule, a replay or a reader needs.
@Suite("Retention", .serialized, .enabled(if: TestServers.hasPostgres)) struct RetentionTests {
    /// A store with three minutes a day of BTCUSD from August to October, which makes the end of October the day that rules count from.
    private struct World {
        let bench: Bench
        let store: PostgresMarketdataStore
        let pool: PostgresPool
        let superuser: PostgresConnection
        let rules: RetentionStore
        let retention: Retention

        func id(_ symbol: String = "BTCUSD") async throws -> InstrumentID { try #require(try await store.instrument(symbol: symbol)).id }

        func keep(_ days: Int?, _ symbol: String? = nil, interval: Int? = nil) async throws {
            var scope = RetentionScope(intervalSeconds: interval)
            if let symbol { scope.instrument = try await id(symbol) }
            _ = try await rules.put(scope, keepDays: days)
        }

        func series(_ symbol: String = "BTCUSD") async throws -> [String] {
            try await store.series(of: try await id(symbol)).map { "\($0.key.intervalSeconds) \($0.firstDay.text) \($0.lastDay.text)" }
        }

        func count(_ what: SQL) async throws -> Int { try #require(try await superuser.query("SELECT count(*) FROM \(what)").first).column(0) }

        func parts() async throws -> [String] {
            try await superuser.query(
                "SELECT relname::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'chunks_fine'::regclass ORDER BY 1"
            ).map { try $0.column(0) }
        }

        /// The first day of the bars that are answered.
        func firstDay(_ bench: Bench? = nil, _ change: (inout BarRequest) -> Void = { _ in }) async throws -> String? {
            var request = BarRequest(symbol: "BTCUSD", interval: try BarInterval(text: "1m"))
            request.countback = 500
            change(&request)
            return try await (bench ?? self.bench).reader.read(request).bars.starts.first.map { CivilDay(utcMicroseconds: $0).text }
        }

        /// What the tables say of each other.
        func expectSound(sourceLocation: SourceLocation = #_sourceLocation) async throws {
            let wrong = try await superuser.query(
                """
                SELECT instrument_id::text || ' ' || interval_seconds FROM series s FULL JOIN (
                    SELECT instrument_id, interval_seconds, side, origin, min(day) AS first, max(day) AS last, min(first_end) AS first_end
                    FROM chunks GROUP BY 1, 2, 3, 4
                ) AS c USING (instrument_id, interval_seconds, side, origin)
                WHERE (s.first_day, s.last_day, s.first_end) IS DISTINCT FROM (c.first, c.last, c.first_end)
                """
            )
            #expect(wrong.isEmpty, "a series says what is not so", sourceLocation: sourceLocation)
            let slots = try await superuser.query(
                """
                SELECT FROM chunk_slots s FULL JOIN chunks c USING (instrument_id, interval_seconds, side, origin, day, revision)
                WHERE s.slots IS NULL OR c.bytes IS NULL
                """
            )
            #expect(slots.isEmpty, "slots without a day, or a day without slots", sourceLocation: sourceLocation)
        }
    }

    private func withWorld(_ body: (World) async throws -> Void) async throws {
        try await withPostgresStore { store, pool, superuser in
            let rules = RetentionStore(pool: pool)
            let bench = try Bench(store)
            try await bench.take(days(from: "2016-08-01T12:00:00Z", count: 92), as: "BTCUSD.csv")
            try await body(
                World(
                    bench: bench,
                    store: store,
                    pool: pool,
                    superuser: superuser,
                    rules: rules,
                    retention: Retention(store: rules, time: SystemTimeSource(), loop: TestLoop.shared)
                )
            )
        }
    }

    /// Three minutes of each of so many days.
    private func days(from start: String, count: Int, price: Int = 100) -> String {
        var lines = ["time,open,high,low,close,volume"]
        for day in 0..<count {
            for minute in 0..<3 {
                let time = (at(start) + .seconds(86_400 * day + 60 * minute)).iso8601.prefix(19)
                lines.append("\(time),\(price),\(price).75,\(price - 1).5,\(price).25,\(minute + 1)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private let daily = "Date,Open,High,Low,Close,Volume\n2016-01-03,1,2,1,2,5\n2016-01-04,2,3,2,3,5\n2016-01-05,2,3,2,3,5\n"

    @Test("Without a rule everything stays") func noRule() async throws {
        try await withWorld { world in
            let rules = try await world.store.retention(of: try await world.id())
            #expect(rules.isEmpty)
            #expect(await world.retention.round() == 0)
            let count = try await world.count("chunks")
            #expect(count == 92)
        }
    }

    @Test("The most specific rule applies, an instrument before an interval") func precedence() async throws {
        try await withWorld { world in
            try await world.bench.take(daily, as: "BTCUSD.csv")
            let id = try await world.id()
            func kept() async throws -> [Int: String] {
                var found: [Int: String] = [:]
                for (series, one) in try await world.store.retention(of: id) {
                    found[series.intervalSeconds] = "\(one.keepDays.map(String.init) ?? "ever") \(one.keptFrom?.text ?? "-")"
                }
                return found
            }
            try await world.keep(400)
            #expect(try await kept() == [60: "400 2015-09-27", 86_400: "400 2015-09-27"])
            try await world.keep(100, interval: 60)
            #expect(try await kept() == [60: "100 2016-07-23", 86_400: "400 2015-09-27"])
            try await world.keep(300, "BTCUSD")
            #expect(try await kept() == [60: "300 2016-01-05", 86_400: "300 2016-01-05"])
            try await world.keep(nil, "BTCUSD", interval: 86_400)
            #expect(try await kept() == [60: "300 2016-01-05", 86_400: "ever -"])
            #expect(await world.retention.round() == 0)
            #expect(try await world.rules.delete(RetentionScope(instrument: id, intervalSeconds: 86_400)))
            #expect(await world.retention.round() == 2)
            #expect(try await world.series() == ["60 2016-08-01 2016-10-31", "86400 2016-01-05 2016-01-05"])
            try await world.expectSound()
        }
    }

    @Test("A month that nobody keeps goes as a part, the days of another one by one") func monthAndDays() async throws {
        try await withWorld { world in
            try await world.keep(45)
            #expect(await world.retention.round() == 31 + 15)
            #expect(try await world.parts() == ["chunks_fine_2016_09", "chunks_fine_2016_10", "chunks_fine_other"])
            #expect(try await world.series() == ["60 2016-09-16 2016-10-31"])
            #expect(try await world.count("chunks") == 46)
            #expect(try await world.firstDay() == "2016-09-16")
            try await world.expectSound()
            #expect(await world.retention.round() == 0)
        }
    }

    @Test("A month that somebody keeps stays, with their days only") func sharedMonth() async throws {
        try await withWorld { world in
            try await world.bench.take(days(from: "2016-08-01T12:00:00Z", count: 40), as: "ETHUSD.csv", assetClass: .crypto)
            try await world.keep(45)
            try await world.keep(nil, "ETHUSD")
            #expect(await world.retention.round() == 46)
            #expect(try await world.parts().contains("chunks_fine_2016_08"))
            #expect(try await world.series("ETHUSD") == ["60 2016-08-01 2016-09-09"])
            #expect(try await world.series() == ["60 2016-09-16 2016-10-31"])
            try await world.expectSound()
        }
    }

    @Test("A series whose last day went is gone, and the base interval follows") func emptied() async throws {
        try await withWorld { world in
            try await world.bench.take(days(from: "2015-03-01T12:00:00Z", count: 5), as: "ETHUSD.csv", assetClass: .crypto)
            try await world.bench.take("Date,Open,High,Low,Close,Volume\n2015-03-01,1,2,1,2,5\n2015-03-02,2,3,2,3,5\n", as: "ETHUSD.csv")
            #expect(try await world.store.instrument(symbol: "ETHUSD")?.baseIntervalSeconds == 60)
            try await world.keep(60, interval: 60)
            #expect(await world.retention.round() == 5 + 31)
            #expect(try await world.series("ETHUSD") == ["86400 2015-03-01 2015-03-02"])
            #expect(try await world.store.instrument(symbol: "ETHUSD")?.baseIntervalSeconds == 86_400)
            try await world.keep(60)
            #expect(await world.retention.round() == 2)
            #expect(try await world.series("ETHUSD") == [])
            let left = try #require(try await world.store.instrument(symbol: "ETHUSD"))
            #expect(left.baseIntervalSeconds == nil)
            try await world.expectSound()
        }
    }

    @Test("The service's role can delete nothing that rules keep") func rights() async throws {
        try await withWorld { world in
            for statement: SQL in [
                "DELETE FROM chunks", "DELETE FROM chunks_fine_2016_08", "DROP TABLE chunks_fine_2016_08", "TRUNCATE chunks", "DELETE FROM series",
                "DELETE FROM chunk_slots", "DELETE FROM removed_days", "UPDATE removed_days SET revision = 0",
                "SELECT shorten_series(id, 60, 'trade', 'imported', '2016-09-01') FROM instruments",
                "INSERT INTO retention_rules VALUES (NULL, NULL, 29, now())",
            ] {
                await #expect(throws: PostgresError.self, "\(statement)") { try await world.pool.execute(statement) }
            }
            func tryAll() async throws -> [RetentionStore.Step] {
                [
                    try await world.rules.drop(month: CivilDay(year: 2016, month: 8, day: 1)),
                    try await world.rules.removeDays(before: nil, maximum: 1_000),
                    try await world.rules.removeDays(before: CivilDay(year: 2030, month: 1, day: 1), maximum: 1_000),
                ]
            }
            #expect(try await tryAll() == [.removed(0), .removed(0), .removed(0)])
            try await world.keep(30)
            try await world.keep(92, "BTCUSD")
            #expect(try await tryAll() == [.removed(0), .removed(0), .removed(0)])
            #expect(try await world.count("chunks") == 92)
        }
    }

    @Test("Of two replicas at once each day is removed by one") func twoReplicas() async throws {
        try await withWorld { world in
            try await world.keep(45)
            // While another holds the lock, nothing is done.
            try await world.superuser.execute("BEGIN")
            _ = try await world.superuser.query("SELECT pg_advisory_xact_lock(hashtextextended('marketdata-retention', 0))")
            #expect(await world.retention.round() == 0)
            try await world.superuser.execute("COMMIT")
            let other = Retention(store: world.rules, time: SystemTimeSource(), loop: TestLoop.shared)
            async let first = world.retention.round()
            async let second = other.round()
            #expect(await first + second == 46)
            #expect(try await world.series() == ["60 2016-09-16 2016-10-31"])
            try await world.expectSound()
        }
    }

    @Test("After every step all is sound, so that a kill between two leaves nothing to repair") func steps() async throws {
        try await withWorld { world in
            try await world.keep(45)
            for first in ["2016-08-02", "2016-08-03"] {
                #expect(try await world.rules.removeDays(before: nil, maximum: 1) == .removed(1))
                #expect(try await world.firstDay() == first)
                try await world.expectSound()
            }
            // A step that is cut off has done nothing.
            try await world.superuser.execute("BEGIN")
            try await world.superuser.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
            let cut = Task { try await world.rules.removeDays(before: nil, maximum: 1) }
            try await eventually("the step waits") {
                try await world.superuser.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").count
                    == 1
            }
            _ = try await world.superuser.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            await #expect(throws: (any Error).self) { try await cut.value }
            try await world.superuser.execute("COMMIT")
            try await world.expectSound()
            #expect(await world.retention.round() == 44)
            try await world.expectSound()
        }
    }

    @Test("What an import holds is left for another time") func importUnderWay() async throws {
        try await withWorld { world in
            try await world.keep(45)
            try await world.superuser.execute("BEGIN")
            try await world.superuser.execute("SELECT FROM instruments FOR UPDATE")
            #expect(try await world.rules.removeDays(before: nil, maximum: 10) == .removed(0))
            #expect(try await world.rules.drop(month: CivilDay(year: 2016, month: 8, day: 1)) == .busy)
            try await world.superuser.execute("COMMIT")
            #expect(try await world.count("chunks") == 92)
            #expect(await world.retention.round() == 46)
        }
    }

    @Test("A month is not dropped under somebody who reads, and dropping it holds up nobody but readers of fine bars") func locks() async throws {
        try await withWorld { world in
            try await world.keep(45)
            let august = CivilDay(year: 2016, month: 8, day: 1)
            try await world.superuser.execute("BEGIN")
            _ = try await world.superuser.query("SELECT count(bytes) FROM chunks")
            #expect(try await world.rules.drop(month: august) == .busy)
            try await world.superuser.execute("COMMIT")
            #expect(try await world.count("chunks") == 92)
            try await world.expectSound()
            let held = try await world.pool.withTransaction { connection in
                _ = try await connection.query("SELECT FROM drop_chunk_month(\(august))")
                return try await connection.query(
                    """
                    SELECT DISTINCT c.relname::text FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                    WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock' ORDER BY 1
                    """
                ).map { try $0.column(0, as: String.self) }
            }
            #expect(held == ["chunks_fine", "chunks_fine_other"])
            #expect(try await world.count("chunks") == 61)
        }
    }

    @Test("Nothing goes of what a running or paused replay shows") func replays() async throws {
        try await withWorld { world in
            try await world.keep(45)
            let source = try await world.id()
            let draft = ReplayDraft.minutes(of: source)
            let replay = try await world.store.createReplay(draft, within: ReplayLimits())
            #expect(await world.retention.round() == 0)
            #expect(try await world.store.retention(of: source).values.map(\.isHeld) == [true])
            _ = try await world.store.changeReplay(replay.id, from: [.running], to: .paused)
            #expect(await world.retention.round() == 0)
            #expect(try await world.count("chunks") == 92)
            _ = try await world.store.changeReplay(replay.id, from: [.paused], to: .stopped)
            #expect(await world.retention.round() == 46)
        }
    }

    @Test("A clock that runs years ahead removes nothing, and no file can pretend a later day than the clock") func clocks() async throws {
        try await withWorld { world in
            // Seen from October 2016 the database's clock is ten years ahead.
            try await world.keep(92)
            #expect(await world.retention.round() == 0)
            try await world.bench.take(days(from: "2150-01-01T12:00:00Z", count: 1), as: "ETHUSD.csv", assetClass: .crypto)
            let row = try #require(
                try await world.pool.query("SELECT retention_day() = (clock_timestamp() AT TIME ZONE 'UTC')::date").first
            )
            #expect(try row.column(0, as: Bool.self))
        }
    }

    // MARK: Readers

    /// Does something before the bytes of days are fetched.
    private final class Meanwhile: ChunkBytesCache {
        private let work: @Sendable (_ call: Int, _ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]]
        private let calls = Mutex(0)

        init(_ work: @escaping @Sendable (_ call: Int, _ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]]) { self.work = work }

        func chunks(_ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]] {
            await work(
                calls.withLock {
                    $0 += 1
                    return $0
                },
                keys
            )
        }

        func store(_ chunks: [ChunkKey: [UInt8]]) async {}
    }

    @Test("Days that go between look-up and reading are left out of a whole answer") func readInBetween() async throws {
        try await withWorld { world in
            try await world.keep(45)
            let retention = world.retention
            let bench = try Bench(
                world.store,
                chunkBytes: Meanwhile { call, _ in
                    if call == 1 { await retention.round() }
                    return [:]
                }
            )
            let first = try await world.firstDay(bench) {
                $0.countback = nil
                $0.start = at("2016-08-01T00:00:00Z")
                $0.limit = 200
            }
            #expect(first == "2016-09-16")
        }
    }

    @Test("Who is overtaken again and again is told so") func overtaken() async throws {
        try await withWorld { world in
            try await world.keep(45)
            let rules = world.rules
            let bench = try Bench(
                world.store,
                chunkBytes: Meanwhile { _, _ in
                    _ = try? await rules.removeDays(before: nil, maximum: 1)
                    return [:]
                }
            )
            await #expect(throws: MarketdataError.daysRemoved(instrument: "BTCUSD")) { try await world.firstDay(bench) }
            #expect(MarketdataError.daysRemoved(instrument: "BTCUSD").problem.code == "days_removed")
        }
    }

    @Test("An answer that is read in stretches has no hole") func stretches() async throws {
        try await withWorld { world in
            try await world.keep(45)
            let (store, retention) = (world.store, world.retention)
            let bench = try Bench(
                world.store,
                chunkBytes: Meanwhile { call, keys in
                    guard call == 1 else { return [:] }
                    // The first stretch comes whole, out of a cache; then most of what follows goes.
                    let bytes = (try? await store.chunks(keys)) ?? [:]
                    await retention.round()
                    return bytes
                }
            )
            let first = try await world.firstDay(bench) {
                $0.countback = nil
                $0.start = at("2016-08-01T00:00:00Z")
                $0.limit = 200
            }
            #expect(first == "2016-09-16")
        }
    }

    // MARK: Days that come back

    @Test("A day that comes back as it was has its old digest; another one is never taken for it") func returned() async throws {
        try await withWorld { world in
            func answer() async throws -> (close: String?, digest: String) {
                var request = BarRequest(symbol: "BTCUSD", interval: try BarInterval(text: "1m"))
                request.start = at("2016-08-01T00:00:00Z")
                request.end = at("2016-08-02T00:00:00Z")
                let answer = try await world.bench.reader.read(request)
                return (answer.bars.isEmpty ? nil : answer.bars.close.text(at: 0), answer.dataSHA256.hex)
            }
            let before = try await answer()
            #expect(before.close == "100.25")
            try await world.keep(45)
            #expect(await world.retention.round() == 46)
            #expect(try await answer().close == nil)
            _ = try await world.rules.delete(RetentionScope())
            try await world.bench.take(days(from: "2016-08-01T12:00:00Z", count: 1), as: "BTCUSD.csv")
            #expect(try await answer() == before)
            try await world.expectSound()
            try await world.keep(45)
            #expect(await world.retention.round() == 1)
            _ = try await world.rules.delete(RetentionScope())
            // The same reader, which has the old day decoded.
            try await world.bench.take(days(from: "2016-08-01T12:00:00Z", count: 1, price: 700), as: "BTCUSD.csv")
            let after = try await answer()
            #expect(after.close == "700.25")
            #expect(after.digest != before.digest)
            try await world.expectSound()
            // A correction of it goes on from there.
            try await world.bench.take(days(from: "2016-08-01T12:00:00Z", count: 1, price: 800), as: "BTCUSD.csv")
            #expect(try await answer().close == "800.25")
            try await world.expectSound()
        }
    }

    @Test("A returned correction is known no earlier than it was") func returnedCorrection() async throws {
        try await withWorld { world in
            try await world.bench.take(days(from: "2016-08-01T12:00:00Z", count: 1, price: 200), as: "BTCUSD.csv")
            let stamp = try #require(try await world.pool.query("SELECT max(recorded_at) FROM chunks").first).column(0, as: Timestamp.self)
            try await world.keep(45)
            #expect(await world.retention.round() == 46)
            _ = try await world.rules.delete(RetentionScope())
            try await world.bench.take(days(from: "2016-08-01T12:00:00Z", count: 1, price: 200), as: "BTCUSD.csv")
            let rows = try await world.pool.query("SELECT revision, recorded_at FROM chunks WHERE day = '2016-08-01'")
            #expect(try rows.map { try $0.decode(Int.self, Timestamp.self) }.map { "\($0) \($1.iso8601)" } == ["2 \(stamp.iso8601)"])
        }
    }

    // MARK: The doors

    @Test("Rules are set, read and taken away by administrators") func routes() async throws {
        try await withDoors { doors in
            let admin = try doors.client(Person(roles: ["admin"]))
            func put(_ query: String, _ body: JSONValue) async throws -> RequestClient.Answer {
                try await admin.send(
                    .put,
                    "/api/retention\(query)",
                    headers: [("Content-Type", "application/json")],
                    body: WireJSON.encode(body)
                )
            }
            let made = try await put("?instrument=BTCUSD&interval=1m", ["keep_days": 90])
            #expect(made.status == 200)
            #expect(try made.json()["instrument"]?.string == "BTCUSD")
            #expect(try made.json()["interval"]?.string == "1m")
            #expect(try made.json()["keep_days"] == .integer(90))
            // The same again changes nothing, not even when it was changed.
            #expect(try await put("?instrument=BTCUSD&interval=60", ["keep_days": 90]).text == made.text)
            #expect(try await put("", ["keep_days": .null]).status == 200)
            let list = try await admin.get("/api/retention").json()["items"]
            #expect(list?[0]?["keep_days"] == .null && list?[1]?["keep_days"] == .integer(90) && list?[2] == nil)
            #expect(try await admin.get("/api/retention?instrument=BTCUSD").json()["items"]?[1] == nil)
            let series = try await admin.get("/api/instruments/BTCUSD").json()["series"]?[0]?["retention"]
            #expect(series?["rule"]?.string == "instrument_and_interval")
            #expect(series?["keep_days"] == .integer(90))
            #expect(series?["kept_from"]?.string == "2016-07-10")
            #expect(series?["held_by_replay"] == .bool(false))

            let before = try await doors.fingerprint()
            let bad: [(query: String, body: JSONValue, verdict: String, field: String)] = [
                ("", ["keep_days": 29], "400 invalid_keep_days", "keep_days"), ("", ["keep_days": 36_501], "400 invalid_keep_days", "keep_days"),
                ("", [:], "400 missing_field", "keep_days"), ("?interval=soon", ["keep_days": 30], "400 invalid_parameter", "interval"),
                ("?instrument=NONE", ["keep_days": 30], "404 unknown_instrument", "instrument"),
                ("?symbol=BTCUSD", ["keep_days": 30], "400 unknown_parameter", "symbol"),
            ]
            for (query, body, verdict, field) in bad {
                let answer = try await put(query, body)
                #expect(answer.verdict == verdict && answer.problemField == field, "\(query) \(answer.text)")
            }
            #expect(try await put("", ["keep_days": "90"]).status == 400)
            #expect(try await put("", ["keep_days": 90, "forever": true]).status == 400)
            #expect(try await doors.fingerprint() == before)

            #expect(try await admin.delete("/api/retention").status == 204)
            #expect(try await admin.delete("/api/retention").verdict == "404 unknown_rule")
            #expect(try await admin.delete("/api/retention?instrument=BTCUSD&interval=1m").status == 204)
            #expect(try await admin.get("/api/instruments/BTCUSD").json()["series"]?[0]?["retention"] == nil)
        }
    }
}
