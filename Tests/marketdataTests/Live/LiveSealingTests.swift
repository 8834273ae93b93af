import Bars
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// The tail becomes part of the day: nothing is lost, doubled or said otherwise, whoever reads, seals or imports meanwhile.
@Suite("Live sealing", .serialized, .enabled(if: TestServers.hasPostgres)) struct LiveSealingTests {
    @Test func aSealChangesNothingOfWhatWasSaidBeforeTheFeedsFirstRow() async throws {
        try await withLiveWorld { world in
            let text = (0..<7).map { "2026-03-02T12:00:0\($0),100,101,99,100,1" }.joined(separator: "\n")
            try await world.bench.take("time,open,high,low,close,volume\n\(text)\n", as: "BTCUSD.csv")
            let early = try #require(try await world.superuser.query("SELECT clock_timestamp()").first).column(0, as: Timestamp.self)
            let first = try await world.record([world.row(7, price: 107)])
            let moments = [early, first + .microseconds(-1), first]
            let name = try #require(DatasetName("bars.crypto.BTCUSD.1s.trade"))
            let catalogue = Catalogue(store: world.store, cpu: world.store.cpu, time: SystemTimeSource())
            func answers() async throws -> [String] {
                var all: [String] = []
                for moment in moments {
                    for interval in ["1s", "5s"] { all.append(try await world.text(interval, asOf: moment)) }
                    let dataset = try await catalogue.dataset(name, asOf: moment)
                    all.append("\(dataset.partitions.map(\.rows)) \(dataset.dataSHA256.hex)")
                }
                return all
            }
            // Of history nothing is missing; of a day that a feed tells of, what comes after its last row.
            #expect(try await world.answer("5s") { $0.asOf = early }.bars.count == 2)
            #expect(try await world.answer("5s") { $0.asOf = first }.bars.count == 1)
            let before = try await answers()
            try await world.sealAll()
            #expect(try await world.count("chunks WHERE sealed_through IS NOT NULL") == 1)
            #expect(try await answers() == before)
            _ = try await world.record([world.row(8, price: 108), world.row(2, version: 1, price: 102)])
            #expect(try await answers() == before)
            try await world.sealAll()
            #expect(try await answers() == before)
        }
    }

    @Test func aSealThatIsRolledBackLosesNothing() async throws {
        try await withLiveWorld { world in
            _ = try await world.record((0..<30).map { world.row($0, price: 100 + $0) })
            let before = try await world.text("5s", asOf: nil)
            struct Killed: Error {}
            let part = try #require(try await world.seals.unsealed().first)
            await #expect(throws: Killed.self) {
                try await world.pool.withTransaction { connection in
                    _ = try await LiveSeals.seal(part, cpu: world.store.cpu, on: connection)
                    throw Killed()
                }
            }
            #expect(try await world.count("tail_bars") == 30)
            #expect(try await world.count("chunks") == 0)
            #expect(try await world.text("5s", asOf: nil) == before)
            #expect(try await world.seals.seal(part))
            #expect(try await world.text("5s", asOf: nil) == before)
        }
    }

    @Test func twoReplicasSealOnce() async throws {
        try await withLiveWorld { world in
            var seals = 0
            for round in 0..<8 {
                _ = try await world.record((round * 10..<round * 10 + 10).map { world.row($0, price: 100 + $0) })
                let part = try #require(try await world.seals.unsealed().first)
                async let one = world.seals.seal(part)
                async let other = world.seals.seal(part)
                for isSealed in try await [one, other] where isSealed { seals += 1 }
                #expect(try await world.answer("1s").bars.count == round * 10 + 10)
            }
            try await world.sealAll()
            #expect(seals == 8)
            // What a seal supersedes is gone, with its slots.
            #expect(try await world.count("chunks") == 1)
            #expect(try await world.count("chunk_slots") == 1)
            #expect(try await world.count("tail_bars") == 0)
        }
    }

    @Test func whoReadsDuringSealsMissesNothing() async throws {
        try await withLiveWorld { world in
            let moment = try await world.record((0..<20).map { world.row($0, price: 100 + $0) })
            let pinned = try await world.text("5s", asOf: moment)
            let bench = try Bench(world.store)
            let isOver = Mutex(false)
            let read = TestSignal<Void>()
            async let reading: Int = {
                var last = 0
                while !isOver.withLock({ $0 }) {
                    var request = BarRequest(symbol: "BTCUSD", interval: BarInterval(seconds: 1))
                    request.countback = 2_000
                    let count = try await bench.reader.read(request).bars.count
                    #expect(count >= last)
                    last = count
                    #expect(try await world.text("5s", asOf: moment) == pinned)
                    read.signal()
                }
                return last
            }()
            for round in 2..<20 {
                // Seals are minutes apart: each meets reads, and no read meets one seal after the other for as long as it looks.
                repeat { try await read.next() } while read.pendingCount > 0
                _ = try await world.record((round * 10..<round * 10 + 10).map { world.row($0, price: 100 + $0) })
                try await world.sealAll()
            }
            isOver.withLock { $0 = true }
            _ = try await reading
            #expect(try await world.answer("1s").bars.count == 200)
        }
    }

    @Test func tailsAreSealedAfterAQuarterOfAnHourAndWhenTheDayIsOver() async throws {
        try await withLiveWorld { world in
            let knownAt = try await world.record([world.row(0, price: 100)])
            let day = CivilDay(utcMicroseconds: LiveWorld.noon)
            // Of a day that was over long ago nothing waits.
            let metrics = Metrics()
            func sealing(_ now: Timestamp) -> LiveSealing {
                LiveSealing(
                    seals: world.seals,
                    calendars: world.bench.calendars,
                    time: FixedTime(moment: now),
                    loop: TestLoop.shared,
                    metrics: metrics
                )
            }
            let oldest = metrics.gauge("marketdata_tail_oldest_seconds", help: "")
            #expect(await sealing(Timestamp(microseconds: LiveWorld.noon) + .seconds(60)).round() == 0)
            #expect(await sealing(Timestamp(microseconds: (day + 1).seconds * 1_000_000) + .seconds(59)).round() == 0)
            #expect(await sealing(Timestamp(microseconds: (day + 1).seconds * 1_000_000) + .seconds(60)).round() == 1)
            #expect(try await world.count("tail_bars") == 0)
            let again = try await world.record([world.row(1, price: 100)])
            #expect(again > knownAt)
            #expect(await sealing(Timestamp(microseconds: LiveWorld.noon) + .seconds(60)).round(all: true) == 1)
            #expect(await sealing(again + .seconds(900)).round() == 0)
            #expect(oldest.current == 0)
            let late = try await world.record([world.row(2, price: 100)])
            // A row of an instrument that somebody else holds stays, and its age shows.
            try await world.superuser.execute("BEGIN")
            try await world.superuser.execute("SELECT 1 FROM instruments FOR UPDATE")
            #expect(await sealing(late + .seconds(2_000)).round() == 0)
            #expect(oldest.current == 2_000)
            try await world.superuser.execute("ROLLBACK")
            #expect(await sealing(late + .seconds(2_000)).round() == 1)
            #expect(oldest.current == 0)
            #expect(try await world.answer("1s").bars.count == 3)
        }
    }

    @Test func sessionsEndBySchedule() throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let close = at("2026-03-02T21:00:00Z").microseconds
        let ends = LiveSealing.ends(after: close - 1_000_000, clock, CivilDay(utcMicroseconds: close))
        #expect(ends.first == close)
        #expect(LiveSealing.ends(after: close + 1, clock, CivilDay(utcMicroseconds: close)).first ?? 0 > close)
    }

    @Test func aDamagedLiveDayIsNamedAndMendedByAnImport() async throws {
        try await withLiveWorld { world in
            _ = try await world.record((0..<60).map { world.row($0, price: 100) })
            try await world.sealAll()
            _ = try await world.record((60..<120).map { world.row($0, price: 101) })
            try await world.superuser.execute("UPDATE chunks SET bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)")
            let other = try Bench(world.store)
            do {
                let closes = try await other.closes("BTCUSD", "1m")
                Issue.record("a damaged day answered \(closes)")
            } catch let error as MarketdataError {
                #expect(error.problem.code == "damaged_chunk")
                #expect(error.problem.detail.contains("BTCUSD") && error.problem.detail.contains("2026-03-02"))
            }
            // It holds up neither the sealing of others nor the import that mends it, and loses no row of the tail.
            await #expect(throws: BarsError.self) { try await world.sealAll() }
            #expect(try await world.count("tail_bars") == 60)
            let text = (0..<60).map { second in
                "\((Timestamp(microseconds: LiveWorld.noon) + .seconds(second)).iso8601.prefix(19)),100,101,99,100,1"
            }
            try await other.take("time,open,high,low,close,volume\n" + text.joined(separator: "\n") + "\n", as: "BTCUSD.csv")
            #expect(try await Bench(world.store).closes("BTCUSD", "1m") == ["100", "101.25"])
            try await world.sealAll()
            #expect(try await world.count("tail_bars") == 0)
            #expect(try await Bench(world.store).closes("BTCUSD", "1m") == ["100", "101.25"])
        }
    }

    @Test func aSealedDayIsNotMendedByWhoKnowsNothingOfSeals() async throws {
        try await withLiveWorld { world in
            _ = try await world.record((0..<60).map { world.row($0, price: 100) })
            try await world.sealAll()
            func mend(_ sealedThrough: SQL) async throws {
                _ = try await world.pool.execute(
                    """
                    INSERT INTO chunks (instrument_id, interval_seconds, side, origin, day, revision, edition, rows, first_start, first_end, last_end,
                        covered_from, covered_to, sha256, recorded_at, import_id, bytes, first_known_at, sealed_through)
                    SELECT instrument_id, interval_seconds, side, origin, day, revision + 1, edition + 1, rows, first_start, first_end, last_end,
                        covered_from, covered_to, sha256, clock_timestamp(), import_id, bytes, \(sealedThrough), \(sealedThrough) FROM chunks
                    """
                )
            }
            await #expect(throws: PostgresError.self) { try await mend("NULL::timestamptz") }
            #expect(try await world.count("chunks") == 1)
            try await mend("sealed_through")
            #expect(try await world.count("chunks") == 2)
        }
    }
}

/// A clock that stands still.
private struct FixedTime: TimeSource {
    let moment: Timestamp
    func now() -> Timestamp { moment }
    func monotonicNanoseconds() -> UInt64 { 0 }
    func sleep(for duration: Duration) async throws {}
}
