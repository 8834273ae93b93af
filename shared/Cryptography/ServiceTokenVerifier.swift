public import Contracts

/// Checks the tokens of calling services against `services.jwks`.
public struct ServiceTokenVerifier: Sendable {
    private let keys: ServiceKeys

    /// A verifier that knows these keys.
    public init(keys: ServiceKeys) { self.keys = keys }

    /// A verifier of the keys in a set.
    public init(jwks: JWKSet) throws(CryptographyError) { self.keys = try ServiceKeys(jwks) }

    /// A verifier of the keys in a file.
    public init(path: String) throws(CryptographyError) { self.keys = try ServiceKeys(path: path) }

    /// The claims of a token for `audience`; the issuer must be the owner of the key that signed it.
    public func verify(_ token: String, audience: String, now: Timestamp = .now()) throws(JWTError) -> ServiceTokenClaims {
        var owner: String?
        let claims: ServiceTokenClaims = try JWT.verifySignature(token) { keyID in
            owner = keys.service(of: keyID)
            return keys.key(keyID)
        }
        guard claims.issuer == owner else { throw .wrongIssuer }
        guard claims.audience == audience else { throw .wrongAudience }
        try JWT.checkTimes(claims, now: now, leewaySeconds: JWT.defaultLeewaySeconds)
        // A service key must not be able to mint lasting tokens, whatever its holder writes into `exp`.
        guard claims.expiresAt - claims.issuedAt <= ServiceTokenClaims.lifetimeSeconds else { throw .malformed }
        return claims
    }
}
