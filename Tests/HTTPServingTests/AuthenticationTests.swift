import Contracts
import Cryptography
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

@Suite struct AccessTokenTests {
    private final class Auth: Sendable {
        struct Away: Error {}
        let state = Mutex((keys: [SigningKey](), fetches: 0, isAway: false))

        func fetch() throws -> JWKSet {
            try state.withLock { state in
                state.fetches += 1
                if state.isAway { throw Away() }
                return JWKSet(keys: state.keys.map { $0.verifyingKey.jwk() })
            }
        }
    }

    private struct House {
        let auth = Auth()
        let clock = TestClock()
        let denied = DenySet()
        let loop: EventLoop
        let keys: TokenKeyCache
        let verifier: AccessTokenVerifier

        init() throws {
            loop = try EventLoop.start(name: "auth-test")
            let auth = auth
            keys = TokenKeyCache(control: loop, readiness: Readiness(), time: clock) { try auth.fetch() }
            verifier = AccessTokenVerifier(keys: keys, denied: denied, time: clock)
        }

        func token(_ key: SigningKey, session: SessionID = .make(), user: UserID = .make(), version: Int64 = 1) throws -> String {
            try JWT.sign(
                AccessTokenClaims(userID: user, accountID: .make(), sessionID: session, userVersion: version, roles: ["provider"], now: clock.now()),
                with: key
            )
        }

        func code(_ token: String) async -> String {
            do {
                _ = try await verifier.verify(token)
                return "good"
            } catch {
                return (error as? Problem)?.code ?? "\(error)"
            }
        }
    }

    @Test func verifiesWithFetchedKeysAndKeepsThem() async throws {
        let house = try House()
        let key = try SigningKey.generate()
        #expect(await house.code(try house.token(key)) == "authentication_unavailable")
        house.auth.state.withLock { $0.keys = [key] }
        house.clock.advance(seconds: 11)
        let token = try house.token(key)
        #expect(await house.code(token) == "good")
        // Auth away: logins stop, reads do not.
        house.auth.state.withLock { $0.isAway = true }
        house.clock.advance(seconds: 600)
        #expect(await house.code(token) == "good")
        #expect(await house.code(try house.token(key)) == "good")
        house.clock.advance(seconds: 301)
        #expect(await house.code(token) == "token_expired")
        await house.loop.stop()
    }

    @Test func unknownKeysMakeOneFetchInTenSeconds() async throws {
        let house = try House()
        let key = try SigningKey.generate()
        house.auth.state.withLock { $0.keys = [key] }
        #expect(await house.code(try house.token(key)) == "good")
        #expect(house.auth.state.withLock { $0.fetches } == 1)
        for _ in 0..<20 { #expect(await house.code(try house.token(try SigningKey.generate())) == "invalid_token") }
        #expect(house.auth.state.withLock { $0.fetches } == 1)
        house.clock.advance(seconds: 10.1)
        let forged = try (0..<20).map { _ in try house.token(try SigningKey.generate()) }
        await withTaskGroup(of: Void.self) { group in
            for token in forged { group.addTask { _ = await house.code(token) } }
        }
        #expect(house.auth.state.withLock { $0.fetches } == 2)
        await house.loop.stop()
    }

    @Test func revokedSessionsAndUsersAreRefusedAtOnce() async throws {
        let house = try House()
        let key = try SigningKey.generate()
        house.auth.state.withLock { $0.keys = [key] }
        let (session, user) = (SessionID.make(), UserID.make())
        let token = try house.token(key, session: session)
        #expect(await house.code(token) == "good")
        house.denied.revoke(session: session, until: .now() + .seconds(900))
        #expect(await house.code(token) == "token_revoked")
        let old = try house.token(key, user: user, version: 3)
        #expect(await house.code(old) == "good")
        house.denied.raise(user: user, version: 4)
        #expect(await house.code(old) == "token_revoked")
        #expect(await house.code(try house.token(key, user: user, version: 4)) == "good")
        await house.loop.stop()
    }

    @Test func cookiesServeOurOwnPagesOnly() async throws {
        let house = try House()
        let key = try SigningKey.generate()
        house.auth.state.withLock { $0.keys = [key] }
        let router = Router()
        let group = router.grouped(UserAuthentication(tokens: house.verifier))
        group.get("/me") { .text(try $0.authenticated().roles.joined()) }
        group.post("/me") { _ in .noContent }
        let token = try house.token(key)
        func status(_ method: HTTPServing.Method, _ headers: [(String, String)]) async throws -> Int {
            await router.respond(to: try Request(method: method, target: "/me", headers: headers)).status.code
        }
        let cookie = ("Cookie", "a=b; auspex_access=\(token)")
        #expect(try await status(.get, [("Authorization", "Bearer \(token)")]) == 200)
        #expect(try await status(.post, [("Authorization", "bearer \(token)"), ("Origin", "https://evil")]) == 204)
        #expect(try await status(.get, [cookie]) == 200)
        #expect(try await status(.post, [cookie]) == 403)
        #expect(try await status(.post, [cookie, ("Sec-Fetch-Site", "same-origin")]) == 204)
        #expect(try await status(.post, [cookie, ("Sec-Fetch-Site", "cross-site")]) == 403)
        #expect(try await status(.post, [cookie, ("Host", "auspex.test"), ("Origin", "https://auspex.test")]) == 204)
        #expect(try await status(.post, [cookie, ("Host", "auspex.test"), ("Origin", "https://evil.test")]) == 403)
        #expect(try await status(.get, []) == 401)
        #expect(try await status(.get, [("Authorization", "Basic abc")]) == 401)
        #expect(try await status(.get, [("X-API-Key", "aus_abc")]) == 401)
        #expect(try await status(.get, [("Authorization", "Bearer \(token)x")]) == 401)
        await house.loop.stop()
    }
}

@Suite struct APIKeyCacheTests {
    private final class Auth: APIKeyVerifier {
        struct Away: Error {}
        let state = Mutex((verdict: APIKeyVerdict(outcome: .notFound), asked: 0, isAway: false))
        /// Answers pass it after they were made; it stands open unless a test shuts it.
        let gate = Gate()

