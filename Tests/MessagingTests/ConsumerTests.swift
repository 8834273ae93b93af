import Contracts
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available)) struct ConsumerTests {
    @Test func aHandlerThatFailsGetsTheEventAgainAndItsFailedWorkIsUndone() async throws {
        try await withMessaging { fixture in
            let tally = Tally()
            let done = TestSignal<Int>()
            let consumer = try fixture.consumer { envelope, connection in
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), 'x', 1)")
                let attempt = tally.add("attempt")
                if attempt == 1 { return .retry(reason: "not yet") }
                if attempt == 2 { throw BrokerError(.timeout) }
                done.signal(attempt)
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                try await fixture.say("thing", 1)
                #expect(try await done.next() == 3)
                try await eventually("the effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
            }
        }
    }

    @Test func afterTheLastDelayAnEventIsDeadWithItsReasonAndANote() async throws {
        try await withMessaging { fixture in
            let tally = Tally()
            let consumer = try fixture.consumer { _, _ in
                tally.add("attempt")
                return .retry(reason: "the moon is wrong")
            }
            try await running([consumer, fixture.relay()]) {
                let id = try await fixture.say("thing", 1)
                let dead = try await theDead(of: fixture, count: 1)
                #expect(tally["attempt"] == 4)
                #expect(dead.first?.messageID == id.description && dead.first?.reason.contains("the moon is wrong") == true)
                #expect(dead.first?.attempts == 4 && dead.first?.type == ThingChanged.eventType)
                #expect(
                    try await fixture.count(
                        "SELECT count(*) FROM dead_letters WHERE message_id = \(id.description) AND queue = 'test.probe' AND attempts = 4"
                    ) == 1
                )
                #expect(try await fixture.count("SELECT count(*) FROM inbox") == 0)
            }
        }
    }

    @Test func whatDoesNotConcernTheHandlerLeavesNoTrace() async throws {
        try await withMessaging { fixture in
            let handled = TestSignal<Int>()
            let consumer = try fixture.consumer(isConcerned: { try $0.body(as: ThingChanged.self).value > 0 }) { envelope, _ in
                handled.signal(try envelope.body(as: ThingChanged.self).value)
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                try await fixture.say("thing", 0)
                try await fixture.say("thing", 7)
                #expect(try await handled.next() == 7)
                try await eventually("an empty queue") { try await fixture.broker.messages(in: MessagingFixture.queue) == 0 }
                try await eventually("one row") { try await fixture.count("SELECT count(*) FROM inbox") == 1 }
                #expect(handled.pendingCount == 0)
            }
        }
    }

    @Test func whatIsNoEventIsDeadAtOnceAndStopsNobody() async throws {
        try await withMessaging { fixture in
            let handled = TestSignal<String>()
            let consumer = try fixture.consumer { envelope, _ in
                let thing = try envelope.body(as: ThingChanged.self)
                handled.signal(thing.thing)
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                for payload in ["not json", #"{\"id\":1}"#, ""] {
                    try await fixture.broker.manage(
                        "POST",
                        "exchanges/\(fixture.broker.virtualHost)/auspex.events/publish",
                        body:
                            #"{"properties":{"message_id":"poison"},"routing_key":"test.thing.changed.v1","payload":"\#(payload)","payload_encoding":"string"}"#
                    )
                }
                // A good envelope around data that does not fit.
                let wrong = Envelope(
                    id: .make(),
                    type: ThingChanged.eventType,
                    subject: "s",
                    subjectVersion: 1,
                    occurredAt: .now(),
                    recordedAt: .now(),
                    producer: "test",
                    data: ["thing": 5]
                )
                try await fixture.publisher.publish(wrong)
                let old = Envelope(
                    id: EventID(uuid: UUIDv7.make(nanosecondsSince1970: 1_475_928_060_000_000_000, random: 1)),
                    type: ThingChanged.eventType,
                    subject: "s",
                    subjectVersion: 1,
                    occurredAt: .now(),
                    recordedAt: .now(),
                    producer: "test",
                    data: ["thing": "old", "value": 1]
                )
                try await fixture.publisher.publish(old)
                // Said by one service in the name of another.
                let forged = Envelope(
                    id: .make(),
                    type: ThingChanged.eventType,
                    subject: "s",
                    subjectVersion: 1,
                    occurredAt: .now(),
                    recordedAt: .now(),
                    producer: "other",
                    data: ["thing": "forged", "value": 1]
                )
                try await fixture.publisher.publish(forged)
                try await fixture.say("good", 1)
                #expect(try await handled.next() == "good")
                let dead = try await theDead(of: fixture, count: 6)
                #expect(dead.contains { $0.messageID == forged.id.description && $0.reason.contains("other cannot say") })
                #expect(dead.filter { $0.reason.hasPrefix("not an event") }.count == 4)
                #expect(dead.contains { $0.messageID == wrong.id.description && $0.reason.contains("thing: expected a string") })
                #expect(dead.contains { $0.messageID == old.id.description && $0.reason.contains("longer ago than the inbox remembers") })
            }
        }
    }

    @Test func aDependencyThatIsAwaySpendsNoAttempt() async throws {
        try await withMessaging { fixture in
            let isBack = Atomic<Bool>(false)
            let probes = TestSignal<Void>()
            let tally = Tally()
            let consumer = try fixture.consumer(
                prefetch: 4,
                isBack: {
                    probes.signal()
                    return isBack.load(ordering: .acquiring)
                }
            ) { envelope, connection in
                guard isBack.load(ordering: .acquiring) else {
                    tally.add("refused")
                    return .dependencyAway(reason: "the store is away")
                }
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), 'x', 1)")
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                for value in 0..<12 { try await fixture.say("thing", value) }
                for _ in 0..<4 { try await probes.next() }
                let refused = tally["refused"]
                try await eventually("all messages back in the queue") {
                    try await fixture.broker.messages(in: MessagingFixture.queue) == 12
                }
                #expect(tally["refused"] == refused, "nothing is handled while the dependency is away")
                isBack.store(true, ordering: .releasing)
                try await eventually("all effects") { try await fixture.count("SELECT count(*) FROM effects") == 12 }
                #expect(try await theDead(of: fixture, count: 0).isEmpty)
            }
        }
    }

    @Test func eventsDoubledAndInAnyOrderGiveTheSameReadModel() async throws {
        try await withMessaging { fixture in
            let consumer = try fixture.consumer { envelope, connection in
                let thing = try envelope.body(as: ThingChanged.self)
                try await connection.execute(
                    """
                    INSERT INTO things (thing, version, value) VALUES (\(thing.thing), \(envelope.subjectVersion), \(thing.value))
                    ON CONFLICT (thing) DO UPDATE SET version = excluded.version, value = excluded.value
                    WHERE things.version < excluded.version
                    """
                )
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), 'x', 1)")
                return .done
            }
            try await running([consumer]) {
                await fixture.publisher.connected()
                let envelopes = try (1...30).map { version in
                    try Envelope(
                        ThingChanged(thing: "t\(version % 3)", value: version),
                        subjectVersion: Int64(version),
                        occurredAt: .now(),
                        recordedAt: .now()
                    )
                }
                // The queue is bound once the consumer is connected.
                try await eventually("the queue") { (try? await fixture.publisher.publish(envelopes[0])) != nil }
                for envelope in (envelopes + envelopes).shuffled() { try await fixture.publisher.publish(envelope) }
                try await eventually("all effects") { try await fixture.count("SELECT count(*) FROM effects") >= 30 }
                try await eventually("an empty queue") { try await fixture.broker.messages(in: MessagingFixture.queue) == 0 }
                #expect(try await fixture.count("SELECT count(*) FROM effects") == 30)
                #expect(try await fixture.count("SELECT sum(version)::int8 FROM things WHERE version = value") == 28 + 29 + 30)
            }
        }
    }

    @Test func aDatabaseThatIsAwayPausesConsumingByItself() async throws {
        try await withMessaging { fixture in
            let isAway = Atomic<Bool>(true)
            let tally = Tally()
            let consumer = try fixture.consumer { envelope, connection in
                if isAway.load(ordering: .acquiring) {
                    tally.add("away")
                    throw PostgresError(.connectionLost)
                }
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), 'x', 1)")
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                try await fixture.say("thing", 1)
                // More often than the ladder has rungs.
                try await eventually("many tries") { tally["away"] >= 6 }
                isAway.store(false, ordering: .releasing)
                try await eventually("the effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
                #expect(try await fixture.count("SELECT count(*) FROM dead_letters") == 0)
            }
        }
    }

    @Test func aStopFinishesWhatIsInHandAndLeavesTheRestToOthers() async throws {
        try await withMessaging { fixture in
            let entered = TestSignal<Void>()
            let leave = TestSignal<Void>()
            let slow = try fixture.consumer(prefetch: 50) { envelope, connection in
                entered.signal()
                try await leave.next()
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), 'slow', 1)")
                return .done
            }
            try await running([fixture.relay()]) {
                try await slow.start()
                for value in 0..<10 { try await fixture.say("thing", value) }
                for _ in 0..<4 { try await entered.next() }
                async let stopped: Void = slow.stop()
                for _ in 0..<4 { leave.signal() }
                await stopped
                #expect(try await fixture.count("SELECT count(*) FROM effects WHERE thing = 'slow'") == 4)
                try await running([try fixture.recordingConsumer()]) {
                    try await eventually("the rest") { try await fixture.count("SELECT count(*) FROM effects") == 10 }
                }
                #expect(try await fixture.count("SELECT count(DISTINCT event_id) FROM effects") == 10)
            }
        }
    }

    @Test func deadMessagesAreListedReplayedAndDropped() async throws {
        try await withMessaging { fixture in
            let works = Atomic<Bool>(false)
            let consumer = try fixture.consumer { envelope, connection in
                guard works.load(ordering: .acquiring) else { return .deadLetter(reason: "no") }
                try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), 'x', 1)")
                return .done
            }
            let operatorsView = try DeadQueues(brokerURL: fixture.broker.url, service: "test", consumers: ["probe", "unheard"])
            try await running([consumer, fixture.relay()]) {
                var ids: [String] = []
                for value in 0..<3 { ids.append(try await fixture.say("thing", value).description) }
                let dead = try await theDead(of: fixture, count: 3)
                #expect(Set(dead.map(\.messageID)) == Set(ids))
                // Who has looked at them gives them back by closing, and the broker counts them again some moments later.
                func areBack(_ count: Int) async throws {
                    try await eventually("\(count) dead, given back") {
                        try await operatorsView.list() == [DeadQueueSummary(queue: "test.probe", count: count)]
                    }
                }
                try await areBack(3)
                #expect(try await operatorsView.drop(consumer: "probe", messageIDs: [ids[0]]) == 1)
                try await areBack(2)
                works.store(true, ordering: .releasing)
                #expect(try await operatorsView.replay(consumer: "probe") == 2)
                try await eventually("the replayed effects") { try await fixture.count("SELECT count(*) FROM effects") == 2 }
                #expect(try await operatorsView.list() == [DeadQueueSummary(queue: "test.probe", count: 0)])
            }
            await operatorsView.close()
        }
    }

    /// What the dead queue holds once it holds so many.
    private func theDead(of fixture: MessagingFixture, count: Int) async throws -> [DeadMessage] {
        let queues = try DeadQueues(brokerURL: fixture.broker.url, service: "test", consumers: ["probe"])
        do {
            try await eventually("\(count) dead") { try await queues.list().first?.count == count }
            let dead = try await queues.show(consumer: "probe")
            await queues.close()
            return dead
        } catch {
            await queues.close()
            throw error
        }
    }
}
