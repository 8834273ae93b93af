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
}
