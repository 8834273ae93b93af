import Contracts
import Cryptography
import HTTPServing
import Testing

@testable import auth

@Suite("E-mail addresses")
struct EmailAddressTests {
    @Test(arguments: [
        ("Ada@Example.COM", "ada@example.com"), ("  a.b+c@x-y.example ", "a.b+c@x-y.example"), ("x@localhost", "x@localhost"),
        ("o'neil@example.com", "o'neil@example.com"),
    ])
    func normalised(input: String, text: String) {
        #expect(EmailAddress(input)?.text == text)
    }

    @Test(arguments: [
        "", "@", "a@", "@b", "a@b@c", "a b@c.de", "a@b..c", "a@-b.c", "a@b-", "a@b_c", "ä@b.c", "a@b.c\n", "a\0@b.c", "<a@b.c>", "a,b@c.de",
        "a@" + String(repeating: "b", count: 64) + ".de", String(repeating: "a", count: 65) + "@b.de",
        "a@" + String(repeating: "b.", count: 130) + "de",
    ])
    func refused(input: String) {
        #expect(EmailAddress(input) == nil)
    }
}

@Suite("Password policy")
struct PasswordPolicyTests {
    let email = EmailAddress(stored: "somebody@example.com")

    @Test(arguments: ["correct horse", "пароль-пароль", String(repeating: "ab c", count: 18)])
    func accepted(password: String) throws {
        try PasswordPolicy.check(password, for: email)
    }

    @Test(arguments: [
        ("short", "password_too_short"), (String(repeating: "ab c", count: 18) + "d", "password_too_long"),
        (String(repeating: "й", count: 37), "password_too_long"), ("nul\0nul\0nul", "invalid_value"), ("Somebody@Example.com", "password_too_simple"),
        ("ababababab", "password_too_simple"),
    ])
    func refused(password: String, code: String) {
        do throws(AuthError) {
            try PasswordPolicy.check(password, for: email)
            Issue.record("accepted")
        } catch {
            #expect(error.problem.code == code)
            #expect(error.problem.field == "password")
        }
    }
}

@Suite("Throttling rule")
struct ThrottlePolicyTests {
    let policy = ThrottlePolicy(freeAttempts: 3, windowSeconds: 100, maximumWaitSeconds: 8)
    let start = Timestamp(seconds: 1_000_000)

    @Test func waitsDoubleUpToTheLongest() {
        var state: ThrottleState?
        var now = start
        #expect(policy.attempt(&state, now: now) == nil)
        #expect(policy.attempt(&state, now: now) == nil)
        #expect(policy.attempt(&state, now: now) == nil)
        for wait in [1, 2, 4, 8, 8] {
            #expect(policy.attempt(&state, now: now) == wait)
            let blocked = state
            #expect(policy.attempt(&state, now: now + .milliseconds(500)) == wait)
            #expect(state == blocked, "a refused attempt changes nothing")
            now = now + .seconds(wait)
            #expect(policy.attempt(&state, now: now) == nil)
        }
    }

    @Test func theCountBeginsAnewAfterTheWindow() {
        var state: ThrottleState?
        for _ in 0..<3 { _ = policy.attempt(&state, now: start) }
        #expect(policy.attempt(&state, now: start) != nil)
        #expect(policy.attempt(&state, now: start + .seconds(100)) == nil)
        #expect(state?.attempts == 1)
    }

    @Test(arguments: [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"), ("2001:db8::1", "2001:db8:0:0"), ("::1", "0:0:0:0"), ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8:0001::ffff:1", "2001:db8:1:0"), ("fe80::1%lo", "fe80::1%lo"), ("nonsense", "nonsense"),
    ])
    func networks(address: String, network: String) {
        #expect(LoginPlace.network(of: address) == network)
    }
}

@Suite("Key scopes")
struct KeyScopeTests {
    @Test func writtenFormsSurvive() {
        let signal = SignalID.make()
        for text in ["predictions:read", "bars:read", "signals:write", "jobs:write", "predictions:read:\(signal)"] {
            #expect(KeyScope(text)?.description == text)
        }
        for text in ["", "predictions", "predictions:write", "predictions:read:", "predictions:read:x", "BARS:READ", "bars:read ", "*"] {
            #expect(KeyScope(text) == nil)
        }
    }

