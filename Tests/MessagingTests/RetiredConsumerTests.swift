import Contracts
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Messaging

@Suite(.enabled(if: TestServers.available)) struct RetiredConsumerTests {
    /// The consumer of the fixture in the version that is to lose its queue.
    private struct RetiredHandler: EventHandler {
        static let consumerName = ProbeHandler.consumerName
        static let eventTypes = ProbeHandler.eventTypes
        static let isRetired = true
        let body: @Sendable (Envelope, PostgresConnection) async throws -> HandlerOutcome

        func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome { try await body(envelope, connection) }
    }

    private func retired(
        _ fixture: MessagingFixture,
        patience: Duration,
        _ handled: TestSignal<Int>,
        readiness: Readiness? = nil
    ) throws -> EventConsumer {
        let attempts = Tally()
        return try EventConsumer(
            service: MessagingFixture.service,
            handler: RetiredHandler { envelope, connection in
                let thing = try envelope.body(as: ThingChanged.self)
                if thing.thing == "hard", attempts.add("hard") == 1 { return .retry(reason: "once more") }
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), \(thing.thing), \(thing.value))")
                handled.signal(thing.value)
                return .done
            },
            pool: fixture.pool,
            brokerURL: fixture.broker.url,
            loop: fixture.loop,
            options: ConsumerOptions(ladder: MessagingFixture.quickLadder, retirementPatience: patience),
            readiness: readiness
        )
    }

    /// Whether events are led to the queue.
    private func isBound(_ fixture: MessagingFixture) async throws -> Bool {
        let bindings = try await fixture.broker.manage("GET", "exchanges/\(fixture.broker.virtualHost)/auspex.events/bindings/source")
        return try WireJSON.parse(bindings).array?.contains { $0["destination"] == .string(MessagingFixture.queue) } ?? false
    }

    private func publish(_ thing: String, _ value: Int, _ fixture: MessagingFixture) async throws {
        let event = ThingChanged(thing: thing, value: value)
        try await fixture.publisher.publish(try Envelope(event, subjectVersion: 1, occurredAt: .now(), recordedAt: .now()))
    }

    @Test func whatIsInTheQueueIsHandledAndNothingNewComes() async throws {
        try await withMessaging { fixture in
            await fixture.publisher.connected()
            // The version before, which binds the queue and leaves something in it.
            try await running([try fixture.recordingConsumer()]) { try await eventually("a binding") { try await isBound(fixture) } }
            try await publish("easy", 1, fixture)
            try await publish("hard", 2, fixture)
            let handled = TestSignal<Int>()
            try await running([try retired(fixture, patience: .zero, handled)]) {
                #expect(Set([try await handled.next(), try await handled.next()]) == [1, 2])
                try await eventually("no binding") { try await !isBound(fixture) }
                do {
                    try await publish("new", 3, fixture)
                    Issue.record("a queue wanted it")
                } catch let error as BrokerError {
                    #expect(error.code == .unroutable)
                }
                // What somebody puts back is handled at some later look.
                let message = OutgoingMessage(
                    exchange: Topology.queuesExchange(of: MessagingFixture.service),
                    routingKey: MessagingFixture.queue,
                    message: WireMessage(
                        body: try Envelope(ThingChanged(thing: "back", value: 4), subjectVersion: 1, occurredAt: .now(), recordedAt: .now()).encoded()
                    )
                )
                #expect(await fixture.publisher.publish([message])[0].error == nil)
                #expect(try await handled.next() == 4)
            }
            #expect(try await fixture.count("SELECT count(*) FROM effects") == 3)
            #expect(handled.pendingCount == 0)
        }
    }

    @Test func theQueueStaysBoundWhileAReplicaOfTheVersionBeforeIsThere() async throws {
        try await withMessaging { fixture in
            await fixture.publisher.connected()
            let handled = TestSignal<Int>()
            let before = TestSignal<Int>()
            func old() throws -> EventConsumer {
                try fixture.consumer { envelope, _ in
                    before.signal(try envelope.body(as: ThingChanged.self).value)
                    return .done
                }
            }
            let new = try retired(fixture, patience: .zero, handled)
            try await running([try old()]) {
                try await running([new]) {
                    // Both are there, in the order of an upgrade.
                    for value in 0..<20 {
                        try await publish("both", value, fixture)
                        #expect(try await before.next() == value)
                    }
                }
            }
            let alone = try retired(fixture, patience: .zero, handled)
            try await running([alone]) {
                try await eventually("no binding") { try await !isBound(fixture) }
                // One that is started again binds the queue, hears, and is given time to go.
                try await running([try old()]) {
                    try await eventually("a binding") { try await isBound(fixture) }
                    for value in 0..<20 {
                        try await publish("again", value, fixture)
                        #expect(try await before.next() == value)
                    }
                }
                #expect(handled.pendingCount == 0)
                // It may have come and gone between two looks: then what comes in tells of it.
                try await eventually(every: .milliseconds(50), "no binding again") {
                    try? await publish("after", 20, fixture)
                    return try await !isBound(fixture)
                }
            }
        }
    }

    @Test func replicasOfTheNewVersionAreNotTakenForOlderOnes() async throws {
        try await withMessaging { fixture in
            await fixture.publisher.connected()
            try await running([try fixture.recordingConsumer()]) { try await eventually("a binding") { try await isBound(fixture) } }
            let handled = TestSignal<Int>()
            let connection = try WireConnection(to: try BrokerURL(fixture.broker.url), name: "test")
            defer { connection.close() }
            try connection.openChannel(1)
            let first = try retired(fixture, patience: .seconds(5), handled)
            let other = try retired(fixture, patience: .seconds(5), handled)
            var published = 0
            try await running([first]) {
                try await running([other]) {
                    try await eventually(every: .milliseconds(10), "nobody wants it") {
                        do {
                            try await publish("steady", published, fixture)
                            published += 1
                        } catch let error as BrokerError where error.code == .unroutable {
                            return true
                        }
                        #expect(try connection.declareQueue(1, MessagingFixture.queue, passive: true).consumers <= 1)
                        return false
                    }
                    var values: Set<Int> = []
                    while values.count < published { values.insert(try await handled.next()) }
                }
            }
            // Whoever is left takes the duty over.
            let third = try retired(fixture, patience: .zero, handled)
            try await running([try retired(fixture, patience: .zero, handled)]) {
                try await running([third]) {}
                let back = try Envelope(ThingChanged(thing: "back", value: -1), subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
                let message = OutgoingMessage(
                    exchange: Topology.queuesExchange(of: MessagingFixture.service),
                    routingKey: MessagingFixture.queue,
                    message: WireMessage(body: try back.encoded())
                )
                #expect(await fixture.publisher.publish([message])[0].error == nil)
                #expect(try await handled.next() == -1)
            }
        }
    }

    /// Two replicas of the new version would each take the other for an older one: one has the duty, and the others touch nothing until it is gone.
    @Test func whoHasNotTheDutyLeavesTheQueueAlone() async throws {
        try await withMessaging { fixture in
            await fixture.publisher.connected()
            try await running([try fixture.recordingConsumer()]) { try await eventually("a binding") { try await isBound(fixture) } }
            try await publish("left", 7, fixture)
            let holder = try WireConnection(to: try BrokerURL(fixture.broker.url), name: "test")
            try holder.openChannel(1)
            try holder.declareQueue(1, Topology.dutyQueue(of: MessagingFixture.queue), durable: false, exclusive: true)
            let (handled, readiness) = (TestSignal<Int>(), Readiness())
            try await running([try retired(fixture, patience: .zero, handled, readiness: readiness)]) {
                try await eventually("a connection, on which it has asked for the duty") { readiness.report().ready }
                let standing = try holder.declareQueue(1, MessagingFixture.queue, passive: true)
                #expect(standing.messages == 1 && standing.consumers == 0)
                #expect(try await isBound(fixture))
                holder.close()
                #expect(try await handled.next() == 7)
                try await eventually("no binding") { try await !isBound(fixture) }
            }
        }
    }

    @Test func whatAnotherReplicaMayYetSayIsWaitedFor() {
        var retirement = QueueRetirement(patience: .seconds(10))
        func second(_ seconds: Double) -> UInt64 { UInt64(seconds * 1e9) + 1_000 }
        // An older one is there, then nobody: whatever comes in is handled, and the bindings stay for a while.
        #expect(retirement.look(messages: 5, others: 1, now: second(0)) == .init())
        #expect(retirement.look(messages: 5, others: 0, now: second(1)) == .init(consumes: true))
        #expect(retirement.look(messages: 0, others: 0, now: second(10)) == .init())
        #expect(retirement.look(messages: 0, others: 1, now: second(10.5)) == .init())
        #expect(retirement.look(messages: 0, others: 0, now: second(11)) == .init())
        #expect(retirement.look(messages: 1, others: 0, now: second(20)) == .init(consumes: true))
        #expect(retirement.look(messages: 1, others: 0, now: second(21)) == .init(unbinds: true, consumes: true))
        // Once is enough, until something comes in all the same.
        #expect(retirement.look(messages: 0, others: 0, now: second(40)) == .init())
        #expect(retirement.look(messages: 2, others: 0, now: second(50)) == .init(consumes: true))
        #expect(retirement.look(messages: 0, others: 0, now: second(59)) == .init())
        #expect(retirement.look(messages: 0, others: 0, now: second(60)) == .init(unbinds: true))
        #expect(retirement.nextLook == second(61.25))
        // Another one has the duty for a while: what it saw is not known here.
        retirement.leave(now: second(61))
        #expect(retirement.nextLook == second(62.25))
        #expect(retirement.look(messages: 0, others: 0, now: second(72)) == .init())
        #expect(retirement.look(messages: 0, others: 0, now: second(82)) == .init(unbinds: true))
        retirement.hurry()
        #expect(retirement.nextLook == 0)
    }
}
