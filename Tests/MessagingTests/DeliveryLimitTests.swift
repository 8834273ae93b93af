import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import Messaging

@Suite(.enabled(if: TestServers.available)) struct DeliveryLimitTests {
    /// A handler that ends its process never answers; the broker counts and puts an end to it.
    @Test func whatNobodyEverAnswersIsMovedToTheDeadByTheBroker() async throws {
        try await withMessaging { fixture in
            let deliveries = Tally()
            let returning = TestSignal<HeldDelivery>()
            let link = try ConsumerLink(
                ConsumerLink.Configuration(
                    url: try BrokerURL(fixture.broker.url),
                    service: "test",
                    queue: MessagingFixture.queue,
                    eventTypes: [ThingChanged.eventType],
                    ladder: MessagingFixture.quickLadder,
                    prefetch: 1
                ),
                readiness: nil
            ) { held in
                deliveries.add("all")
                returning.signal(held)
            }
            await link.start()
            let event = try Envelope(ThingChanged(thing: "deadly", value: 1), subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
            await fixture.publisher.connected()
            try await fixture.publisher.publish(event)
            for _ in 0...Topology.deliveryLimit { await link.giveBack(try await returning.next()) }
            let queues = try DeadQueues(brokerURL: fixture.broker.url, service: "test", consumers: ["probe"])
            try await eventually("one dead") { try await queues.list().first?.count == 1 }
            let dead = try await queues.show(consumer: "probe")
            #expect(dead.first?.messageID == event.id.description && dead.first?.reason == "delivery_limit")
            #expect(deliveries["all"] == Int(Topology.deliveryLimit) + 1)
            #expect(try await queues.replay(consumer: "probe") == 1)
            let again = try await returning.next()
            #expect(again.delivery.message.messageID == event.id.description)
            await queues.close()
            await link.stop()
        }
    }
}
