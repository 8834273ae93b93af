import Bars
import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite(.enabled(if: TestServers.hasPostgres)) struct ReplayTests {
    private func feed(_ bench: Bench) -> ReplayFeed {
        ReplayFeed(store: bench.store, reader: bench.reader, time: SystemTimeSource(), control: TestLoop.shared)
    }

    private func begin(
        _ bench: Bench,
        _ feed: ReplayFeed?,
        speed: Double,
        start: String? = nil,
        end: String? = nil,
        loops: Bool = false
    ) async throws -> Replay {
        let wish = Replays.Wish(
            symbol: "BTCUSD",
            start: start.map(at),
            end: end.map(at),
            intervalSeconds: nil,
            speed: speed,
            loops: loops
        )
        let draft = try await Replays(store: bench.store, reader: bench.reader, time: SystemTimeSource(), feed: feed).draft(wish, account: .make())
        let replay = try await bench.store.createReplay(draft, within: ReplayLimits())
        feed?.wake()
        return replay
    }

    private func closes(_ pool: PostgresPool, _ symbol: String) async throws -> [BarsClosed] {
        try await pool.query("SELECT envelope FROM outbox WHERE type = \(BarsClosed.eventType) ORDER BY id").map { row in
            try Envelope(decoding: try row.column(0, as: [UInt8].self)).body(as: BarsClosed.self)
        }.filter { $0.bars.first?.symbol == symbol }
    }

    private func finished(_ bench: Bench, _ replay: Replay) async throws {
        try await eventually("the replay's end") { try await bench.store.replay(id: replay.id)?.state == .finished }
    }

    @Test("Bars of a replay cost a run three looks at the store: the instrument, what it stands for, and the days")
    func statementsOfARun() async throws {
        try await withPostgresStore { store, pool in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
            let replay = try await begin(bench, nil, speed: 1, start: "2016-10-08T00:20:00Z")
            let request = BarRequest(symbol: replay.symbol, interval: .seconds(60), countback: 5)
            let first = try await bench.reader.read(request, for: .platform)
            let before = pool.sentStatements
            let second = try await bench.reader.read(request, for: .platform)
            // One; a lock and one; two locks, the tail and the chunks.
            #expect(pool.sentStatements - before == 7)
            #expect(first.bars == second.bars && first.bars.count == 5)
        }
    }

    @Test func everyBarIsReleasedOnceAndEveryCloseAnnouncedOnce() async throws {
        try await withPostgresStore { store, pool in
            let bench = try Bench(store)
            try await bench.take(
                minutes(from: "2016-10-08T00:00:00Z", count: 32, skipping: [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
                as: "BTCUSD.csv"
            )
            let feed = feed(bench)
            let replay = try await begin(bench, nil, speed: 3_000, start: "2016-10-08T00:03:00Z")
            #expect(replay.symbol == "BTCUSD@replay-1")
            _ = try await store.replaceWatches(of: "scheduler", with: [Watch(symbol: replay.symbol, intervalSeconds: 300)])
            // Before anything was released, what was before the start is known: the lookback of a model.
            #expect(try await bench.closes(replay.symbol, "1m") == ["100.25", "101.25", "102.25"])
            try await feed.start()
            try await finished(bench, replay)
            await feed.stop()

            let events = try await closes(pool, replay.symbol)
            #expect(events.map(\.closeAt) == [5, 10, 15, 20, 25, 30, 35].map { at("2016-10-08T00:00:00Z") + .seconds(60 * $0) })
            #expect(events.map { $0.bars[0].bar?.close.description ?? "-" } == ["104.25", "109.25", "-", "-", "124.25", "129.25", "131.25"])
            #expect(events.allSatisfy { $0.bars[0].feed == .replay && $0.intervalSeconds == 300 && $0.bars[0].revision <= 1 })
            #expect(events.map(\.knownAt) == events.map(\.knownAt).sorted())
            #expect(try await store.replay(id: replay.id)?.releasedBars == 19)

            // At the moment of each close exactly what had been released is known, whatever came after.
            for event in events {
                let known = try await bench.closes(replay.symbol, "5m") { $0.asOf = event.knownAt }
                if let bar = event.bars[0].bar { #expect(known.last == bar.close.description) }
                let before = try await bench.closes(replay.symbol, "5m") { $0.asOf = event.knownAt - .microseconds(1) }
                #expect(before.count == known.count - (event.bars[0].bar == nil ? 0 : 1))
            }
            #expect(try await bench.closes(replay.symbol, "1m") { $0.asOf = replay.createdAt - .seconds(1) } == [])
            #expect(try await bench.closes("BTCUSD", "1m").count == 22)
        }
    }

    @Test func aKilledReplicaIsFollowedByAnotherFromItsLastRelease() async throws {
        try await withPostgresStore { store, pool in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            let replay = try await begin(bench, nil, speed: 6_000)
            _ = try await store.replaceWatches(of: "scheduler", with: [Watch(symbol: replay.symbol, intervalSeconds: 60)])
            // A replica that takes the lease, releases two bars and is never heard of again.
            #expect(try await store.claimReplays(runner: "killed", leaseSeconds: 3_600).map(\.id) == [replay.id])
            var from = replay.releasedThrough
            for minute in 1...2 {
                let through = at("2016-10-08T00:00:00Z") + .seconds(60 * minute)
                let step = ReplayStep(
                    replayID: replay.id,
                    from: from,
                    through: through,
                    bars: 1,
                    closes: [.init(intervalSeconds: 60, revision: 1, bar: nil)]
                )
                #expect(try await store.release(step, runner: "killed") != nil)
                from = through
            }
            // Its lease runs out, which nobody has to wait for here; one of two replicas goes on.
            try await pool.execute("UPDATE replays SET lease_until = clock_timestamp() - interval '1 second'")
            let (one, other) = (feed(bench), feed(try Bench(store)))
            try await one.start()
            try await other.start()
            try await finished(bench, replay)
            await one.stop()
            await other.stop()
            let events = try await closes(pool, replay.symbol)
            #expect(events.map(\.closeAt) == (1...30).map { at("2016-10-08T00:00:00Z") + .seconds(60 * $0) })
            #expect(try await store.replay(id: replay.id)?.releasedBars == 30)
            #expect(try await bench.closes(replay.symbol, "1m").count == 30)
            // The dead one's late release is refused.
            let late = ReplayStep(replayID: replay.id, from: from, through: from + .seconds(60), bars: 1, closes: [])
            #expect(try await store.release(late, runner: "killed") == nil)
        }
    }

    @Test func aRestartedReplicaGoesOnWhereItStopped() async throws {
        try await withPostgresStore { store, pool in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
            let replay = try await begin(bench, nil, speed: 1_200)
            _ = try await store.replaceWatches(of: "scheduler", with: [Watch(symbol: replay.symbol, intervalSeconds: 120)])
            var released: Int64 = 0
            for _ in 0..<3 {
                let feed = feed(bench)
                try await feed.start()
                let before = released
                released = try await eventuallyValue("more bars") {
                    let bars = try await store.replay(id: replay.id)?.releasedBars ?? 0
                    // One that was held up has no more to release than all.
                    return bars > before + 3 || bars == 40 ? bars : nil
                }
                await feed.stop()
            }
            let feed = feed(bench)
            try await feed.start()
            try await finished(bench, replay)
            await feed.stop()
            #expect(try await closes(pool, replay.symbol).map(\.closeAt) == (1...20).map { at("2016-10-08T00:00:00Z") + .seconds(120 * $0) })
            #expect(try await store.replay(id: replay.id)?.releasedBars == 40)
        }
    }

    @Test func pausesEndsAndLoops() async throws {
        try await withPostgresStore { store, _ in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 600), as: "BTCUSD.csv")
            let feed = feed(bench)
            try await feed.start()
            let replay = try await begin(bench, feed, speed: 300, end: "2016-10-08T08:00:00Z")
            let replays = Replays(store: store, reader: bench.reader, time: SystemTimeSource(), feed: feed)
            try await eventually("the first bar") { try await store.replay(id: replay.id)?.releasedBars ?? 0 > 0 }
            _ = try await replays.change(replay.id, from: [.running], to: .paused, account: replay.accountID, isAdministrator: false, on: store)
            let paused = try #require(try await store.replay(id: replay.id))
            #expect(paused.state == .paused)
            let known = try await bench.closes(replay.symbol, "1m").count
            await #expect(throws: MarketdataError.unknownReplay) {
                try await replays.change(replay.id, from: [.paused], to: .running, account: .make(), isAdministrator: false, on: store)
            }
            #expect(try await bench.closes(replay.symbol, "1m").count == known)
            _ = try await replays.change(replay.id, from: [.paused], to: .running, account: replay.accountID, isAdministrator: false, on: store)
            feed.wake()
            try await eventually("more bars") { try await store.replay(id: replay.id)?.releasedBars ?? 0 > paused.releasedBars }
            _ = try await replays.change(replay.id, from: [.running], to: .stopped, account: .make(), isAdministrator: true, on: store)
            feed.wake()
            await #expect(throws: MarketdataError.replayState("stopped")) {
                try await replays.change(replay.id, from: [.paused], to: .running, account: replay.accountID, isAdministrator: false, on: store)
            }
            let looped = try await begin(bench, feed, speed: 100_000, start: "2016-10-08T07:58:00Z", end: "2016-10-08T08:00:00Z", loops: true)
            #expect(looped.symbol == "BTCUSD@replay-2")
            try await finished(bench, looped)
            try await eventually("the next round") { try await store.instrument(symbol: "BTCUSD@replay-3") != nil }
            #expect(try await store.replay(id: looped.id)?.releasedBars == 2)
            await feed.stop()
        }
    }

    @Test func aReplayNeverChangesWhenItsSourceIsCorrected() async throws {
        try await withPostgresStore { store, _ in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5), as: "BTCUSD.csv")
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5, first: 300), as: "BTCUSD.csv")
            let replay = try await begin(bench, nil, speed: 1)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5, first: 700), as: "BTCUSD.csv")
            _ = try await store.claimReplays(runner: "test", leaseSeconds: 60)
            let step = ReplayStep(replayID: replay.id, from: replay.releasedThrough, through: at("2016-10-08T00:05:00Z"), bars: 5, closes: [])
            #expect(try await store.release(step, runner: "test") != nil)
            #expect(try await bench.closes(replay.symbol, "5m") == ["304.25"])
            #expect(try await bench.closes("BTCUSD", "5m") == ["704.25"])
        }
    }

    @Test func whatCannotBeReplayedIsRefused() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        await #expect(throws: MarketdataError.unknownInstrument("BTCUSD")) { try await begin(bench, nil, speed: 1) }
        try await bench.store.create(coin("BTCUSD"))
        await #expect(throws: MarketdataError.nothingToReplay) { try await begin(bench, nil, speed: 1) }
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5), as: "BTCUSD.csv")
        await #expect(throws: MarketdataError.nothingToReplay) { try await begin(bench, nil, speed: 1, start: "2016-10-09T00:00:00Z") }
        #expect(try await begin(bench, nil, speed: 1, start: "2016-10-01T00:00:00Z").startsAt == at("2016-10-08T00:00:00Z"))
    }

    /// Both read the same chunks of one source; an answer that goes on beyond them ends where each has come to.
    @Test func twoReplaysOfOneSourceShareNoAnswer() async throws {
        let cache = GatedCache()
        let bench = try Bench(MemoryMarketdataStore(), results: cache)
        cache.open()
        for day in 3..<20 { try await bench.take(minutes(from: "2016-10-\(day < 10 ? "0" : "")\(day)T00:00:00Z", count: 5), as: "BTCUSD.csv") }
        let ahead = try await begin(bench, nil, speed: 1, start: "2016-10-19T00:00:00Z")
        let behind = try await begin(bench, nil, speed: 1, start: "2016-10-14T00:00:00Z")
        while cache.asked.pendingCount > 0 { try await cache.asked.next() }
        cache.shut()
        func read(_ replay: Replay) -> Task<BarSeries, any Error> {
            var request = BarRequest(symbol: replay.symbol, interval: BarInterval(seconds: 60))
            request.start = at("2016-10-03T00:00:00Z")
            request.limit = 60
            let question = request
            return Task(on: TestLoop.shared) { try await bench.reader.read(question, recordedBy: .distantFuture).bars }
        }
        let first = read(ahead)
        try await cache.asked.next()
        let second = read(behind)
        // It looks for itself; with the other's answer it would wait for that one here.
        try await cache.asked.next()
        cache.open()
        let far = try await first.value
        let near = try await second.value
        #expect(far.count == 60 && near.count == 55)
        #expect(near.ends.last == at("2016-10-13T00:05:00Z").microseconds)
    }

    @Test func closesFollowTheSession() throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let days = PeriodGrid(clock: clock, kind: .regular, interval: .days(1))
        #expect(Watched.close(after: at("2015-12-23T22:00:00Z").microseconds, on: days) == at("2015-12-24T18:00:00Z").microseconds)
        #expect(Watched.close(after: at("2015-12-24T18:00:00Z").microseconds, on: days) == at("2015-12-28T21:00:00Z").microseconds)
        let minutes = SessionGrid(clock: clock, kind: .regular, intervalMicroseconds: 60_000_000)
        #expect(Watched.close(after: at("2015-12-24T18:00:00Z").microseconds, on: minutes) == at("2015-12-28T14:31:00Z").microseconds)
    }
}
