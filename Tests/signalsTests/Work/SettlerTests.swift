import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("Settler")
struct SettlerTests {
    /// The present, a minute or more after the prediction was made.
    private struct Fixed: TimeSource {
        var moment: Timestamp
        func now() -> Timestamp { moment }
        func monotonicNanoseconds() -> UInt64 { 0 }
        func sleep(for: Duration) async throws {}
    }

    private func bars(from start: Timestamp, _ closes: [Int64], knownAt: (Timestamp) -> Timestamp) -> [(bar: OutcomeBar, knownAt: Timestamp)] {
        closes.enumerated().map { index, close in
            let begin = start + .seconds(index * 15)
            let bar = OutcomeBar(
                start: begin,
                end: begin + .seconds(15),
                open: DecimalText(units: index == 0 ? close : closes[index - 1]),
                close: DecimalText(units: close)
            )
            return (bar, knownAt(bar.end))
        }
    }

    @Test("A live prediction is settled when its window has passed, and waits before")
    func live() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp(seconds: Timestamp.now().seconds)
        _ = try await store.append(Fixtures.run(signal, version: version, dueAt: due))
        _ = try await store.seal(signing: Fixtures.signing)
        market.state.withLock { $0.bars = bars(from: due - .seconds(60), [90, 95, 99, 100, 101, 102, 104, 103], knownAt: { $0 }) }
        func settle(after seconds: Int64) async throws -> Settler.Report {
            try await Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(seconds)))
                .settle(signal.id)
        }
        #expect(try await settle(after: 61) == Settler.Report())
        market.state.withLock { $0.isAway = true }
        await #expect(throws: FakeMarket.Away.self) { try await settle(after: 63) }
        market.state.withLock { $0.isAway = false }
        #expect(try await settle(after: 64) == Settler.Report(settled: 1))
        let outcome = try #require(try await store.predictions(PredictionQuery(signalID: signal.id, limit: 1)).first?.outcome)
        // Made a moment after `due`: the bar that opens at `due` had opened already, the next one is the first that counts.
        #expect(outcome.realised.opensAt == due + .seconds(15))
        #expect(outcome.realised.openPrice?.text == "101" && outcome.realised.closePrice?.text == "103")
        #expect(outcome.realised.correct == true && outcome.counts)
        #expect(try await settle(after: 120) == Settler.Report())
    }

    @Test("Unsealed predictions wait for their seal")
    func unsealed() async throws {
        let store = InMemorySignalsStore()
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp.now()
        _ = try await store.append(Fixtures.run(signal, version: version, dueAt: due))
        let settler = Settler(store: store, versions: VersionCache(store: store), market: FakeMarket(), time: Fixed(moment: due + .seconds(70)))
        #expect(try await settler.settle(signal.id) == Settler.Report(waiting: 1))
    }

    /// A live prediction of a window of a minute that begins at a whole second, sealed.
    private func recorded(in store: InMemorySignalsStore, instrument: String = "BTCUSD") async throws -> (signal: Signal, due: Timestamp) {
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp(seconds: Timestamp.now().seconds)
        try await record(signal, version, due: due, instrument: instrument, in: store)
        return (signal, due)
    }

    private func record(_ signal: Signal, _ version: SignalVersion, due: Timestamp, instrument: String, in store: InMemorySignalsStore) async throws {
        var run = Fixtures.run(signal, version: version, dueAt: due)
        run.rows[0].instrument = instrument
        run.knowledge = [instrument: MarketKnowledge(baseSeconds: 15)]
        _ = try await store.append(run)
        _ = try await store.seal(signing: Fixtures.signing)
    }

    private func outcomes(of signal: Signal, in store: InMemorySignalsStore) async throws -> [SettledOutcome?] {
        try await store.predictions(PredictionQuery(signalID: signal.id, afterSeq: 0, limit: 10)).map(\.outcome)
    }

    @Test("Nothing is said of a live window before its bars are known through its end, and then by all of them")
    func barsComeLater() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, due) = try await recorded(in: store)
        func look(after seconds: Int64) async throws -> Settler.Report {
            try await store.settle(signal.id, outcomes: [:], again: [1: due])
            return try await Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(seconds)))
                .settle(signal.id)
        }
        #expect(try await look(after: 70) == Settler.Report(waiting: 1))
        // An import brings half of the window, the next one the rest.
        let closes: [Int64] = [100, 101, 90, 80, 103]
        market.state.withLock { $0.bars = bars(from: due, Array(closes.prefix(3)), knownAt: { $0 }) }
        #expect(try await look(after: 3_600) == Settler.Report(waiting: 1))
        market.state.withLock { $0.bars = bars(from: due, closes, knownAt: { $0 }) }
        #expect(try await look(after: 86_400) == Settler.Report(settled: 1))
        let outcome = try #require(try await outcomes(of: signal, in: store)[0])
        #expect(outcome.realised.closesAt == due + .seconds(60) && outcome.realised.closePrice?.text == "80")
        #expect(outcome.realised.correct == false && outcome.counts)
    }

    @Test("Bars after a window do not say that its own are not coming: days are imported in any order", arguments: [true, false])
    func importsOutOfOrder(isFilled: Bool) async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, due) = try await recorded(in: store)
        let later = bars(from: due + .seconds(86_400), [200, 201], knownAt: { $0 })
        market.state.withLock { $0.bars = later }
        func look(after seconds: Int64) async throws -> Settler.Report {
            try await store.settle(signal.id, outcomes: [:], again: [1: due])
            return try await Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(seconds)))
                .settle(signal.id)
        }
        #expect(try await look(after: 2 * 86_400) == Settler.Report(waiting: 1))
        if isFilled {
            market.state.withLock { $0.bars = bars(from: due, [100, 101, 102, 103], knownAt: { $0 }) + later }
            #expect(try await look(after: 2 * 86_400) == Settler.Report(settled: 1))
        } else {
            #expect(try await look(after: 4 * 86_400 + 61) == Settler.Report(unresolved: 1))
        }
    }

    @Test("A window that no bar fills in four days is given up and counted")
    func givenUp() async throws {
        let store = InMemorySignalsStore()
        let (signal, due) = try await recorded(in: store)
        func look(after seconds: Int64) async throws -> Settler.Report {
            try await store.settle(signal.id, outcomes: [:], again: [1: due])
            return try await Settler(
                store: store,
                versions: VersionCache(store: store),
                market: FakeMarket(),
                time: Fixed(moment: due + .seconds(seconds))
            ).settle(signal.id)
        }
        #expect(try await look(after: 4 * 86_400) == Settler.Report(waiting: 1))
        #expect(try await look(after: 4 * 86_400 + 60) == Settler.Report(unresolved: 1))
        let outcome = try #require(try await outcomes(of: signal, in: store)[0])
        #expect(outcome.realised.state == .unresolved && !outcome.counts)
    }

    @Test("A window with no room for a bar is unresolved as soon as it is over")
    func noRoom() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, due) = try await recorded(in: store)
        // Made a moment after the only bar of the window has opened.
        market.state.withLock { state in
            state.instruments["BTCUSD"]?.baseIntervalSeconds = 60
            let only = OutcomeBar(start: due, end: due + .seconds(60), open: DecimalText(units: 100), close: DecimalText(units: 101))
            state.bars = [(only, knownAt: only.end)]
        }
        let report = try await Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(62)))
            .settle(signal.id)
        #expect(report == Settler.Report(unresolved: 1))
    }

    @Test("Where the finest bars cannot be had the signal's own will do; where those cannot either, one waits")
    func refusedBars() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, due) = try await recorded(in: store)
        market.state.withLock { state in
            state.instruments["BTCUSD"]?.baseIntervalSeconds = 1
            state.bars = bars(from: due, [100, 101, 102, 103], knownAt: { $0 })
            state.refusedSeconds = [1, 15]
        }
        func look(after seconds: Int64) async throws -> Settler.Report {
            try await store.settle(signal.id, outcomes: [:], again: [1: due])
            return try await Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(seconds)))
                .settle(signal.id)
        }
        #expect(try await look(after: 62) == Settler.Report(waiting: 1))
        market.state.withLock { $0.refusedSeconds = [1] }
        #expect(try await look(after: 63) == Settler.Report(settled: 1))
        #expect(try await outcomes(of: signal, in: store)[0]?.realised.closePrice?.text == "103")
    }

    @Test("Bars that can never be had are given up in the end")
    func refusedForEver() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, due) = try await recorded(in: store)
        market.state.withLock { $0.refusedSeconds = [15] }
        let settler = Settler(
            store: store,
            versions: VersionCache(store: store),
            market: market,
            time: Fixed(moment: due + .seconds(4 * 86_400 + 60))
        )
        #expect(try await settler.settle(signal.id) == Settler.Report(unresolved: 1))
    }

    @Test("An instrument in trouble keeps no other from its outcome, and is put off")
    func oneInTrouble() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp(seconds: Timestamp.now().seconds)
        market.state.withLock { state in
            state.instruments["BAD"] = InstrumentFacts(symbol: "BAD", feed: .live, baseIntervalSeconds: 15)
            state.damaged = ["BAD"]
            state.bars = bars(from: due, [100, 101, 102, 103], knownAt: { $0 })
        }
        for instrument in ["BAD", "BAD", "BTCUSD"] { try await record(signal, version, due: due, instrument: instrument, in: store) }
        let settler = Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(62)))
        await #expect(throws: FakeMarket.Damaged.self) { try await settler.settle(signal.id) }
        let found = try await outcomes(of: signal, in: store)
        #expect(found.map { $0?.realised.state } == [nil, nil, .settled])
        // Put off, and asked for once: nothing is due now.
        #expect(try await settler.settle(signal.id) == Settler.Report())
    }

    @Test("One pass asks once for what all its predictions need")
    func asksOnce() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp(seconds: Timestamp.now().seconds)
        for _ in 0..<5 { try await record(signal, version, due: due, instrument: "BTCUSD", in: store) }
        let settler = Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: due + .seconds(62)))
        #expect(try await settler.settle(signal.id) == Settler.Report(waiting: 5))
        #expect(market.state.withLock { $0.asked } == 1)
    }

    private func statement(windowEnd: Timestamp, feed: FeedKind) -> PredictionStatement {
        PredictionStatement(
            signalID: .make(),
            versionSHA256: LedgerHash.zero,
            envSHA256: LedgerHash.zero,
            dataSHA256: LedgerHash.zero,
            jobID: .make(),
            row: PredictionRow(
                row: 0,
                instrument: "BTCUSD",
                kind: .direction,
                value: .single(.zero),
                targetFrom: windowEnd - .seconds(60),
                targetTo: windowEnd
            ),
            dueAt: windowEnd - .seconds(60),
            asOf: windowEnd - .seconds(60),
            referencePrice: nil,
            feed: feed,
            late: false
        )
    }

    /// All looks at a prediction that never has an outcome.
    private func looks(at statement: PredictionStatement, madeAt: Timestamp) -> [Timestamp] {
        let wait = Settlement.waiting(for: statement, madeAt: madeAt)
        var looks: [Timestamp] = [wait.checkAt]
        while let last = looks.last, last < wait.giveUpAt { looks.append(Settlement.again(for: statement, madeAt: madeAt, now: last)) }
        return looks
    }

    @Test("While bars are missing for four days, the pauses between looks grow, and those that wait alike are looked at together")
    func growingPauses() throws {
        let end = Timestamp(seconds: 1_760_000_000)
        let madeAt = end - .seconds(60)
        let looks = looks(at: statement(windowEnd: end, feed: .live), madeAt: madeAt)
        #expect(looks.count < 400, "\(looks.count) looks")
        for (before, after) in zip(looks, looks.dropFirst()) {
            #expect(after > before && after - before <= max(.seconds(1), (before - end) / 8))
        }
        // A prediction a minute, all of them ten hours old and more: they come due at the same moments.
        let now = end + .seconds(36_000)
        let together = Set(
            (0..<600).map { Settlement.again(for: statement(windowEnd: end - .seconds($0 * 60), feed: .live), madeAt: madeAt, now: now) }
        )
        #expect(together.count == 1)
    }

    @Test("A replay's prediction is looked at after a tenth of its age, between one second and 256, together with others of its signal")
    func replayPauses() throws {
        // Not at a whole second.
        let madeAt = Timestamp(seconds: 1_760_000_000) + .milliseconds(370)
        let statement = statement(windowEnd: madeAt + .seconds(60), feed: .replay)
        let looks = looks(at: statement, madeAt: madeAt)
        #expect(looks.count < 900, "\(looks.count) looks")
        for (before, after) in zip(looks, looks.dropFirst()) {
            #expect(after > before && after - before <= max(.seconds(1), min((before - madeAt) / 10, .seconds(256))))
        }
        // A prediction a second, each looked at on its own way for forty minutes: what waits behind the same window for ten minutes and more comes due at
        // moments that all of it shares, not at one for each.
        let now = madeAt + .seconds(2_400)
        var moments: Set<Timestamp> = []
        for second in 0..<1_800 {
            let made = madeAt + .seconds(second) + .milliseconds(second % 7)
            var next = Settlement.waiting(for: statement, madeAt: made).checkAt
            while next < now { next = Settlement.again(for: statement, madeAt: made, now: next + .milliseconds(second % 11)) }
            moments.insert(next)
        }
        #expect(moments.count <= 4, "\(moments.count) moments")
    }

    @Test("A replay is measured in the bars' own time, from what had not been released yet", arguments: [true, false])
    func replay(isWallClock: Bool) async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, version) = try await Fixtures.published(in: store, feed: .replay)
        let asOf = Timestamp.now()
        let old = Timestamp(seconds: 1_475_928_000)
        // Two bars had been released when the run was due; the others follow, one every three seconds of today.
        let recorded = bars(from: old, [100, 101, 105, 106, 107, 108, 120], knownAt: { $0 })
        func released(_ count: Int) {
            market.state.withLock { state in
                state.instruments["BTCUSD"]?.feed = .replay
                state.bars = recorded.prefix(count).enumerated().map { index, entry in (entry.bar, asOf + .seconds((index - 1) * 3)) }
            }
        }
        released(2)
        let from = isWallClock ? asOf : old + .seconds(30)
        _ = try await store.append(Fixtures.run(signal, version: version, dueAt: asOf, feed: .replay, targetFrom: from))
        _ = try await store.seal(signing: Fixtures.signing)
        let settler = Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: asOf + .seconds(600)))
        #expect(try await settler.settle(signal.id) == Settler.Report(waiting: 1))
        released(5)
        try await store.settle(signal.id, outcomes: [:], again: [1: asOf])
        #expect(try await settler.settle(signal.id) == Settler.Report(waiting: 1))
        released(6)
        try await store.settle(signal.id, outcomes: [:], again: [1: asOf])
        #expect(try await settler.settle(signal.id) == Settler.Report(settled: 1))
        let outcome = try #require(try await store.predictions(PredictionQuery(signalID: signal.id, limit: 1)).first?.outcome)
        #expect(outcome.realised.opensAt == old + .seconds(30) && outcome.realised.closesAt == old + .seconds(90))
        #expect(outcome.realised.openPrice?.text == "101" && outcome.realised.closePrice?.text == "108")
        #expect(!outcome.counts)
    }

    @Test("Behind a replay's window that is not over nothing is asked about later ones", arguments: [true, false])
    func asksNothingOfLaterWindows(isWallClock: Bool) async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, version) = try await Fixtures.published(in: store, feed: .replay)
        let first = Timestamp(seconds: Timestamp.now().seconds)
        let old = Timestamp(seconds: 1_475_928_000)
        let recorded = bars(from: old, Array(100..<120), knownAt: { $0 })
        func released(_ count: Int) {
            market.state.withLock { state in
                state.instruments["BTCUSD"]?.feed = .replay
                state.bars = recorded.prefix(count).enumerated().map { index, entry in (entry.bar, first + .seconds(index < 2 ? -1 : 10)) }
                state.asked = 0
            }
        }
        released(2)
        for second in 0..<5 {
            let dueAt = first + .seconds(second)
            let from = isWallClock ? dueAt : old + .seconds(30 + second)
            _ = try await store.append(Fixtures.run(signal, version: version, dueAt: dueAt, feed: .replay, targetFrom: from))
        }
        _ = try await store.seal(signing: Fixtures.signing)
        let settler = Settler(store: store, versions: VersionCache(store: store), market: market, time: Fixed(moment: first + .seconds(600)))
        #expect(try await settler.settle(signal.id) == Settler.Report(waiting: 5))
        // The newest bar, and the one that was known at the first window's `as_of`.
        #expect(market.state.withLock { $0.asked } == 2)
        released(20)
        try await store.settle(signal.id, outcomes: [:], again: Dictionary(uniqueKeysWithValues: (1...5).map { ($0, first) }))
        let report = try await settler.settle(signal.id)
        #expect(report.waiting == 0 && report.settled + report.unresolved == 5, "\(report)")
    }

    @Test("While settlement is stuck a prediction makes a handful of jobs an hour, and one when it is looked at")
    func planner() async throws {
        let store = InMemorySignalsStore()
        let jobs = FakeJobs()
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp(seconds: 1_760_000_000)
        _ = try await store.append(Fixtures.run(signal, version: version, dueAt: due))
        let clock = ManualTimeSource(due)
        let planner = SettlementPlanner(store: store, jobs: jobs, time: clock, loop: TestLoop.shared)
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.isEmpty })
        clock.advance(by: .seconds(64))
        await planner.round()
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == 1)
        let request = try #require(jobs.state.withLock { $0.requests.first })
        #expect(request.kind == .settlement && request.resourceClass == .signals && request.spec["signal_id"]?.string == signal.id.description)
        // Nothing is settled for an hour; a second replica plans as well.
        let other = SettlementPlanner(store: store, jobs: jobs, time: clock, loop: TestLoop.shared)
        for _ in 0..<720 {
            clock.advance(by: SettlementPlanner.interval)
            await planner.round()
            await other.round()
        }
        #expect(jobs.state.withLock { $0.requests.count } == 6)
        // A look puts it off: when it is due again that is another job.
        try await store.settle(signal.id, outcomes: [:], again: [1: clock.now() + .seconds(10)])
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == 6)
        clock.advance(by: .seconds(10))
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == 7)
    }

    @Test("One call makes the jobs of a round; a signal whose job is refused keeps no other from its own, and is asked for again")
    func oneCall() async throws {
        let store = InMemorySignalsStore()
        let jobs = FakeJobs()
        let due = Timestamp(seconds: 1_760_000_000)
        var signals: [Signal] = []
        for _ in 0..<5 {
            let (signal, version) = try await Fixtures.published(in: store)
            _ = try await store.append(Fixtures.run(signal, version: version, dueAt: due))
            signals.append(signal)
        }
        let full = signals[0].accountID
        jobs.state.withLock { $0.full = [full] }
        let clock = ManualTimeSource(due + .seconds(124))
        let planner = SettlementPlanner(store: store, jobs: jobs, time: clock, loop: TestLoop.shared)
        await planner.round()
        #expect(jobs.state.withLock { $0.asked } == 1)
        #expect(jobs.state.withLock { Set($0.requests.map(\.accountID)) } == Set(signals.map(\.accountID)).subtracting([full]))
        jobs.state.withLock { $0.full = [] }
        // Not in every round, but after a minute.
        clock.advance(by: .seconds(59))
        await planner.round()
        #expect(jobs.state.withLock { $0.asked } == 1)
        clock.advance(by: .seconds(1))
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == 5 && jobs.state.withLock { $0.asked } == 2)
        // Nothing new: nobody is asked.
        await planner.round()
        #expect(jobs.state.withLock { $0.asked } == 2)
    }

    @Test("An account that is full and has more due than one call makes keeps nobody from their jobs")
    func fullAccount() async throws {
        let store = InMemorySignalsStore()
        let jobs = FakeJobs()
        let due = Timestamp(seconds: 1_760_000_000)
        let full = AccountID.make()
        var others: Set<AccountID> = []
        for index in 0..<(SettlementPlanner.maximumNewJobs + 3) {
            let isOther = index >= SettlementPlanner.maximumNewJobs
            let (signal, version) = try await Fixtures.published(in: store, account: isOther ? .make() : full)
            _ = try await store.append(Fixtures.run(signal, version: version, dueAt: isOther ? due + .seconds(1) : due))
            if isOther { others.insert(signal.accountID) }
        }
        jobs.state.withLock { $0.full = [full] }
        let clock = ManualTimeSource(due + .seconds(124))
        let planner = SettlementPlanner(store: store, jobs: jobs, time: clock, loop: TestLoop.shared)
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.isEmpty && $0.asked == 1 })
        clock.advance(by: SettlementPlanner.interval)
        await planner.round()
        #expect(jobs.state.withLock { Set($0.requests.map(\.accountID)) } == others)
        // A minute later it is asked for, and refused, again.
        clock.advance(by: .seconds(55))
        await planner.round()
        #expect(jobs.state.withLock { $0.asked } == 3)
        clock.advance(by: SettlementPlanner.interval)
        await planner.round()
        #expect(jobs.state.withLock { $0.asked } == 3)
    }

    @Test("Many signals that are stuck do not keep a new one from its turn")
    func noStarvation() async throws {
        let store = InMemorySignalsStore()
        let jobs = FakeJobs()
        let due = Timestamp(seconds: 1_760_000_000)
        for index in 0...SettlementPlanner.maximumNewJobs {
            let (signal, version) = try await Fixtures.published(in: store)
            let isNew = index == SettlementPlanner.maximumNewJobs
            _ = try await store.append(Fixtures.run(signal, version: version, dueAt: isNew ? due + .seconds(1) : due))
        }
        let clock = ManualTimeSource(due + .seconds(64))
        let planner = SettlementPlanner(store: store, jobs: jobs, time: clock, loop: TestLoop.shared)
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == SettlementPlanner.maximumNewJobs)
        clock.advance(by: SettlementPlanner.interval)
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == SettlementPlanner.maximumNewJobs + 1)
    }
}