    @Test func scopesAreSortedOnceEachAndCheckedAgainstRoles() throws {
        #expect(try KeyScope.parse(["predictions:read", "bars:read", "bars:read"], roles: [.subscriber]) == ["bars:read", "predictions:read"])
        #expect(throws: AuthError.scopeNotAllowed("signals:write")) { try KeyScope.parse(["signals:write"], roles: [.subscriber]) }
        #expect(try KeyScope.parse(["signals:write"], roles: [.provider]) == ["signals:write"])
        #expect(throws: AuthError.self) { try KeyScope.parse([], roles: [.provider]) }
        #expect(throws: AuthError.self) { try KeyScope.parse(Array(repeating: "bars:read", count: 33), roles: [.provider]) }
    }
}

@Suite("API key states")
struct APIKeyStateTests {
    let now = Timestamp(seconds: 1_000_000)

    func key(_ state: KeyChanged.State = .active, expiresAt: Timestamp? = nil) -> APIKey {
        APIKey(
            id: .make(),
            accountID: .make(),
            userID: .make(),
            name: "k",
            sha256: SHA256.digest(utf8: "k"),
            prefix: "aus_abcd",
            scopes: ["bars:read"],
            state: state,
            expiresAt: expiresAt,
            createdAt: now,
            generation: 1
        )
    }

    func owner(disabledAt: Timestamp? = nil) -> User {
        User(
            id: .make(),
            accountID: .make(),
            email: EmailAddress(stored: "a@b.c"),
            displayName: "a",
            passwordHash: "",
            passwordChangedAt: now,
            roles: [.provider],
            version: 1,
            versionRaisedAt: now,
            disabledAt: disabledAt,
            createdAt: now
        )
    }

    @Test func everyChangeRaisesTheGeneration() throws {
        var key = key()
        try key.setEnabled(false, at: now)
        #expect(key.state == .disabled && key.generation == 2)
        try key.setEnabled(true, at: now)
        #expect(key.state == .active && key.generation == 3)
        try key.reroll(successor: .make(), overlap: .hour, at: now)
        #expect(key.state == .rerolled && key.generation == 4 && key.expiresAt == now + .seconds(3_600))
        key.revoke()
        #expect(key.state == .revoked && key.generation == 5)
    }

    @Test func endedKeysDoNotComeBack() {
        var revoked = key(.revoked)
        #expect(throws: AuthError.keyNotActive) { try revoked.setEnabled(true, at: now) }
        #expect(throws: AuthError.keyNotActive) { try revoked.reroll(successor: .make(), overlap: .none, at: now) }
        var expired = key(expiresAt: now)
        #expect(throws: AuthError.keyNotActive) { try expired.setEnabled(false, at: now) }
        var rerolled = key(.rerolled, expiresAt: now + .seconds(5))
        #expect(throws: AuthError.keyNotActive) { try rerolled.reroll(successor: .make(), overlap: .week, at: now) }
    }

    @Test func aRerollNeverLengthensAKey() throws {
        var short = key(expiresAt: now + .seconds(60))
        try short.reroll(successor: .make(), overlap: .month, at: now)
        #expect(short.expiresAt == now + .seconds(60))
    }

    @Test func verdictsInTheirOrder() {
        #expect(KeyVerdict.decide(key: nil, owner: nil, now: now).outcome == .notFound)
        #expect(KeyVerdict.decide(key: key(.revoked), owner: owner(), now: now).outcome == .disabled)
        #expect(KeyVerdict.decide(key: key(.disabled, expiresAt: now), owner: owner(), now: now).outcome == .disabled)
        #expect(KeyVerdict.decide(key: key(), owner: owner(disabledAt: now), now: now).outcome == .disabled)
        #expect(KeyVerdict.decide(key: key(expiresAt: now), owner: owner(), now: now).outcome == .expired)
        #expect(KeyVerdict.decide(key: key(.rerolled, expiresAt: now), owner: owner(), now: now).outcome == .expired)
        #expect(KeyVerdict.decide(key: key(.rerolled, expiresAt: now + .seconds(1)), owner: owner(), now: now).outcome == .valid)
        #expect(KeyVerdict.decide(key: key(), owner: owner(), now: now).outcome == .valid)
    }

