import Contracts
import Cryptography
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// What leaves through the broker, and what comes in.
@Suite(.enabled(if: TestServers.available)) struct BrokerTests {
    /// Answers every key as valid, and counts how often it was asked.
    private final class CountingVerifier: APIKeyVerifier {
        private let count = Mutex(0)
        var asked: Int { count.withLock { $0 } }

        func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
            count.withLock { $0 += 1 }
            return APIKeyVerdict(
                outcome: .valid,
                keyID: .make(),
                accountID: .make(),
                userID: .make(),
                roles: [],
                scopes: ["bars:read"],
                generation: 1,
                checkedAt: .now()
            )
        }
    }

    @Test func whatIsSaidLeavesTheOutboxAndAChangedKeyIsForgotten() async throws {
        try await withVirtualHost { broker in
            try await withPostgresStore { store, pool in
                let publisher = try BrokerPublisher(brokerURL: broker.url, service: "marketdata")
                let relay = OutboxRelay(pool: pool, publisher: publisher, schema: "marketdata", loop: TestLoop.shared)
                let source = CountingVerifier()
                let keys = CachingAPIKeyVerifier(source: source, control: TestLoop.shared)
                let news = try News.listener(
                    brokerURL: broker.url,
                    credentials: CredentialNews(keys: keys, denied: DenySet()),
                    loop: TestLoop.shared,
                    readiness: Readiness()
                )
                let heard = TestSignal<String>()
                let listener = try EventBroadcast(
                    service: "tests",
                    listener: "all",
                    eventTypes: [InstrumentChanged.eventType, BarsRevised.eventType, BarsClosed.eventType],
                    brokerURL: broker.url,
                    loop: TestLoop.shared,
                    onSubscribed: {},
                    onEvent: { heard.signal($0.type) }
                )
                try await publisher.start()
                try await relay.start()
                try await news.start()
                try await listener.start()
                try await eventually("the subscription") { listener.isSubscribed }

                let bench = try Bench(store)
                try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5), as: "BTCUSD.csv")
                #expect(try await heard.next() == InstrumentChanged.eventType)
                try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5, first: 300), as: "BTCUSD.csv")
                #expect(try await heard.next() == BarsRevised.eventType)
                try await eventually("an empty outbox") {
                    try await pool.query("SELECT 1 FROM outbox WHERE sent_at IS NULL").isEmpty
                }

                let digest = SHA256.digest(Array("a key".utf8))
                try await eventually("a remembered key") {
                    let before = source.asked
                    _ = try await keys.verdict(on: digest)
                    return source.asked == before
                }
                let before = source.asked
                let change = KeyChanged(keyID: .make(), accountID: .make(), keySHA256: digest, state: .revoked, scopes: [], generation: 2)
                try await publisher.publish(try Envelope(change, subjectVersion: 2, occurredAt: .now(), recordedAt: .now()))
                try await eventually("the key to be asked for again") {
                    _ = try await keys.verdict(on: digest)
                    return source.asked > before
                }
                await listener.stop()
                await news.stop()
                await relay.stop()
                await publisher.stop()
            }
        }
    }
}