        func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
            let verdict = try state.withLock { state in
                state.asked += 1
                if state.isAway { throw Away() }
                return state.verdict
            }
            try await gate.pass()
            return verdict
        }

        func set(_ outcome: APIKeyVerdict.Outcome, generation: Int64) {
            state.withLock {
                $0.verdict = APIKeyVerdict(
                    outcome: outcome,
                    keyID: .make(),
                    accountID: .make(),
                    userID: .make(),
                    roles: [],
                    scopes: ["predictions:read"],
                    generation: generation
                )
            }
        }
        var asked: Int { state.withLock { $0.asked } }
    }

    private struct House {
        let auth = Auth()
        let clock = TestClock()
        let loop: EventLoop
        let cache: CachingAPIKeyVerifier
        let key = SHA256.digest(utf8: "key")

        init() throws {
            auth.gate.open()
            loop = try EventLoop.start(name: "key-test")
            cache = CachingAPIKeyVerifier(source: auth, control: loop, time: clock)
        }

        func outcome() async -> String {
            do { return try await cache.verdict(on: key).outcome.rawValue } catch { return (error as? Problem)?.code ?? "\(error)" }
        }
    }

    @Test func servesFromMemoryAndRefreshesInTheBackground() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        house.auth.set(.valid, generation: 1)
        for _ in 0..<10 { #expect(await house.outcome() == "VALID") }
        #expect(house.auth.asked == 1)
        house.clock.advance(seconds: 29)
        #expect(await house.outcome() == "VALID")
        #expect(house.auth.asked == 1)
        house.clock.advance(seconds: 2)
        while house.auth.gate.entered.pendingCount > 0 { try await house.auth.gate.entered.next() }
        #expect(await house.outcome() == "VALID")
        try await house.auth.gate.entered.next()
        #expect(house.auth.asked == 2)
        await house.loop.stop()
    }

    @Test func anAuthThatIsAwayIsAskedOnceASecond() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        house.auth.set(.valid, generation: 1)
        #expect(await house.outcome() == "VALID")
        house.auth.state.withLock { $0.isAway = true }
        house.clock.advance(seconds: 31)
        for expected in 2...4 {
            #expect(await house.outcome() == "VALID")
            #expect(await eventuallyHolds { house.auth.asked == expected })
            // The failed question has ended: more requests of the same second ask nothing.
            try await house.loop.run {}
            for _ in 0..<20 { #expect(await house.outcome() == "VALID") }
            try await house.loop.run {}
            #expect(house.auth.asked == expected)
            house.clock.advance(seconds: 1)
        }
        await house.loop.stop()
    }

