import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

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
}
