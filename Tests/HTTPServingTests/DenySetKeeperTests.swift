import Contracts
import Cryptography
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

@Suite struct DenySetKeeperTests {
    /// Auth, the keeper and a token that is good as long as nobody says otherwise.
    private struct House {
        struct Away: Error {}

        final class Auth: Sendable {
            let state = Mutex((revoked: [SessionID](), loads: 0, isAway: false))
            var loads: Int { state.withLock { $0.loads } }
            func goAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }
        }

        let auth = Auth()
        let clock = TestClock()
        let denied = DenySet()
        let readiness = Readiness()
        let keeper: DenySetKeeper
        let keys: TokenKeyCache
        let verifier: AccessTokenVerifier
        let key: SigningKey
        let session = SessionID.make()

        init() throws {
            let (auth, denied, key) = (auth, denied, try SigningKey.generate())
            self.key = key
            keeper = DenySetKeeper(denied, loop: TestLoop.shared, readiness: readiness, time: clock) {
                let revoked = try auth.state.withLock { state in
                    state.loads += 1
                    if state.isAway { throw Away() }
                    return state.revoked
                }
                for session in revoked { denied.revoke(session: session, until: .now() + .seconds(900)) }
            }
            keys = TokenKeyCache(control: TestLoop.shared, readiness: Readiness(), time: clock) {
                if auth.state.withLock({ $0.isAway }) { throw Away() }
                return JWKSet(keys: [key.verifyingKey.jwk()])
            }
            verifier = AccessTokenVerifier(keys: keys, denied: denied, time: clock)
        }

        /// What happens to a fresh token of the session.
        func answer() async throws -> String {
            let claims = AccessTokenClaims(userID: .make(), accountID: .make(), sessionID: session, userVersion: 1, roles: [], now: clock.now())
            do {
                _ = try await verifier.verify(try JWT.sign(claims, with: key))
                return "good"
            } catch {
                let problem = error as? Problem
                return problem.map { "\($0.status.code) \($0.code)" } ?? "\(error)"
            }
        }

        func eventually(_ expected: String) async throws {
            try await TestSupport.eventually(expected) { try await answer() == expected }
        }

        func stop() async {
            await keeper.stop()
            await keys.stop()
        }
    }

    private func withHouse(isAway: Bool = false, _ body: (House) async throws -> Void) async throws {
        let house = try House()
        house.auth.goAway(isAway)
        try await house.keys.start()
        try await house.keeper.start()
        do {
            try await body(house)
        } catch {
            await house.stop()
            throw error
        }
        await house.stop()
    }

    @Test func withoutASubscriptionItAsksAuthAtStartAndEveryFiveSeconds() async throws {
        try await withHouse { house in
            try await house.eventually("good")
            house.auth.state.withLock { $0.revoked = [house.session] }
            let loads = house.auth.loads
            house.clock.advance(seconds: 4)
            #expect(try await house.answer() == "good")
            house.clock.advance(seconds: 1.5)
            try await house.eventually("401 token_revoked")
            #expect(house.auth.loads == loads + 1)
        }
    }

    @Test func withBrokerAndAuthAwayItServesAMinuteAndThenNobody() async throws {
        try await withHouse { house in
            try await house.eventually("good")
            house.auth.goAway(true)
            house.clock.advance(seconds: 55)
            #expect(try await house.answer() == "good")
            house.clock.advance(seconds: 6)
            #expect(try await house.answer() == "503 auth_unavailable")
            try await eventually("the readiness says so") { !house.readiness.report().ready }
            house.auth.goAway(false)
            house.clock.advance(seconds: 3)
            try await house.eventually("good")
            try await eventually("ready again") { house.readiness.report().ready }
        }
    }

    @Test func aServiceThatStartsWithBothAwayIsReadyOnceAuthIsBack() async throws {
        try await withHouse(isAway: true) { house in
            try await eventually("a try") { house.auth.loads > 0 }
            #expect(try await house.answer().hasPrefix("503"))
            #expect(!house.readiness.report().ready)
            house.auth.goAway(false)
            // No longer than the longest pause between two tries, and than what the keys ask for.
            house.clock.advance(seconds: 11)
            try await house.eventually("good")
        }
    }

    @Test func aSubscriptionVouchesOnlyAfterALoadAndUntilItIsLost() async throws {
        try await withHouse { house in
            try await house.eventually("good")
            let loads = house.auth.loads
            house.keeper.subscriptionChanged(isSubscribed: true)
            try await eventually("a load of its own") { house.denied.isCurrent(at: .max - 1) }
            house.auth.goAway(true)
            house.clock.advance(seconds: 600)
            #expect(try await house.answer() == "good", "auth may be away as long as the events are heard")
            #expect(house.auth.loads == loads + 1, "nothing is asked meanwhile")

            // The connection may have been dead for half a minute before that was noticed.
            house.keeper.subscriptionChanged(isSubscribed: false)
            house.clock.advance(seconds: 25)
            #expect(try await house.answer() == "good")
            house.clock.advance(seconds: 6)
            #expect(try await house.answer() == "503 auth_unavailable")

            // What was said in between is not heard any more: the subscription alone is not enough.
            house.keeper.subscriptionChanged(isSubscribed: true)
            #expect(try await house.answer() == "503 auth_unavailable")
            house.auth.state.withLock { $0.revoked = [house.session] }
            house.auth.goAway(false)
            // How often it has asked in vain by now decides how long it pauses.
            try await eventually("401 token_revoked") {
                house.clock.advance(seconds: 3)
                return try await house.answer() == "401 token_revoked"
            }
        }
    }
}
