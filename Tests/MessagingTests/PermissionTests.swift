import Contracts
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Messaging

/// The users that the entry script makes are enough for everything, and for nothing more.
@Suite(.enabled(if: TestServers.available)) struct PermissionTests {
    private func withUser<Outcome>(
        _ broker: TestBroker,
        configure: String,
        write: String,
        read: String,
        topicWrite: String,
        _ body: (String) async throws -> Outcome
    ) async throws -> Outcome {
        let name = "user-" + EventID.make().description
        try await broker.manage("PUT", "users/\(name)", body: #"{"password":"p","tags":""}"#)
        try await broker.manage(
            "PUT",
            "permissions/\(broker.virtualHost)/\(name)",
            body: #"{"configure":"\#(configure)","write":"\#(write)","read":"\#(read)"}"#
        )
        try await broker.manage(
            "PUT",
            "topic-permissions/\(broker.virtualHost)/\(name)",
            body: #"{"exchange":"auspex.events","write":"\#(topicWrite)","read":".*"}"#
        )
        let url = broker.url.replacing(#/amqp://[^@]*@/#, with: "amqp://\(name):p@")
        do {
            let outcome = try await body(url)
            try await broker.manage("DELETE", "users/\(name)")
            return outcome
        } catch {
            _ = try? await broker.manage("DELETE", "users/\(name)")
            throw error
        }
    }

    @Test func aServiceSpeaksForItselfAndHearsOthers() async throws {
        try await withMessaging { fixture in
            try await withUser(
                fixture.broker,
                configure: #"^test\\."#,
                write: #"^(test\\.|auspex\\.events$)"#,
                read: #"^(test\\.|auspex\\.events$)"#,
                topicWrite: #"^test\\."#
            ) { url in
                await fixture.publisher.connected()
                let publisher = try BrokerPublisher(brokerURL: url, service: "test")
                let tally = Tally()
                let consumer = try EventConsumer(
                    service: "test",
                    handler: ProbeHandler { _, _ in tally.add("attempt") == 1 ? .retry(reason: "once more") : .done },
                    pool: fixture.pool,
                    brokerURL: url,
                    loop: fixture.loop,
                    options: ConsumerOptions(ladder: MessagingFixture.quickLadder)
                )
                let relay = OutboxRelay(pool: fixture.pool, publisher: publisher, schema: "test", loop: fixture.loop)
                try await running([publisher, consumer, relay]) {
                    try await fixture.say("thing", 1)
                    try await eventually("both attempts") { tally["attempt"] == 2 }
                    let forged = Envelope(
                        id: .make(),
                        type: "auth.key.changed.v1",
                        subject: "k",
                        subjectVersion: 1,
                        occurredAt: .now(),
                        recordedAt: .now(),
                        producer: "auth",
                        data: [:]
                    )
                    await #expect(throws: BrokerError.self) { try await publisher.publish(forged) }
                }
                // It may take its own bindings away again.
                let link = try ConsumerLink(
                    ConsumerLink.Configuration(
                        url: try BrokerURL(url),
                        service: "test",
                        queue: MessagingFixture.queue,
                        eventTypes: [ThingChanged.eventType],
                        ladder: MessagingFixture.quickLadder,
                        prefetch: 1,
                        retirement: QueueRetirement(patience: .zero)
                    ),
                    readiness: nil
                ) { _ in }
                await link.start()
                let event = try Envelope(ThingChanged(thing: "late", value: 1), subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
                try await eventually("no queue wants it") {
                    do {
                        try await fixture.publisher.publish(event)
                        return false
                    } catch let error as BrokerError where error.code == .unroutable {
                        return true
                    }
                }
                await link.stop()
            }
        }
    }

    @Test func anExecutorHearsHintsAndMayDoNothingElse() async throws {
        try await withLoop { loop in
            try await withVirtualHost { broker in
                try await withUser(broker, configure: "^$", write: "^$", read: #"^jobs\\."#, topicWrite: "^$") { url in
                    let executor = try Wakeups(brokerURL: url, service: "executor", loop: loop)
                    let scheduler = try Wakeups(brokerURL: broker.url, service: "scheduler", loop: loop)
                    try await running([executor, scheduler]) {
                        scheduler.hint(.small)
                        #expect(await executor.next(of: [.small], within: .seconds(60)) == .small)
                        // It cannot tell, and does not break by trying.
                        executor.hint(.small)
                        #expect(await executor.next(of: [.small], within: .milliseconds(200)) == nil)
                    }
                    let publisher = try BrokerPublisher(brokerURL: url, service: "executor")
                    let event = try Envelope(ThingChanged(thing: "x", value: 1), subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
                    try await running([publisher]) {
                        await #expect(throws: BrokerError.self) { try await publisher.publish(event) }
                    }
                }
            }
        }
    }

    /// Each look-up that finds nothing closes the channel and ends what is consumed on it: who begins to wait all the time must not look each time.
    @Test func aQueueThatIsNotThereIsLookedForOnceASecond() async throws {
        try await withLoop { loop in
            try await withVirtualHost { broker in
                try await withUser(broker, configure: "^$", write: "^$", read: #"^jobs\\."#, topicWrite: "^$") { url in
                    let time = ManualTimeSource()
                    let scheduler = try Wakeups(brokerURL: broker.url, service: "scheduler", loop: loop)
                    let executor = try WakeupLink(url: try BrokerURL(url), name: "executor/wakeups", readiness: nil, time: time)
                    try await running([scheduler]) {
                        // Heard once, so it is there; then the executor hears of it, so it is connected.
                        scheduler.hint(.signal)
                        #expect(await scheduler.next(of: [.signal], within: .seconds(60)) == .signal)
                        await executor.start()
                        let first = await executor.beginWaiting(for: [.signal])
                        scheduler.hint(.signal)
                        #expect(await executor.wait(first) == .signal)

                        let second = await executor.beginWaiting(for: [.signal, .small])
                        #expect(await executor.consumed == [.signal])
                        // Now it is there, but the executor has looked a moment ago, by a clock that stands still.
                        scheduler.hint(.small)
                        #expect(await scheduler.next(of: [.small], within: .seconds(60)) == .small)
                        let third = await executor.beginWaiting(for: [.signal, .small])
                        #expect(await executor.consumed == [.signal])
                        time.advance(by: WakeupLink.lookPause)
                        let fourth = await executor.beginWaiting(for: [.signal, .small])
                        #expect(await executor.consumed == [.signal, .small])
                        for waiter in [second, third, fourth] { await executor.giveUp(waiter) }
                    }
                    await executor.stop()
                }
            }
        }
    }
}
