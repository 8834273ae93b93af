import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// What every store has to do, in memory as in Postgres.
@Suite(.enabled(if: TestServers.hasPostgres)) struct StoreContractTests {
    @Test(arguments: StoreKind.allCases) func instrumentsComeBackAsTheyWere(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let made = coin("BTCUSD")
            try await store.create(made)
            #expect(try await store.instrument(symbol: "BTCUSD") == made)
            #expect(try await store.instrument(id: made.id) == made)
            #expect(try await store.instrument(symbol: "ETHUSD") == nil)
            await #expect(throws: MarketdataError.symbolTaken("BTCUSD")) { try await store.create(coin("BTCUSD")) }
            for symbol in ["ETHUSD", "ADAUSD", "BTCEUR"] { try await store.create(coin(symbol)) }
            #expect(
                try await store.instruments(after: nil, containing: nil, assetClass: nil, limit: 3).map(\.symbol) == ["ADAUSD", "BTCEUR", "BTCUSD"]
            )
            #expect(try await store.instruments(after: "BTCUSD", containing: nil, assetClass: nil, limit: 3).map(\.symbol) == ["ETHUSD"])
            #expect(try await store.instruments(after: nil, containing: "BTC", assetClass: nil, limit: 9).map(\.symbol) == ["BTCEUR", "BTCUSD"])
        }
    }

    @Test(arguments: StoreKind.allCases) func calendarsComeBackAsTheyWere(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            #expect(try await store.calendar(named: "us-equity") == nil)
            try await store.save([CalendarCatalogue.usEquity])
            #expect(try await store.calendar(named: "us-equity") == CalendarCatalogue.usEquity)
            var changed = CalendarCatalogue.usEquity
            changed.holidays.insert(CivilDay(year: 2026, month: 2, day: 3))
            try await store.save([changed])
            #expect(try await store.calendar(named: "us-equity") == changed)
        }
    }

    @Test(arguments: StoreKind.allCases) func daysGetRevisionsAndAreFoundByTheMomentOfRecording(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            let first = try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 10), as: "BTCUSD.csv")
            #expect(first.days == .init(added: 1))
            let again = try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 10), as: "BTCUSD.csv")
            #expect(again.days == .init(unchanged: 1))
            let revised = try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 10, first: 200), as: "BTCUSD.csv")
            #expect(revised.days == .init(revised: 1))
            let extended = try await bench.take(minutes(from: "2016-10-08T00:10:00Z", count: 5), as: "BTCUSD.csv")
            #expect(extended.days == .init(extended: 1))
            let series = try await store.series(of: first.instrumentID)
            #expect(series.map(\.key) == [SeriesKey(intervalSeconds: 60, side: .trade, origin: .imported)])
            #expect(series.first?.firstDay == CivilDay(year: 2016, month: 10, day: 8))
            #expect(series.first?.firstEnd == at("2016-10-08T00:01:00Z").microseconds)
            func newest(_ moment: Timestamp) async throws -> (revision: Int, rows: Int)? {
                let day = CivilDay(year: 2016, month: 10, day: 8)
                let query = ChunkQuery(
                    instrumentID: first.instrumentID,
                    series: series.map(\.key),
                    days: day...day,
                    recordedBy: moment.microseconds
                )
                return try await store.chunkInfos(query).first.map { ($0.key.revision, $0.rows) }
            }
            #expect(try await newest(at("1970-01-01T00:00:00Z"))?.revision == 1)
            let latest = try #require(try await newest(Timestamp.now()))
            #expect(latest == (3, 15))
            #expect(try await store.instrument(symbol: "BTCUSD")?.baseIntervalSeconds == 60)
        }
    }

    /// Quotes are often finer than trades; who asks for bars of the base interval, and of no price, must get some.
    @Test(arguments: StoreKind.allCases, [true, false]) func theBaseIntervalIsThatOfTheUsualPrice(kind: StoreKind, quotesFirst: Bool) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            func trades() async throws {
                let rows = "36000000,1000000,1000000,1000000,1000000,100\n36060000,1000000,1000000,1000000,1000000,100\n"
                let path = "equity/usa/minute/aig/20131007_trade.zip"
                _ = try await bench.importer.run(stored(rows, as: "20131007_aig_minute_trade.csv"), path: path, options: ImportOptions())
            }
            func quotes() async throws {
                let rows = "36000000,1000000,200,1000200,300,P,0,0\n36001000,1000100,100,1000300,100,P,0,0\n"
                let path = "equity/usa/tick/aig/20131007_quote.zip"
                _ = try await bench.importer.run(stored(rows, as: "20131007_aig_tick_quote.csv"), path: path, options: ImportOptions())
            }
            func base() async throws -> Int? { try await store.instrument(symbol: "AIG")?.baseIntervalSeconds }
            if quotesFirst {
                try await quotes()
                #expect(try await base() == 1)
                try await trades()
            } else {
                try await trades()
                #expect(try await base() == 60)
                try await quotes()
            }
            let seconds = try #require(try await base())
            #expect(seconds == 60)
            #expect(try await bench.closes("AIG", "\(seconds)s").count == 2)
        }
    }

    @Test(arguments: StoreKind.allCases) func watchesAreReplacedWhole(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let made = coin("BTCUSD")
            try await store.create(made)
            _ = try await store.replaceWatches(
                of: "scheduler",
                with: [Watch(symbol: "BTCUSD", intervalSeconds: 15), Watch(symbol: "BTCUSD", intervalSeconds: 60)]
            )
            _ = try await store.replaceWatches(of: "other", with: [Watch(symbol: "BTCUSD", intervalSeconds: 15)])
            #expect(try await store.watchedIntervals(of: made.id) == [15, 60])
            _ = try await store.replaceWatches(of: "scheduler", with: [Watch(symbol: "BTCUSD", intervalSeconds: 300)])
            #expect(try await store.watchedIntervals(of: made.id) == [15, 300])
            let wanted = [Watch(symbol: "NONE", intervalSeconds: 15), Watch(symbol: "BTCUSD", intervalSeconds: 300)]
            #expect(try await store.replaceWatches(of: "scheduler", with: wanted) == ["NONE"])
            #expect(try await store.watchedIntervals(of: made.id) == [15, 300])
            _ = try await store.replaceWatches(of: "scheduler", with: [])
            #expect(try await store.watchedIntervals(of: made.id) == [15])
        }
    }

    @Test(arguments: StoreKind.allCases) func replaysAreReleasedOnceByWhoHoldsTheLease(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let source = coin("BTCUSD")
            try await store.create(source)
            func draft() -> ReplayDraft {
                ReplayDraft(
                    id: .make(),
                    instrumentID: .make(),
                    sourceInstrumentID: source.id,
                    accountID: .make(),
                    baseIntervalSeconds: 60,
                    speed: 2.5,
                    loops: true,
                    startsAt: at("2016-10-08T00:00:00Z"),
                    endsAt: nil,
                    revisionsAsOf: at("2026-01-02T00:00:00Z"),
                    createdAt: .now()
                )
            }
            let first = try await store.createReplay(draft(), within: ReplayLimits())
            let second = try await store.createReplay(draft(), within: ReplayLimits())
            #expect([first.symbol, second.symbol] == ["BTCUSD@replay-1", "BTCUSD@replay-2"])
            #expect(try await store.replay(id: first.id) == first)
            #expect(try await store.replay(instrument: second.instrumentID) == second)
            #expect(try await store.instrument(symbol: "BTCUSD@replay-1")?.feed == .replay)
            #expect(try await store.replays(after: nil, limit: 9).map(\.id) == [second.id, first.id])
            #expect(try await store.replays(after: second.id, limit: 9).map(\.id) == [first.id])

            #expect(Set(try await store.claimReplays(runner: "a", leaseSeconds: 60).map(\.id)) == [first.id, second.id])
            #expect(try await store.claimReplays(runner: "b", leaseSeconds: 60).isEmpty)
            func step(_ from: String, _ through: String) -> ReplayStep {
                ReplayStep(
                    replayID: first.id,
                    from: at(from),
                    through: at(through),
                    bars: 1,
                    closes: [.init(intervalSeconds: 60, revision: 1, bar: nil)]
                )
            }
            let before = Timestamp.now()
            #expect(try await store.releasedThrough(first.id, at: before) == at("2016-10-08T00:00:00Z"))
            #expect(try await store.release(step("2016-10-08T00:00:00Z", "2016-10-08T00:01:00Z"), runner: "b") == nil)
            let known = try #require(try await store.release(step("2016-10-08T00:00:00Z", "2016-10-08T00:01:00Z"), runner: "a"))
            #expect(known > before)
            #expect(try await store.release(step("2016-10-08T00:00:00Z", "2016-10-08T00:02:00Z"), runner: "a") == nil)
            #expect(try await store.releasedThrough(first.id, at: known) == at("2016-10-08T00:01:00Z"))
            #expect(try await store.releasedThrough(first.id, at: known - .microseconds(1)) == at("2016-10-08T00:00:00Z"))
            #expect(try await store.releasedThrough(first.id, at: first.createdAt - .microseconds(1)) == nil)
            let stored = try #require(try await store.instrument(symbol: "BTCUSD"))
            for (moment, through) in [
                (known, at("2016-10-08T00:01:00Z")), (known - .microseconds(1), at("2016-10-08T00:00:00Z")),
                (first.createdAt - .microseconds(1), nil),
            ] {
                let seen = ReplayedInstrument(source: stored, revisionsAsOf: first.revisionsAsOf, through: through)
                #expect(try await store.replayed(by: first.instrumentID, at: moment) == seen)
            }
            #expect(try await store.replayed(by: source.id, at: known) == nil)

            #expect(try await store.changeReplay(first.id, from: [.paused], to: .running) == nil)
            #expect(try await store.changeReplay(first.id, from: [.running], to: .paused)?.state == .paused)
            #expect(try await store.release(step("2016-10-08T00:01:00Z", "2016-10-08T00:02:00Z"), runner: "a") == nil)
            #expect(try await store.renewReplay(first.id, runner: "a", leaseSeconds: 60) == nil)
            #expect(try await store.renewReplay(second.id, runner: "b", leaseSeconds: 60) == nil)
            #expect(try await store.renewReplay(second.id, runner: "a", leaseSeconds: 60)?.id == second.id)
            try await store.releaseLease(of: second.id, runner: "a")
            #expect(try await store.claimReplays(runner: "b", leaseSeconds: 60).map(\.id) == [second.id])
            #expect(try await store.replay(id: first.id)?.releasedBars == 1)
        }
    }
}

