import Contracts
import HTTPServing
import Messaging
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// What a replica knows of revoked sessions while nobody brings it news.
@Suite struct NewsListenerTests {
    @Test func withTheBrokerAwayAuthIsAskedForTheDenySet() async throws {
        let session = SessionID.make()
        var router = Router()
        router.get("/internal/v1/sessions/revoked") { _ in
            let entry: JSONValue = ["session_id": .string("\(session)"), "expires_at": .string((Timestamp.now() + .seconds(900)).iso8601)]
            return try .json(["sessions": .array([entry]), "users": .array([])] as JSONValue)
        }
        let server = HTTPServer(name: "auth", address: "127.0.0.1", port: 0, router: router, loops: [TestLoop.shared])
        try await server.start()
        let auth = ServiceClient(baseURLs: ["http://127.0.0.1:\(server.boundPort)"], audience: "auth", tokens: nil, http: HTTPClient())
        let denied = DenySet()
        let keys = CachingAPIKeyVerifier(source: ServiceAPIKeyVerifier(auth: auth), control: TestLoop.shared)
        let news = try NewsListener(
            brokerURL: "amqp://guest:guest@127.0.0.1:1/",
            keys: keys,
            denied: denied,
            auth: auth,
            loop: TestLoop.shared,
            time: SystemTimeSource(),
            readiness: Readiness()
        )
        try await news.start()
        try await eventually("the revoked session") { denied.denies(session: session, user: .make(), version: 1) }
        await news.stop()
        await server.stop()
    }
}
