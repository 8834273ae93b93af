import Contracts
import Cryptography
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

@Suite struct CredentialNewsTests {
    /// Auth as far as it is asked here.
    private final class Auth: APIKeyVerifier {
        let asked = Mutex(0)
        var questions: Int { asked.withLock { $0 } }

        func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
            asked.withLock { $0 += 1 }
            return APIKeyVerdict(outcome: .valid, keyID: .make(), accountID: .make(), userID: .make(), roles: [], scopes: [], generation: 1)
        }
    }

    private func envelope<Event: EventBody>(_ event: Event) throws -> Envelope {
        try Envelope(event, subjectVersion: 2, occurredAt: .now(), recordedAt: .now())
    }

    @Test func aSetThatNobodyBringsNewsToIsLoadedFromAuth() async throws {
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
        let keys = CachingAPIKeyVerifier(source: Auth(), control: TestLoop.shared)
        let news = CredentialNews(keys: keys, denied: denied, auth: auth, loop: TestLoop.shared)
        #expect(!denied.isCurrent(at: 1))
        try await news.start()
        try await eventually("the revoked session") { denied.denies(session: session, user: .make(), version: 1) }
        await news.stop()
        await server.stop()
    }

    @Test func whatIsHeardIsForgottenOrRefused() async throws {
        let source = Auth()
        let denied = DenySet()
        let keys = CachingAPIKeyVerifier(source: source, control: TestLoop.shared)
        let news = CredentialNews(keys: keys, denied: denied)
        news.subscriptionChanged(isSubscribed: true)

        let digest = SHA256.digest(utf8: "a key")
        for _ in 0..<2 { _ = try await keys.verdict(on: digest) }
        #expect(source.questions == 1)
        try news.hear(
            try envelope(KeyChanged(keyID: .make(), accountID: .make(), keySHA256: digest, state: .revoked, scopes: [], generation: 2))
        )
        _ = try await keys.verdict(on: digest)
        #expect(source.questions > 1)

        let (session, user) = (SessionID.make(), UserID.make())
        try news.hear(
            try envelope(SessionRevoked(sessionID: session, userID: user, accountID: .make(), tokenExpiresAt: .now() + .seconds(900)))
        )
        #expect(denied.denies(session: session, user: .make(), version: 1))
        try news.hear(try envelope(UserChanged(userID: user, accountID: .make(), userVersion: 3, roles: [], disabled: false)))
        #expect(denied.denies(session: .make(), user: user, version: 2) && !denied.denies(session: .make(), user: user, version: 3))

        // Other people's events say nothing of credentials.
        try news.hear(try envelope(AccountCreated(accountID: .make(), userID: .make(), roles: [])))
    }
}