/// How many replays may run at once.
@Suite(.enabled(if: TestServers.hasPostgres)) struct ReplayLimitTests {
    @Test(arguments: StoreKind.allCases) func anAccountRunsSoManyAtOnceAndAllTogetherSoMany(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let source = coin("BTCUSD")
            try await store.create(source)
            let limits = ReplayLimits(perAccount: 2, total: 3)
            let (ada, ben) = (AccountID.make(), AccountID.make())
            let first = try await store.createReplay(ReplayDraft.minutes(of: source.id, account: ada), within: limits)
            _ = try await store.createReplay(ReplayDraft.minutes(of: source.id, account: ada), within: limits)
            await #expect(throws: MarketdataError.tooManyReplays(2)) {
                try await store.createReplay(ReplayDraft.minutes(of: source.id, account: ada), within: limits)
            }
            _ = try await store.createReplay(ReplayDraft.minutes(of: source.id, account: ben), within: limits)
            await #expect(throws: MarketdataError.noRoomForReplays) {
                try await store.createReplay(ReplayDraft.minutes(of: source.id, account: ben), within: limits)
            }
            // Nothing of the refused ones is left behind.
            #expect(try await store.instruments(after: nil, containing: "@replay", assetClass: nil, limit: 9).count == 3)

            // A paused one makes room, and has to wait for room itself.
            _ = try await store.changeReplay(first.id, from: [.running], to: .paused)
            let other = try await store.createReplay(ReplayDraft.minutes(of: source.id, account: ada), within: limits)
            await #expect(throws: MarketdataError.tooManyReplays(2)) { try await store.resumeReplay(first.id, within: limits) }
            _ = try await store.changeReplay(other.id, from: [.running], to: .stopped)
            #expect(try await store.resumeReplay(first.id, within: limits)?.state == .running)
            #expect(try await store.resumeReplay(first.id, within: limits) == nil)

            // A round of a loop takes the place of the one before.
            let next = try await store.finishReplay(first.id, next: ReplayDraft.minutes(of: source.id, account: ada))
            #expect(next?.state == .running)
        }
    }

    @Test func whoAskAtTheSameTimeShareTheSameRoom() async throws {
        try await withPostgresStore { store, _ in
            let sources = [coin("BTCUSD"), coin("ETHUSD")]
            for source in sources { try await store.create(source) }
            let account = AccountID.make()
            let made = await withTaskGroup(of: Bool.self) { group in
                for index in 0..<8 {
                    let draft = ReplayDraft.minutes(of: sources[index % 2].id, account: account)
                    group.addTask { (try? await store.createReplay(draft, within: ReplayLimits(perAccount: 3, total: 9))) != nil }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(made == 3)
        }
    }
}
