import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("Caches")
struct CacheTests {
    @Test("Subscriptions are known for 30 s while changes are heard, for 1 s while they are not, and dropped by a change")
    func entitlements() async throws {
        let store = InMemorySignalsStore()
        let clock = ManualTimeSource()
        let cache = EntitlementCache(store: store, time: clock)
        let (signal, _) = try await Fixtures.published(in: store)
        let account = AccountID.make()
        #expect(cache.ready(account, signal.id) == nil)
        #expect(try await cache.isSubscribed(account, to: signal.id) == false)
        _ = try await store.subscribe(account, to: signal.id, now: clock.now())
        #expect(cache.ready(account, signal.id) == false)
        clock.advance(by: .seconds(1))
        #expect(try await cache.isSubscribed(account, to: signal.id))
        cache.hearing(true)
        #expect(cache.ready(account, signal.id) == nil)
        _ = try await cache.signals(of: account)
        clock.advance(by: .seconds(29))
        #expect(cache.ready(account, signal.id) == true)
        cache.forget(.make())
        #expect(cache.ready(account, signal.id) == true)
        cache.forget(account)
        #expect(cache.ready(account, signal.id) == nil)
        _ = try await cache.signals(of: account)
        clock.advance(by: .seconds(30))
        #expect(cache.ready(account, signal.id) == nil)
        cache.hearing(false)
        _ = try await cache.signals(of: account)
        // Said again and again while nothing is heard.
        cache.hearing(false)
        #expect(cache.ready(account, signal.id) == true)
        clock.advance(by: .seconds(1))
        #expect(cache.ready(account, signal.id) == nil)
    }

    @Test("A mark that another thread set a moment later than this one read the clock is no fault")
    func racingClocks() async throws {
        let store = InMemorySignalsStore()
        let clock = ManualTimeSource()
        let reader = PredictionReader(store: store, time: clock)
        let entitlements = EntitlementCache(store: store, time: clock)
        let (signal, _) = try await Fixtures.published(in: store)
        let account = AccountID.make()
        let early = Earlier(clock: clock)
        let behind = EntitlementCache(store: store, time: early)
        let slowReader = PredictionReader(store: store, time: early)
        _ = try await slowReader.answer(.usual, about: signal.id)
        _ = try await behind.signals(of: account)
        early.isBehind.withLock { $0 = true }
        #expect(slowReader.ready(.usual, about: signal.id) != nil)
        #expect(slowReader.watched == [signal.id])
        #expect(try await slowReader.standing(of: signal.id)?.state == .published)
        #expect(behind.ready(account, signal.id) == false)
        _ = reader.confirm([:], askedAt: 0)
        #expect(entitlements.ready(account, signal.id) == nil)
    }

    /// A clock that was read before the other one.
    private final class Earlier: TimeSource {
        let clock: ManualTimeSource
        let isBehind = Mutex(false)
        init(clock: ManualTimeSource) { self.clock = clock }
        func now() -> Timestamp { clock.now() }
        func monotonicNanoseconds() -> UInt64 { 2_000_000_000 - (isBehind.withLock { $0 } ? 1 : 0) }
        func sleep(for duration: Duration) async throws { try await clock.sleep(for: duration) }
    }

    @Test("Bodies under many cursors do not add up")
    func boundedBodies() async throws {
        let store = InMemorySignalsStore()
        let reader = PredictionReader(store: store, time: ManualTimeSource())
        let (signal, version) = try await Fixtures.published(in: store)
        for _ in 0..<5 { _ = try await store.append(Fixtures.run(signal, version: version, rows: 3)) }
        for limit in 1...40 {
            var question = PredictionQuestion.usual
            question.limit = limit
            _ = try await reader.answer(question, about: signal.id)
        }
        let body = try #require(try await reader.answer(.usual, about: signal.id)).body.count
        #expect(reader.keptBytes > 0 && reader.keptBytes < body * 2 * PredictionReader.maximumBodiesPerSignal)
    }

    @Test("News that was forgotten is not missed")
    func forgottenNews() async throws {
        let hub = ChangeHub(time: ManualTimeSource())
        let mark = hub.mark
        let signal = SignalID.make()
        hub.announce(signal)
        for _ in 0...ChangeHub.maximumNews { hub.announce(.make()) }
        #expect(await hub.wait(for: [signal], since: mark, timeout: .seconds(30)))
    }

