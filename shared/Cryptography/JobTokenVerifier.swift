public import Contracts

/// Checks job tokens: signed by the scheduler's service key and by no other service's.
public struct JobTokenVerifier: Sendable {
    private let keys: ServiceKeys

    /// A verifier that knows these keys.
    public init(keys: ServiceKeys) { self.keys = keys }

    /// A verifier of the keys in a file.
    public init(path: String) throws(CryptographyError) { self.keys = try ServiceKeys(path: path) }

    /// The claims of a token that has not ended.
    public func verify(_ token: String, now: Timestamp = .now()) throws(JWTError) -> JobTokenClaims {
        try JWT.verify(
            token,
            keys: { keys.key($0, of: JobTokenClaims.issuer) },
            now: now,
            audience: JobTokenClaims.audience,
            issuer: JobTokenClaims.issuer
        )
    }
}
