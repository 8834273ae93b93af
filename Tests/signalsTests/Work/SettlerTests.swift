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
            try await Settler(store: store, market: market, time: Fixed(moment: due + .seconds(seconds))).settle(signal.id)
        }
        #expect(try await settle(after: 61) == Settler.Report())
        market.state.withLock { $0.isAway = true }
        await #expect(throws: FakeMarket.Away.self) { try await settle(after: 63) }
        market.state.withLock { $0.isAway = false }
        #expect(try await settle(after: 63) == Settler.Report(settled: 1))
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
        let settler = Settler(store: store, market: FakeMarket(), time: Fixed(moment: due + .seconds(70)))
        #expect(try await settler.settle(signal.id) == Settler.Report(waiting: 1))
    }

    @Test("A window that no bar fills is given up and counted")
    func givenUp() async throws {
        let store = InMemorySignalsStore()
        let market = FakeMarket()
        let (signal, version) = try await Fixtures.published(in: store)
        let due = Timestamp.now()
        _ = try await store.append(Fixtures.run(signal, version: version, dueAt: due))
        _ = try await store.seal(signing: Fixtures.signing)
        let settler = Settler(store: store, market: market, time: Fixed(moment: due + .seconds(70)))
        #expect(try await settler.settle(signal.id) == Settler.Report(unresolved: 1))
        let outcome = try #require(try await store.predictions(PredictionQuery(signalID: signal.id, limit: 1)).first?.outcome)
        #expect(outcome.realised.state == .unresolved && !outcome.counts)
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
        let settler = Settler(store: store, market: market, time: Fixed(moment: asOf + .seconds(600)))
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
        for _ in 0..<1_800 {
            clock.advance(by: .seconds(2))
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
        clock.advance(by: .seconds(2))
        await planner.round()
        #expect(jobs.state.withLock { $0.requests.count } == SettlementPlanner.maximumNewJobs + 1)
    }
}