    @Test("A body is served as long as its revision is confirmed, and built anew when that rose")
    func reader() async throws {
        let store = InMemorySignalsStore()
        let clock = ManualTimeSource()
        let reader = PredictionReader(store: store, time: clock)
        let hub = ChangeHub(time: clock)
        let watch = RevisionWatch(store: store, reader: reader, hub: hub, time: clock, loop: TestLoop.shared)
        let (signal, version) = try await Fixtures.published(in: store)
        #expect(reader.ready(.usual, about: signal.id) == nil)
        #expect(try await reader.answer(.usual, about: signal.id)?.isEmpty == true)
        #expect(reader.ready(.usual, about: signal.id)?.answer.isEmpty == true)
        _ = try await store.append(Fixtures.run(signal, version: version))
        // Still within the time that the confirmation is good for.
        #expect(reader.ready(.usual, about: signal.id)?.answer.isEmpty == true)
        await watch.look()
        #expect(reader.ready(.usual, about: signal.id)?.answer.lastSeq == 1)
        clock.advance(by: .milliseconds(899))
        #expect(reader.ready(.usual, about: signal.id) != nil)
        clock.advance(by: .milliseconds(1))
        #expect(reader.ready(.usual, about: signal.id) == nil)
        await watch.look()
        #expect(reader.ready(.usual, about: signal.id) != nil)
        clock.advance(by: .seconds(61))
        #expect(reader.watched.isEmpty)
        #expect(try await reader.answer(.usual, about: .make()) == nil)
    }

    @Test("A round takes a part of very many changes and asks for the next at once; the ones that have waited longest come first")
    func manyChanges() async throws {
        let store = InMemorySignalsStore()
        let clock = ManualTimeSource()
        let reader = PredictionReader(store: store, time: clock)
        let watch = RevisionWatch(store: store, reader: reader, hub: ChangeHub(time: clock), time: clock, loop: TestLoop.shared)
        var signals: [(Signal, SignalVersion)] = []
        for _ in 0..<RevisionWatch.maximumSignalsPerRound + 10 { signals.append(try await Fixtures.published(in: store)) }
        for (signal, _) in signals { _ = try await reader.answer(.usual, about: signal.id) }
        func changeAll() async throws {
            for (signal, version) in signals { _ = try await store.append(Fixtures.run(signal, version: version)) }
        }
        func behind(_ seq: Int64) -> Set<SignalID> {
            Set(signals.map(\.0.id).filter { reader.ready(.usual, about: $0)?.answer.lastSeq != seq })
        }
        try await changeAll()
        clock.advance(by: .milliseconds(100))
        #expect(await watch.look())
        let left = behind(1)
        #expect(left.count == 10)
        try await changeAll()
        clock.advance(by: .milliseconds(100))
        #expect(await watch.look())
        #expect(behind(2).isDisjoint(with: left))
        #expect(await watch.look() == false)
        #expect(behind(2).isEmpty)
    }

    @Test("A service that stops sends everybody home at once")
    func closing() async throws {
        let hub = ChangeHub(time: SystemTimeSource())
        let signal = SignalID.make()
        let waiting = Task(on: TestLoop.shared) { await hub.wait(for: [signal], since: hub.mark, timeout: .seconds(60)) }
        try await eventually { hub.watched == [signal] }
        await WaitingReaders(hub: hub).stop()
        #expect(await waiting.value == false)
        #expect(await hub.wait(for: [signal], since: hub.mark, timeout: .seconds(60)) == false)
    }

    @Test("A few questions about a signal are kept, not all that anybody thinks of")
    func bounded() async throws {
        let store = InMemorySignalsStore()
        let reader = PredictionReader(store: store, time: ManualTimeSource())
        let (signal, _) = try await Fixtures.published(in: store)
        _ = try await reader.answer(.usual, about: signal.id)
        for limit in 1...100 { _ = try await reader.answer(PredictionQuestion(limit: limit), about: signal.id) }
        #expect(reader.ready(.usual, about: signal.id) != nil)
        let kept = (1...100).filter { reader.ready(PredictionQuestion(limit: $0), about: signal.id) != nil }
        #expect(kept.count <= PredictionReader.maximumBodiesPerSignal)
    }

    @Test("News that came between looking and waiting are not missed; a caller that goes leaves nothing behind")
    func hub() async throws {
        let hub = ChangeHub(time: SystemTimeSource())
        let (one, other) = (SignalID.make(), SignalID.make())
        let mark = hub.mark
        hub.announce(one)
        #expect(await hub.wait(for: [one], since: mark, timeout: .seconds(10)))
        #expect(await hub.wait(for: [other], since: mark, timeout: .milliseconds(1)) == false)
        #expect(await hub.wait(for: [], since: mark, timeout: .seconds(10)) == false)
        let waiting = Task(on: TestLoop.shared) { await hub.wait(for: [one, other], since: hub.mark, timeout: .seconds(60)) }
        try await eventually { hub.watched.count == 2 }
        waiting.cancel()
        #expect(await waiting.value == false)
        #expect(hub.watched.isEmpty)
    }
}
