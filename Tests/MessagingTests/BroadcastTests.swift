import Contracts
import Messaging
import TestSupport
import Testing

@Suite(.enabled(if: TestServers.available)) struct BroadcastTests {
    @Test func everyInstanceHearsAndKnowsWhenItHasMissedSomething() async throws {
        try await withMessaging { fixture in
            let subscribed = [TestSignal<Void>(), TestSignal<Void>()]
            let heard = [TestSignal<String>(), TestSignal<String>()]
            let listeners = try (0..<2).map { index in
                try EventBroadcast(
                    service: "test",
                    listener: "cache",
                    eventTypes: [ThingChanged.eventType],
                    brokerURL: fixture.broker.url,
                    loop: fixture.loop,
                    onSubscribed: { subscribed[index].signal() },
                    onEvent: { heard[index].signal($0.subject) }
                )
            }
            try await running(listeners + [fixture.relay()]) {
                for signal in subscribed { try await signal.next() }
                #expect(listeners[0].isSubscribed && listeners[1].isSubscribed)
                try await fixture.say("first", 1)
                for signal in heard { #expect(try await signal.next() == "first") }
                try await fixture.killConnections(atLeast: 3)
                for signal in subscribed { try await signal.next() }
                try await fixture.say("second", 1)
                for signal in heard { #expect(try await signal.next() == "second") }
            }
            #expect(!listeners[0].isSubscribed && !listeners[1].isSubscribed)
        }
    }

    @Test func aListenerThatHearsNothingIsToldSoAgainAndAgain() async throws {
        let deaf = TestSignal<Void>()
        let listener = try EventBroadcast(
            service: "test",
            listener: "cache",
            eventTypes: [ThingChanged.eventType],
            brokerURL: "amqp://guest:guest@127.0.0.1:1/",
            loop: TestLoop.shared,
            onSubscribed: {},
            onUnsubscribed: { deaf.signal() },
            onEvent: { _ in }
        )
        try await running([listener]) { for _ in 0..<3 { try await deaf.next() } }
    }

    @Test func anEventThatCannotBeReadDoesNotStopTheNext() async throws {
        struct Unreadable: Error {}
        try await withMessaging { fixture in
            let (subscribed, heard) = (TestSignal<Void>(), TestSignal<String>())
            let listener = try EventBroadcast(
                service: "test",
                listener: "cache",
                eventTypes: [ThingChanged.eventType],
                brokerURL: fixture.broker.url,
                loop: fixture.loop,
                onSubscribed: { subscribed.signal() },
                onEvent: { envelope in
                    if envelope.subject == "bad" { throw Unreadable() }
                    heard.signal(envelope.subject)
                }
            )
            try await running([listener, fixture.relay()]) {
                try await subscribed.next()
                try await fixture.say("bad", 1)
                try await fixture.say("good", 1)
                #expect(try await heard.next() == "good")
            }
        }
    }
}
