import Contracts
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available)) struct OutboxTests {
    @Test func anEventIsSaidIfAndOnlyIfItsTransactionCommits() async throws {
        try await withMessaging { fixture in
            let consumer = try fixture.recordingConsumer()
            let relay = fixture.relay()
            try await running([consumer, relay]) {
                struct Undo: Error {}
                try await #require(throws: Undo.self) {
                    try await fixture.outbox.transaction(on: fixture.pool) { connection in
                        try await fixture.outbox.append(ThingChanged(thing: "undone", value: 0), subjectVersion: 1, on: connection)
                        throw Undo()
                    }
                }
                let id = try await fixture.say("kept", 7)
                try await eventually("the effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
                #expect(try await fixture.count("SELECT count(*) FROM effects WHERE event_id = \(id) AND thing = 'kept' AND value = 7") == 1)
                try await eventually("the mark") { try await fixture.count("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL") == 1 }
                #expect(try await fixture.count("SELECT count(*) FROM inbox WHERE consumer = 'probe' AND event_id = \(id)") == 1)
            }
        }
    }

    @Test func anEventThatIsTooLargeUndoesItsTransaction() async throws {
        try await withMessaging { fixture in
            await #expect(throws: EnvelopeError.self) { try await fixture.say(String(repeating: "x", count: 66_000), 1) }
            let rows = try await fixture.count("SELECT count(*) FROM outbox")
            #expect(rows == 0)
        }
    }

    @Test func whatNoQueueWantsStaysWithItsReasonAndIsSaidLater() async throws {
        try await withMessaging { fixture in
            let relay = fixture.relay()
            try await running([relay]) {
                try await fixture.say("early", 1)
                try await eventually("the error") {
                    try await fixture.count("SELECT count(*) FROM outbox WHERE sent_at IS NULL AND attempts >= 1 AND last_error LIKE '%NO_ROUTE%'")
                        == 1
                }
                let consumer = try fixture.recordingConsumer()
                try await running([consumer]) {
                    try await eventually("the effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
                }
            }
        }
    }

    @Test func aLostMarkRepublishesAndTheEffectStaysSingle() async throws {
        try await withMessaging { fixture in
            let consumer = try fixture.recordingConsumer()
            let relay = fixture.relay(sweepInterval: .milliseconds(20))
            try await running([consumer, relay]) {
                for value in 0..<20 { try await fixture.say("thing", value) }
                try await eventually("all marks") { try await fixture.count("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL") == 20 }
                // As after a crash between the broker's confirm and the mark.
                try await fixture.pool.execute("UPDATE outbox SET sent_at = NULL")
                try await eventually("all marks again") { try await fixture.count("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL") == 20 }
                let last = try await fixture.say("last", 1)
                try await eventually("the last effect") { try await fixture.count("SELECT count(*) FROM effects WHERE event_id = \(last)") == 1 }
                try await eventually("an empty queue") { try await fixture.broker.messages(in: MessagingFixture.queue) == 0 }
                #expect(try await fixture.count("SELECT count(*) FROM effects") == 21)
            }
        }
    }

    @Test func connectionsThatAreKilledLoseNothingAndDoubleNothing() async throws {
        try await withMessaging { fixture in
            let consumer = try fixture.recordingConsumer()
            let relay = fixture.relay()
            try await running([consumer, relay]) {
                for round in 0..<4 {
                    for value in 0..<100 { try await fixture.say("thing \(round)", value) }
                    try await fixture.killConnections(atLeast: 2)
                }
                try await eventually(timeout: .seconds(60), "all effects") { try await fixture.count("SELECT count(*) FROM effects") >= 400 }
                try await eventually(timeout: .seconds(60), "all marks") {
                    try await fixture.count("SELECT count(*) FROM outbox WHERE sent_at IS NULL") == 0
                }
                #expect(try await fixture.count("SELECT count(DISTINCT event_id) FROM effects") == 400)
                #expect(try await fixture.count("SELECT count(*) FROM effects") == 400)
            }
        }
    }

    @Test func oneRelayWorksAndAnotherTakesOverWhenItEnds() async throws {
        try await withMessaging { fixture in
            let consumer = try fixture.recordingConsumer()
            let first = fixture.relay()
            let second = fixture.relay()
            try await running([consumer, first]) {
                try await fixture.say("one", 1)
                try await eventually("the first effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
                try await running([second]) {
                    try await fixture.say("two", 2)
                    try await eventually("the second effect") { try await fixture.count("SELECT count(*) FROM effects") == 2 }
                    #expect(
                        try await fixture.count(
                            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                        ) == 1
                    )
                    await first.stop()
                    try await fixture.say("three", 3)
                    try await eventually("the third effect") { try await fixture.count("SELECT count(*) FROM effects") == 3 }
                }
            }
        }
    }

    @Test func whatMustBeHeardWaitsForAListenerAndNewsDoesNot() async throws {
        try await withMessaging { fixture in
            let relay = fixture.relay()
            try await running([relay]) {
                let kept = try await fixture.say("thing", 1)
                let news = try await fixture.outbox.transaction(on: fixture.pool) {
                    try await fixture.outbox.append(
                        BarsRevised(instrumentID: .make(), symbol: "BTCUSD", day: CivilDate(of: .now()), revision: 2),
                        subjectVersion: 2,
                        on: $0
                    )
                }
                try await eventually("the news is sent") {
                    try await fixture.count("SELECT count(*) FROM outbox WHERE id = \(news) AND sent_at IS NOT NULL") == 1
                }
                try await eventually("the other came back") {
                    try await fixture.count("SELECT count(*) FROM outbox WHERE id = \(kept) AND sent_at IS NULL AND attempts > 0") == 1
                }
            }
        }
    }

    @Test func aNotificationFromAnotherReplicaWakesTheRelay() async throws {
        try await withMessaging { fixture in
            let consumer = try fixture.recordingConsumer()
            // So long a sweep that only a wake-up can explain an effect.
            let relay = fixture.relay(sweepInterval: .seconds(600))
            try await running([consumer, relay]) {
                try await fixture.say("warm", 0)
                try await eventually("the first effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
                // Another process: a row without a poke in this one.
                try await fixture.pool.withTransaction {
                    try await fixture.outbox.append(ThingChanged(thing: "far", value: 1), subjectVersion: 1, on: $0)
                }
                try await fixture.pool.execute("SELECT pg_notify('auspex_outbox_test', '')")
                try await eventually("the second effect") { try await fixture.count("SELECT count(*) FROM effects") == 2 }
            }
        }
    }

    @Test func aRelayStopsThoughTheBrokerIsAway() async throws {
        try await withMessaging { fixture in
            let nobody = try BrokerPublisher(brokerURL: "amqp://guest:guest@127.0.0.1:1/", service: "test")
            try await running([nobody]) {
                let relay = OutboxRelay(pool: fixture.pool, publisher: nobody, schema: MessagingFixture.service, loop: fixture.loop)
                try await relay.start()
                try await fixture.say("thing", 1)
                try await eventually("the lock") {
                    try await fixture.count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") >= 1
                }
                await relay.stop()
            }
            // The row is still there for the next relay.
            let consumer = try fixture.recordingConsumer()
            try await running([consumer, fixture.relay()]) {
                try await eventually("the effect") { try await fixture.count("SELECT count(*) FROM effects") == 1 }
            }
        }
    }

    @Test func correlationAndTraceTravelFromRequestToEventToEvent() async throws {
        try await withMessaging { fixture in
            let heard = TestSignal<(Envelope, RequestContextValue?)>()
            let consumer = try fixture.consumer { envelope, connection in
                heard.signal((envelope, RequestContext.current))
                if envelope.subject == "cause" {
                    try await fixture.outbox.append(ThingChanged(thing: "effect", value: 2), subjectVersion: 1, on: connection)
                }
                return .done
            }
            try await running([consumer, fixture.relay()]) {
                let request = RequestContextValue(requestID: "request-1", trace: .make())
                let cause = try await RequestContext.$current.withValue(request) { try await fixture.say("cause", 1) }
                let (first, context) = try await heard.next()
                #expect(first.id == cause && first.correlationID == "request-1" && first.causationID == "request-1" && first.producer == "test")
                #expect(context?.trace.traceID == request.trace.traceID && context?.trace.spanID != request.trace.spanID)
                let (second, _) = try await heard.next()
                #expect(second.subject == "effect" && second.correlationID == "request-1" && second.causationID == cause.description)
                #expect(second.traceparent?.contains(request.trace.traceID) == true)
            }
        }
    }
}