    @Test func onlyTheListedOverlaps() throws {
        for seconds in [0, 3_600, 86_400, 604_800, 2_592_000] as [Int64] { #expect(try RerollOverlap.parse(seconds: seconds).rawValue == seconds) }
        for seconds in [-1, 1, 3_601, .max] as [Int64] { #expect(throws: AuthError.self) { try RerollOverlap.parse(seconds: seconds) } }
    }
}

@Suite("Refresh decisions")
struct RefreshDecisionTests {
    let now = Timestamp(seconds: 1_000_000)

    func decide(used: Bool = false, expired: Bool = false, revoked: Bool = false, disabled: Bool = false, sessionEnded: Bool = false)
        -> RefreshDecision
    {
        let user = User(
            id: .make(),
            accountID: .make(),
            email: EmailAddress(stored: "a@b.c"),
            displayName: "a",
            passwordHash: "",
            passwordChangedAt: now,
            roles: [.provider],
            version: 1,
            versionRaisedAt: now,
            disabledAt: disabled ? now : nil,
            createdAt: now
        )
        let session = Session(
            id: .make(),
            userID: user.id,
            accountID: user.accountID,
            createdAt: now,
            lastUsedAt: now,
            endsAt: sessionEnded ? now : now + .seconds(9),
            tokenExpiresAt: now,
            address: "",
            userAgent: "",
            revokedAt: revoked ? now : nil,
            revocation: revoked ? .logout : nil
        )
        let token = RefreshToken(
            sha256: SHA256.digest(utf8: "t"),
            sessionID: session.id,
            accountID: user.accountID,
            issuedAt: now,
            expiresAt: expired ? now : now + .seconds(9),
            usedAt: used ? now : nil
        )
        return RefreshDecision.decide(token: token, session: session, user: user, now: now)
    }

    @Test func decisions() {
        #expect(decide() == .rotate)
        #expect(decide(used: true) == .revokeFamily)
        #expect(decide(used: true, revoked: true) == .refuse(.invalidRefreshToken))
        #expect(decide(used: true, expired: true) == .revokeFamily)
        #expect(decide(expired: true) == .refuse(.invalidRefreshToken))
        #expect(decide(revoked: true) == .refuse(.invalidRefreshToken))
        #expect(decide(sessionEnded: true) == .refuse(.invalidRefreshToken))
        #expect(decide(disabled: true) == .refuse(.userDisabled))
    }

    @Test func onlyOurTextsAreLookedUp() {
        let text = RefreshToken.makeText()
        #expect(RefreshToken.digest(of: text) == SHA256.digest(utf8: text))
        for other in ["", "aur_", String(text.dropLast()), "x" + text.dropFirst(), text + "x"] { #expect(RefreshToken.digest(of: other) == nil) }
    }
}

@Suite("Profile fields")
struct ProfileFieldTests {
    @Test func displayNames() throws {
        #expect(try User.displayName("  Ada   Lovelace ") == "Ada Lovelace")
        for name in ["", "   ", "a\nb", "a\u{202E}b", String(repeating: "x", count: 101)] {
            #expect(throws: AuthError.self) { try User.displayName(name) }
        }
    }

    @Test func rolesToChooseFrom() throws {
        #expect(try User.chosenRoles([.subscriber, .provider, .subscriber]) == [.provider, .subscriber])
        #expect(try User.chosenRoles([.subscriber], keeping: [.admin, .provider]) == [.subscriber, .admin])
        #expect(throws: AuthError.self) { try User.chosenRoles([]) }
        #expect(throws: AuthError.self) { try User.chosenRoles([.admin]) }
    }
}
