import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import TestSupport
import Testing

@testable import signals

/// What a replica knows of revoked sessions while nobody brings it news.
@Suite("News", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct NewsListenerTests {
    @Test("With the broker away auth is asked for the deny set")
    func withTheBrokerAwayAuthIsAskedForTheDenySet() async throws {
        let session = SessionID.make()
        var router = Router()
        router.get("/internal/v1/sessions/revoked") { _ in
            let entry: JSONValue = ["session_id": .string("\(session)"), "expires_at": .string((Timestamp.now() + .seconds(900)).iso8601)]
            return try .json(["sessions": .array([entry]), "users": .array([])] as JSONValue)
        }
        let server = HTTPServer(name: "auth", address: "127.0.0.1", port: 0, router: router, loops: [TestLoop.shared])
        try await server.start()
        let auth = ServiceClient(baseURLs: ["http://127.0.0.1:\(server.boundPort)"], audience: "auth", tokens: nil, http: HTTPClient())
        try await withPlatform { platform in
            let news = try NewsListener(
                brokerURL: "amqp://guest:guest@127.0.0.1:1/",
                audience: .init(
                    keys: platform.keys,
                    denied: platform.denied,
                    entitlements: platform.entitlements,
                    predictions: platform.watch,
                    hub: platform.hub
                ),
                auth: auth,
                loop: TestLoop.shared,
                time: SystemTimeSource(),
                readiness: Readiness()
            )
            try await news.start()
            try await eventually("the revoked session") { platform.denied.denies(session: session, user: .make(), version: 1) }
            await news.stop()
        }
        await server.stop()
    }
}
