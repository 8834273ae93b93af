import Contracts
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// Events through a real broker: from what signals and marketdata say to what the scheduler says back.
@Suite(.enabled(if: TestServers.hasPostgres && TestServers.hasBroker))
struct EventTests {
    @Test func fromAPublishedSignalToARecordedRun() async throws {
        try await withPostgresStore { store, _ in
            try await withVirtualHost { broker in
                let time = SystemTimeSource()
                let loop = TestLoop.shared
                let outbox = store.outbox
                let hinted = TestSignal<ResourceClass>()
                let publisher = try BrokerPublisher(brokerURL: broker.url, service: "scheduler")
                let relay = OutboxRelay(pool: store.pool, publisher: publisher, schema: Migrations.schema, loop: loop)
                let heard = TestSignal<Envelope>()
                let listener = try EventBroadcast(
                    service: "signals",
                    listener: "test",
                    eventTypes: [JobCompleted.eventType, OccurrenceSettled.eventType],
                    brokerURL: broker.url,
                    loop: loop,
                    onSubscribed: {},
                    onEvent: { heard.signal($0) }
                )
                let components: [any Component] = [
                    publisher, relay, listener,
                    try EventConsumer(
                        service: "scheduler",
                        handler: SignalHandler(outbox: outbox, time: time),
                        pool: store.pool,
                        brokerURL: broker.url,
                        loop: loop
                    ),
                    try EventConsumer(
                        service: "scheduler",
                        handler: BarsClosedHandler(outbox: outbox, time: time, hint: { hinted.signal($0) }),
                        pool: store.pool,
                        brokerURL: broker.url,
                        loop: loop
                    ),
                    try EventConsumer(service: "scheduler", handler: RunHandler(outbox: outbox), pool: store.pool, brokerURL: broker.url, loop: loop),
                ]
                for component in components { try await component.start() }
                try await eventually("the listener hears") { listener.isSubscribed }

                let event = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "15s"), at: .now() - .seconds(60))
                try await say(event, version: 1, publisher, times: 2)
                let schedule = try await eventuallyValue("the schedule") { try await store.schedule(of: event.signalID) }
                #expect(schedule.state == .active)

                // The close of a bar, told twice, is one run.
                let now = Timestamp.now()
                let closed = BarsClosed(
                    intervalSeconds: 15,
                    closeAt: now,
                    knownAt: now,
                    bars: [
                        ClosedBar(
                            instrumentID: .make(),
                            symbol: "BTCUSD",
                            feed: .live,
                            revision: 1,
                            bar: .init(
                                start: now - .seconds(15),
                                end: now,
                                open: try price("1"),
                                high: try price("2"),
                                low: try price("1"),
                                close: try price("2"),
                                volume: nil
                            )
                        )
                    ]
                )
                try await say(closed, version: 1, publisher, times: 2)
                _ = try await hinted.next()
                let job = try #require(try await store.claim(Fixture.claim(5, class: .signal)).first)
                _ = try await store.finish([try Fixture.finished(job, result: ["rows": []])])
                var types: [String] = []
                for _ in 0..<2 { types.append(try await heard.next().type) }
                #expect(Set(types) == [OccurrenceSettled.eventType, JobCompleted.eventType])

                let recorded = RunRecorded(
                    jobID: job.id,
                    signalID: event.signalID,
                    occurrenceID: job.occurrenceID,
                    firstSeq: 1,
                    lastSeq: 1,
                    rows: 1,
                    late: false,
                    recordedAt: .now()
                )
                try await say(recorded, version: 1, publisher, times: 2)
                try await eventually("the run is recorded") {
                    try await store.occurrences(of: schedule.id, before: nil, limit: 5).first?.recordedAt != nil
                }
                let all = try await store.occurrences(of: schedule.id, before: nil, limit: 5)
                // Late, where the machine stood still between the close and its run.
                #expect(all.count == 1 && [.fired, .late].contains(all[0].outcome))
                for component in components.reversed() { await component.stop() }
            }
        }
    }

    private func price(_ text: String) throws -> Price { try #require(Price(text)) }

    /// Says an event as its producer would; each delivery is a copy with the same id.
    private func say<Body: EventBody>(_ body: Body, version: Int64, _ publisher: BrokerPublisher, times: Int) async throws {
        let envelope = try Envelope(body, subjectVersion: version, occurredAt: .now(), recordedAt: .now())
        for _ in 0..<times {
            try await eventually("the event is routed") { (try? await publisher.publish(envelope)) != nil }
        }
    }
}
