import Bars
import Contracts
import FoundationEssentials
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// What feeds write: one clock for all, one runner a feed, all of a step or nothing of it.
@Suite("Live store", .serialized, .enabled(if: TestServers.hasPostgres)) struct LiveStoreTests {
    private struct World {
        let live: LiveStore
        let store: PostgresMarketdataStore
        let superuser: PostgresConnection
        let btc: InstrumentID

        func count(_ what: SQL) async throws -> Int { try #require(try await superuser.query("SELECT count(*) FROM \(what)").first).column(0) }

        /// The revisions that were said, each with the version of the instrument.
        func revisions() async throws -> [[Int64]] {
            let type = BarsRevised.eventType
            return try await superuser.query("SELECT envelope FROM outbox WHERE type = \(type) ORDER BY id").map { row in
                let envelope = try Envelope(decoding: try row.column(0, as: [UInt8].self))
                return [try envelope.body(as: BarsRevised.self).revision, envelope.subjectVersion]
            }
        }
    }

    private func withWorld(_ body: (World) async throws -> Void) async throws {
        try await withPostgresStore { store, pool, superuser in
            try await store.create(coin("BTCUSD"))
            let btc = try #require(try await store.instrument(symbol: "BTCUSD")).id
            try await body(World(live: LiveStore(pool: pool, outbox: store.outbox), store: store, superuser: superuser, btc: btc))
        }
    }

    private static let seconds = SeriesKey(intervalSeconds: 1, side: .trade, origin: .derived)
    private static let start = at("2026-03-02T12:00:00Z").microseconds

    private func close(_ world: World, _ second: Int64, version: Int = 0, price: String? = "100.5") -> LiveClose {
        LiveClose(
            instrumentID: world.btc,
            series: Self.seconds,
            start: Self.start + second * 1_000_000,
            end: Self.start + (second + 1) * 1_000_000,
            version: version,
            prices: price.flatMap { text in
                DecimalNumber(text).map { LivePrices(open: $0, high: $0, low: $0, close: $0, volume: DecimalNumber("0.00000001"), trades: 3) }
            }
        )
    }

    @Test func oneRunnerHasAFeed() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            #expect(try await !world.live.claim(feed: "a", runner: "two", leaseSeconds: 60))
            #expect(try await world.live.claim(feed: "b", runner: "two", leaseSeconds: 60))
            #expect(try await world.live.record(LiveStep(closes: [close(world, 0)]), feed: "a", runner: "one") != nil)
            // The second process writes nothing, and neither does the first after its lease.
            #expect(try await world.live.record(LiveStep(closes: [close(world, 1)]), feed: "a", runner: "two") == nil)
            try await world.superuser.execute("UPDATE live_feeds SET lease_until = clock_timestamp() WHERE source = 'a'")
            #expect(try await world.live.record(LiveStep(closes: [close(world, 1)]), feed: "a", runner: "one") == nil)
            #expect(try await world.live.claim(feed: "a", runner: "two", leaseSeconds: 60))
            #expect(try await world.live.record(LiveStep(closes: [close(world, 1)]), feed: "a", runner: "one") == nil)
            #expect(try await world.count("tail_bars") == 1)
            try await world.live.release(feed: "a", runner: "two")
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
        }
    }

    @Test func knownAtRisesWhateverTheClockDoes() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            #expect(try await world.live.claim(feed: "b", runner: "one", leaseSeconds: 60))
            let first = try #require(try await world.live.record(LiveStep(closes: [close(world, 0)]), feed: "a", runner: "one"))
            // As if the server's clock had been set back by an hour.
            let ahead = first + .seconds(3_600)
            try await world.superuser.execute("UPDATE live_clock SET known_at = \(ahead)")
            let second = try #require(try await world.live.record(LiveStep(closes: [close(world, 1)]), feed: "a", runner: "one"))
            let third = try #require(try await world.live.record(LiveStep(closes: [close(world, 2)]), feed: "b", runner: "one"))
            #expect([second, third] == [ahead + .microseconds(1), ahead + .microseconds(2)])
            let later = ahead + .seconds(60)
            #expect(try await world.live.record(LiveStep(closes: [close(world, 3)], notBefore: later), feed: "a", runner: "one") == later)
        }
    }

    @Test func aTickFromTheFutureDoesNotPutOffEverythingLive() async throws {
        try await withWorld { world in
            let isClaimed = try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60)
            #expect(isClaimed)
            let clock = try #require(try await world.superuser.query("SELECT clock_timestamp()").first).column(0, as: Timestamp.self)
            var early = close(world, 0)
            (early.start, early.end) = ((clock + .seconds(9)).microseconds, (clock + .seconds(10)).microseconds)
            let step = LiveStep(closes: [early])
            // Closed by a later-stamped tick, before our clock was there: known at its end and not before.
            #expect(try await world.live.record(step, feed: "a", runner: "one") == clock + .seconds(10))
            var wrong = early
            (wrong.start, wrong.end) = ((clock + .seconds(3_600)).microseconds, (clock + .seconds(3_601)).microseconds)
            let refused = LiveStep(closes: [wrong])
            await #expect(throws: LiveStoreError.aheadOfClock(clock + .seconds(3_601))) {
                try await world.live.record(refused, feed: "a", runner: "one")
            }
            let next = try #require(try await world.live.record(LiveStep(closes: [close(world, 1)]), feed: "a", runner: "one"))
            #expect(next > clock + .seconds(10) && next < clock + .seconds(3_600))
        }
    }

    @Test func aStepIsRecordedWholeOrNotAtAll() async throws {
        try await withWorld { world in
            let isClaimed = try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60)
            #expect(isClaimed)
            var wrong = close(world, 0)
            wrong.end = wrong.start
            let step = LiveStep(closes: [close(world, 5), wrong])
            await #expect(throws: PostgresError.self) { try await world.live.record(step, feed: "a", runner: "one") }
            #expect(try await world.count("tail_bars") == 0)
            #expect(try await world.count("live_days WHERE isfinite(first_known_at)") == 0)
            #expect(try await world.live.closedThrough(feed: "a").isEmpty)
        }
    }

    @Test func whatIsRecordedIsListedAndSaysWhereToGoOn() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            let step = LiveStep(closes: [close(world, 0), close(world, 4, price: nil)])
            let knownAt = try #require(try await world.live.record(step, feed: "a", runner: "one"))
            _ = try await world.live.record(LiveStep(closes: [close(world, 5)]), feed: "a", runner: "one")
            let day = CivilDay(utcMicroseconds: Self.start)
            let series = try #require(try await world.store.series(of: world.btc).first)
            #expect(series.key == Self.seconds && series.firstDay == day && series.lastDay == day)
            #expect(series.firstEnd < knownAt.microseconds)
            #expect(try await world.store.instrument(id: world.btc)?.baseIntervalSeconds == 1)
            let through = try #require(try await world.live.closedThrough(feed: "a")[world.btc])
            #expect(through.0 == Self.seconds)
            #expect(through.1 == Self.start + 6_000_000)
            let rows = try await world.superuser.query("SELECT open::text, volume::text, trades FROM tail_bars ORDER BY starts_at").map { row in
                let (open, volume, trades) = try row.decode(String?.self, String?.self, Int64?.self)
                return [open, volume, trades.map(String.init)]
            }
            #expect(rows == [["100.5", "0.00000001", "3"], [nil, nil, nil], ["100.5", "0.00000001", "3"]])
        }
    }

    @Test func aLateTickIsARevisionAndSaidSo() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            _ = try await world.live.record(LiveStep(closes: [close(world, 0), close(world, 1)]), feed: "a", runner: "one")
            let late = [close(world, 0, version: 1, price: "100.25"), close(world, 1, version: 1, price: "100.75"), close(world, 2)]
            _ = try await world.live.record(LiveStep(closes: late), feed: "a", runner: "one")
            _ = try await world.live.record(LiveStep(closes: [close(world, 0, version: 2, price: "100")]), feed: "a", runner: "one")
            let said = try await world.revisions()
            #expect(said == [[2, 2], [3, 3]])
        }
    }

    @Test func aLateTickDoesNotWaitForAnImportAndIsSaidOnce() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            _ = try await world.live.record(LiveStep(closes: [close(world, 0)]), feed: "a", runner: "one")
            // As an import does for as long as it takes.
            try await world.superuser.execute("BEGIN")
            _ = try await world.superuser.query("SELECT 1 FROM instruments WHERE id = \(world.btc) FOR UPDATE")
            let late = LiveStep(closes: [close(world, 0, version: 1, price: "100.25")])
            async let told = world.live.record(late, feed: "a", runner: "one")
            try await eventually("the step is known") { try await world.count("tail_bars") == 2 }
            #expect(try await told != nil)
            #expect(try await world.live.record(LiveStep(closes: [close(world, 1)]), feed: "a", runner: "one") != nil)
            #expect(try await world.revisions().isEmpty)
            try await world.superuser.execute("COMMIT")
            // The runner is gone: who has the feed next says it, and says it once.
            try await world.live.release(feed: "a", runner: "one")
            #expect(try await world.live.claim(feed: "a", runner: "two", leaseSeconds: 60))
            #expect(try await world.live.claim(feed: "a", runner: "two", leaseSeconds: 60))
            #expect(try await world.revisions() == [[2, 2]])
            #expect(try await world.store.instrument(id: world.btc)?.version == 2)
            #expect(try await world.count("live_revisions") == 0)
        }
    }

    @Test func theLeaseIsKeptWhileAFirstDayWaitsForAnImport() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            try await world.superuser.execute("BEGIN")
            _ = try await world.superuser.query("SELECT 1 FROM instruments WHERE id = \(world.btc) FOR UPDATE")
            let step = LiveStep(closes: [close(world, 0)])
            async let told = world.live.record(step, feed: "a", runner: "one")
            try await eventually("the feed waits") {
                let waiting: SQL = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                return try await world.live.pool.query(waiting).count == 1
            }
            // Nobody holds the feed's row meanwhile.
            #expect(try await world.superuser.query("SELECT 1 FROM live_feeds FOR UPDATE SKIP LOCKED").count == 1)
            try await world.superuser.execute("COMMIT")
            let knownAt = try #require(try await told)
            #expect(try await world.count("live_days WHERE first_known_at = \(knownAt)") == 1)
        }
    }

    @Test func aCloseIsAnnouncedOnceByWhoHasTheLease() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            let closeAt = Timestamp(microseconds: Self.start + 5_000_000)
            let asked = LiveAnnouncement(intervalSeconds: 5, closeAt: closeAt, knownAt: .distantPast, instruments: [world.btc])
            let step = LiveStep(closes: [close(world, 4)], announcements: [asked])
            let knownAt = try #require(try await world.live.record(step, feed: "a", runner: "one"))
            let due = try #require(try await world.live.announcementsDue(feed: "a").first)
            #expect(due == LiveAnnouncement(intervalSeconds: 5, closeAt: closeAt, knownAt: knownAt, instruments: [world.btc]))
            let event = BarsClosed(intervalSeconds: 5, closeAt: closeAt, knownAt: knownAt, bars: [])
            #expect(try await world.live.announce(event, of: due, feed: "a", runner: "two") == .noLease)
            #expect(try await world.live.announce(event, of: due, feed: "a", runner: "one") == .said)
            #expect(try await world.live.announce(event, of: due, feed: "a", runner: "one") == .gone)
            #expect(try await world.live.announcementsDue(feed: "a").isEmpty)
            #expect(try await world.count("outbox WHERE type = 'marketdata.bars.closed.v1'") == 1)
        }
    }

    @Test func aCloseThatIsDueAlreadyIsNeverLostInSilence() async throws {
        try await withWorld { world in
            #expect(try await world.live.claim(feed: "a", runner: "one", leaseSeconds: 60))
            let closeAt = Timestamp(microseconds: Self.start + 5_000_000)
            let due = LiveAnnouncement(intervalSeconds: 5, closeAt: closeAt, knownAt: .distantPast, instruments: [world.btc])
            _ = try await world.live.record(LiveStep(closes: [close(world, 4)], announcements: [due]), feed: "a", runner: "one")
            // Rows without their event would be closes that nobody ever hears of.
            let other = LiveStep(closes: [close(world, 5)], announcements: [due])
            await #expect(throws: PostgresError.self) { try await world.live.record(other, feed: "a", runner: "one") }
            #expect(try await world.count("tail_bars") == 1)
            #expect(try await world.live.announcementsDue(feed: "a").count == 1)
        }
    }

    @Test func holesAreSettledOnce() async throws {
        try await withWorld { world in
            let (from, to) = (at("2026-03-02T12:00:00Z"), at("2026-03-02T12:01:00Z"))
            let hole = LiveHole(id: UUID(), source: "a", instrumentID: world.btc, series: Self.seconds, from: from, to: to, reason: "cut off")
            let other = LiveHole(id: UUID(), source: "b", instrumentID: world.btc, series: Self.seconds, from: from, to: to, reason: "cut off")
            try await world.live.openHoles([])
            try await world.live.openHoles([hole, other])
            #expect(try await world.live.holes(feed: "a") == [hole])
            #expect(try await world.live.holes(feed: "b") == [other])
            #expect(try await world.live.settleHole(hole.id, as: .repaired))
            #expect(try await !world.live.settleHole(hole.id, as: .lost))
            #expect(try await world.live.holes(feed: "a").isEmpty)
            #expect(try await world.live.holes(feed: "a", openOnly: false).map(\.state) == [.repaired])
            // Said again because the answer was lost, it changes nothing.
            try await world.live.openHoles([hole, other])
            #expect(try await world.live.holes(feed: "a", openOnly: false).map(\.state) == [.repaired])
            #expect(try await world.live.holes(of: world.btc, limit: 10).count == 2)
        }
    }
}
