internal import Contracts
public import Cryptography
internal import Synchronization
public import ServiceRuntime

/// Checks access tokens: signature and times by the keys of auth, revocation by the deny set.
public final class AccessTokenVerifier: Sendable {
    private let keys: TokenKeyCache
    private let denied: DenySet
    private let time: any TimeSource
    /// Tokens whose signature was good: it costs far more than all the rest of a request.
    private let verified = Mutex<[String: AccessTokenClaims]>([:])
    private static let maximumVerified = 8192

    /// A verifier with the caches of its service.
    public init(keys: TokenKeyCache, denied: DenySet, time: any TimeSource = SystemTimeSource()) {
        self.keys = keys
        self.denied = denied
        self.time = time
    }

    /// The claims of a good token; otherwise a 401, or a 503 while no key of auth has ever been fetched or nobody knows what is revoked by now.
    public func verify(_ token: String) async throws -> AccessTokenClaims {
        let now = time.now()
        if let claims = verified.withLock({ $0[token] }) {
            guard now.seconds < claims.expiresAt else {
                verified.withLock { _ = $0.removeValue(forKey: token) }
                throw Self.refusal(.expired)
            }
            return try admitted(claims)
        }
        let claims: AccessTokenClaims
        do {
            claims = try check(token, now)
        } catch .unknownKey {
            await keys.refetch()
            if keys.isEmpty { throw Problem.unavailable(code: "authentication_unavailable", detail: "Tokens cannot be checked right now.") }
            do { claims = try check(token, now) } catch { throw Self.refusal(error) }
        } catch {
            throw Self.refusal(error)
        }
        verified.withLock { verified in
            if verified.count >= Self.maximumVerified { verified.removeAll(keepingCapacity: true) }
            verified[token] = claims
        }
        return try admitted(claims)
    }

    private func check(_ token: String, _ now: Timestamp) throws(JWTError) -> AccessTokenClaims {
        try JWT.verify(
            token,
            as: AccessTokenClaims.self,
            keys: { keys.key($0) },
            now: now,
            audience: AccessTokenClaims.audience,
            issuer: AccessTokenClaims.issuer
        )
    }

    private func admitted(_ claims: AccessTokenClaims) throws -> AccessTokenClaims {
        guard !denied.denies(session: claims.sessionID, user: claims.userID, version: claims.userVersion) else {
            throw Problem.unauthorized(code: "token_revoked", detail: "This session has ended; log in again.")
        }
        guard denied.isCurrent(at: time.monotonicNanoseconds()) else {
            throw Problem.unavailable(code: "auth_unavailable", detail: "Whether this session has ended cannot be found out right now.")
        }
        return claims
    }

    private static func refusal(_ error: JWTError) -> Problem {
        switch error {
        case .expired: .unauthorized(code: "token_expired", detail: "The access token has expired; refresh it.")
        default: .unauthorized(code: "invalid_token", detail: "The access token is not valid.")
        }
    }
}
