import Contracts
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// Marketdata hears at once of what is waited for, and only then does a close owe an outcome.
struct WatchAnnouncerTests {
    private struct Away: Error {}

    private func arm(_ store: any SchedulerStore, _ instrument: String) async throws -> SignalPublished {
        let event = Fixture.publication(.barClose(instrument: instrument, interval: "15s"))
        _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
        return event
    }

    @Test func whatIsArmedIsAnnouncedWithoutAWait() async throws {
        let store = InMemorySchedulerStore()
        let time = ManualTimeSource()
        let announced = TestSignal<[WatchedBar]>()
        let announcer = WatchAnnouncer(store: store, time: time, loop: TestLoop.shared) { announced.signal($0) }
        try await announcer.start()
        let first = try await announced.next()
        // The clock stands still, so the pause between two looks never ends by itself.
        _ = try await arm(store, "BTCUSD")
        announcer.poke()
        let second = try await announced.next()
        await announcer.stop()
        #expect(first.isEmpty && second.map(\.instrument) == ["BTCUSD"])
    }

    @Test func theEraOfBarsBeginsWhenMarketdataHasHeard() async throws {
        let store = InMemorySchedulerStore(clock: { Fixture.start + .seconds(30) })
        let isAway = Mutex(true)
        let announcer = WatchAnnouncer(store: store, time: ManualTimeSource(), loop: TestLoop.shared) { _ in
            if isAway.withLock({ $0 }) { throw Away() }
        }
        _ = try await arm(store, "BTCUSD")
        await #expect(throws: Away.self) { try await announcer.look() }
        #expect(store.eras.isEmpty)
        isAway.withLock { $0 = false }
        try await announcer.look()
        try await announcer.look()
        #expect(store.eras.map(\.from) == [Fixture.start + .seconds(30)])
        // Another that waits for the same bars: marketdata knows already.
        _ = try await arm(store, "BTCUSD")
        try await announcer.look()
        #expect(store.eras.count == 2)
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func anEraBeginsOnceAndEndsWithItsVersion() async throws {
        try await withPostgresStore { store, _ in
            let event = try await arm(store, "BTCUSD")
            _ = try await arm(store, "ETHUSD")
            let watches = [WatchedBar(instrument: "BTCUSD", intervalSeconds: 15)]
            let before = Timestamp.now() - .seconds(1)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try await store.beginBarEras(of: watches) } }
                try await group.waitForAll()
            }
            let lasting = try await store.pool.query("SELECT schedule_id, from_at, cadence ->> 'instrument' FROM schedule_eras WHERE to_at IS NULL")
            #expect(lasting.count == 1)
            let (_, from, instrument) = try #require(lasting.first).decode(ScheduleID.self, Timestamp.self, String.self)
            #expect(from > before && instrument == "BTCUSD")
            let end = SignalUnpublished(signalID: event.signalID, accountID: event.accountID, reason: "test")
            let now = Timestamp.now() + .seconds(1)
            _ = try await store.transaction { try await ScheduleKeeper.unpublish(end, subjectVersion: 2, at: now, now: now, in: $0) }
            let open = try await store.pool.query("SELECT schedule_id FROM schedule_eras WHERE to_at IS NULL")
            #expect(open.isEmpty)
        }
    }
}