    @Test func aRevokedKeyIsGoneWithItsEventAndInAMinuteWithoutIt() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        house.auth.set(.valid, generation: 1)
        #expect(await house.outcome() == "VALID")
        house.auth.set(.disabled, generation: 2)
        house.cache.keyChanged(house.key, generation: 2)
        #expect(await house.outcome() == "DISABLED")
        // Without the event.
        house.auth.set(.valid, generation: 3)
        #expect(await house.outcome() == "VALID")
        house.auth.set(.disabled, generation: 4)
        #expect(await house.outcome() == "VALID")
        house.clock.advance(seconds: 60)
        #expect(await house.outcome() == "DISABLED")
        await house.loop.stop()
    }

    @Test func refusalsAreNotKept() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        #expect(await house.outcome() == "NOT_FOUND")
        house.auth.set(.valid, generation: 1)
        #expect(await house.outcome() == "VALID")
        await house.loop.stop()
    }

    @Test func anAnswerOlderThanAnEventIsNotStored() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        house.auth.set(.valid, generation: 1)
        house.auth.gate.shut()
        let asking = Task { await house.outcome() }
        try await house.auth.gate.entered.next()
        // The key is revoked while the old answer is on its way.
        house.auth.set(.disabled, generation: 2)
        house.cache.keyChanged(house.key, generation: 2)
        house.auth.gate.open()
        #expect(await asking.value == "DISABLED")
        #expect(await house.outcome() == "DISABLED")
        await house.loop.stop()
    }

    @Test func unsubscribedItAsksEveryFiveSecondsAndWithAuthAwayServesAMinute() async throws {
        let house = try House()
        house.auth.set(.valid, generation: 1)
        #expect(await house.outcome() == "VALID")
        house.clock.advance(seconds: 4.9)
        #expect(await house.outcome() == "VALID")
        #expect(house.auth.asked == 1)
        house.clock.advance(seconds: 0.2)
        #expect(await house.outcome() == "VALID")
        #expect(house.auth.asked == 2)
        house.auth.state.withLock { $0.isAway = true }
        house.clock.advance(seconds: 59.9)
        #expect(await house.outcome() == "VALID")
        house.clock.advance(seconds: 0.2)
        #expect(await house.outcome() == "authentication_unavailable")
        await house.loop.stop()
    }

    @Test func withBrokerAndAuthAwayNobodyWaitsForAuthAgainAndAgain() async throws {
        let house = try House()
        house.auth.set(.valid, generation: 1)
        #expect(await house.outcome() == "VALID")
        house.auth.state.withLock { $0.isAway = true }
        house.clock.advance(seconds: 6)
        #expect(await house.outcome() == "VALID")
        #expect(house.auth.asked == 2)
        // Within a second of a failed try it is not asked again.
        house.clock.advance(seconds: 0.5)
        #expect(await house.outcome() == "VALID")
        #expect(house.auth.asked == 2)
        // Later it is, but whoever comes is answered meanwhile: auth's answer waits behind the gate.
        house.auth.gate.shut()
        house.clock.advance(seconds: 1)
        #expect(await house.outcome() == "VALID")
        house.auth.gate.open()
        house.clock.advance(seconds: 60)
        #expect(await house.outcome() == "authentication_unavailable")
        await house.loop.stop()
    }

    @Test func everySubscriptionDropsAll() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        house.auth.set(.valid, generation: 1)
        #expect(await house.outcome() == "VALID")
        house.auth.set(.disabled, generation: 2)
        house.cache.subscriptionChanged(isSubscribed: false)
        house.cache.subscriptionChanged(isSubscribed: true)
        #expect(await house.outcome() == "DISABLED")
        await house.loop.stop()
    }

    @Test func manyAtOnceAskOnce() async throws {
        let house = try House()
        house.cache.subscriptionChanged(isSubscribed: true)
        house.auth.set(.valid, generation: 1)
        house.auth.gate.shut()
        let askers = try EventLoop.start(name: "key-askers")
        let tasks = (0..<50).map { _ in Task(on: askers) { await house.outcome() } }
        // Tasks of one loop run in turn: after these turns all fifty wait for an answer.
        for _ in 0..<20 { try await askers.run {} }
        try await house.auth.gate.entered.next()
        house.auth.gate.open()
        for task in tasks { #expect(await task.value == "VALID") }
        #expect(house.auth.asked == 1)
        await askers.stop()
        await house.loop.stop()
    }

    @Test func scopesCoverTheirParts() throws {
        func principal(_ scopes: [String]) -> Principal {
            Principal(userID: .make(), accountID: .make(), roles: [], credential: .apiKey(.make(), scopes: scopes))
        }
        #expect(principal(["predictions:read"]).has(scope: "predictions:read:abc"))
        #expect(principal(["predictions:read:abc"]).has(scope: "predictions:read:abc"))
        #expect(!principal(["predictions:read:abc"]).has(scope: "predictions:read:abd"))
        #expect(!principal(["predictions:read:abc"]).has(scope: "predictions:read"))
        #expect(!principal(["predictions"]).has(scope: "predictionsx:read"))
        #expect(throws: Problem.self) { try principal([]).require(scope: "bars:read") }
    }
}
