public import Contracts
public import Cryptography
public import HTTPServing
internal import ServiceRuntime
internal import Synchronization

/// Who may come to a service's doors: people with access tokens, programs with API keys, services with tokens of their own; the keys are a test's own.
public struct TestCredentials: Sendable {
    /// Services that have a key, not all of which may call everywhere.
    public static let services = ["auth", "signals", "marketdata", "executor", "scheduler"]

    /// What auth signs access tokens with.
    public let tokenKey: SigningKey
    /// What was revoked.
    public let denied = DenySet()
    /// What auth would say of API keys.
    public let apiKeys = KnownAPIKeys()
    private let serviceKeys: [String: SigningKey]

    /// New keys for everybody.
    public init() throws {
        tokenKey = try SigningKey.generate()
        serviceKeys = try Dictionary(uniqueKeysWithValues: Self.services.map { ($0, try SigningKey.generate()) })
    }

    /// Checks access tokens as a service does, with auth's keys at hand.
    public func accessTokens() -> AccessTokenVerifier {
        let time = SystemTimeSource()
        let keys = TokenKeyCache(control: TestLoop.shared, readiness: Readiness(), time: time) { [tokenKey] in
            JWKSet(keys: [tokenKey.verifyingKey.jwk()])
        }
        return AccessTokenVerifier(keys: keys, denied: denied, time: time)
    }

    /// The public keys of all services.
    public func knownServices() throws -> ServiceKeys {
        try ServiceKeys(JWKSet(keys: serviceKeys.map { $0.value.verifyingKey.jwk(service: $0.key) }))
    }

    /// What a service signs with.
    public func key(of service: String) throws -> SigningKey {
        guard let key = serviceKeys[service] else { throw TestSupportError("no service is called \(service)") }
        return key
    }

    /// An access token; the claims can be bent, and signed by another key than auth's.
    public func token(
        user: UserID = .make(),
        account: AccountID,
        roles: [String],
        signedBy key: SigningKey? = nil,
        bending: (inout AccessTokenClaims) -> Void = { _ in }
    ) throws -> String {
        var claims = AccessTokenClaims(userID: user, accountID: account, sessionID: .make(), userVersion: 1, roles: roles, now: .now())
        bending(&claims)
        return try JWT.sign(claims, with: key ?? tokenKey)
    }

    /// A service's token; the claims can be bent, and signed by another service's key or a stranger's.
    public func serviceToken(
        _ service: String,
        audience: String,
        signedBy key: SigningKey? = nil,
        bending: (inout ServiceTokenClaims) -> Void = { _ in }
    ) throws -> String {
        var claims = ServiceTokenClaims(service: service, audience: audience, now: .now())
        bending(&claims)
        return try JWT.sign(claims, with: try key ?? self.key(of: service))
    }
}

/// Says of API keys what a test has said of them; of any other, that there is none.
public final class KnownAPIKeys: APIKeyVerifier {
    private let verdicts = Mutex<[SHA256Digest: APIKeyVerdict]>([:])

    /// What is known of a key.
    public func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
        verdicts.withLock { $0[keySHA256] } ?? APIKeyVerdict(outcome: .notFound)
    }

    /// From now on there is no such key.
    public func forget(_ key: APIKeyText) { verdicts.withLock { _ = $0.removeValue(forKey: key.sha256) } }

    /// A new key of which this is known.
    public func make(
        _ outcome: APIKeyVerdict.Outcome = .valid,
        account: AccountID = .make(),
        roles: [String],
        scopes: [String]
    ) -> APIKeyText {
        let key = APIKeyText.make()
        let verdict = APIKeyVerdict(
            outcome: outcome,
            keyID: .make(),
            accountID: account,
            userID: .make(),
            roles: roles,
            scopes: scopes,
            generation: 1
        )
        verdicts.withLock { $0[key.sha256] = verdict }
        return key
    }
}
