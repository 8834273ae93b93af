public import Contracts

/// Signed tokens (RFC 7519) with one fixed algorithm, ES256: what the header says never chooses how a token is checked.
public enum JWT {
    /// The only algorithm.
    public static let algorithm = "ES256"
    /// Longer texts are refused before any work.
    public static let maximumBytes = 16 * 1024
    /// How far two machines' clocks may differ, in seconds.
    public static let defaultLeewaySeconds: Int64 = 5

    private struct Header: Codable {
        var alg: String
        var kid: String?
        var typ: String?
        var crit: [String]?
    }

    /// A token of these claims; `type` becomes the header's `typ`.
    public static func sign<Claims: Encodable>(_ claims: Claims, with key: SigningKey, type: String) throws -> String {
        let header = try WireJSON.encode(Header(alg: algorithm, kid: key.keyID, typ: type))
        let signingInput = try Base64URL.encode(header) + "." + Base64URL.encode(WireJSON.encode(claims))
        let signature = try key.signature(for: [UInt8](signingInput.utf8))
        return signingInput + "." + Base64URL.encode(signature)
    }

    /// A token of these claims, with the `typ` of their kind.
    public static func sign<Claims: TokenClaims>(_ claims: Claims, with key: SigningKey) throws -> String {
        try sign(claims, with: key, type: Claims.tokenType)
    }

    /// The claims of a token, after every check: form, algorithm, type, key, signature, audience, issuer, times.
    ///
    /// `keys` finds a key by `kid`; `.unknownKey` tells a cache that it may fetch the keys anew and try once more.
    public static func verify<Claims: TokenClaims>(
        _ token: String,
        as kind: Claims.Type = Claims.self,
        keys: (String) -> VerifyingKey?,
        now: Timestamp,
        audience: String,
        issuer: String,
        leewaySeconds: Int64 = defaultLeewaySeconds
    ) throws(JWTError) -> Claims {
        let claims: Claims = try verifySignature(token, keys: keys)
        guard constantTimeEquals(claims.audience, audience) else { throw .wrongAudience }
        guard claims.issuer == issuer else { throw .wrongIssuer }
        try checkTimes(claims, now: now, leewaySeconds: leewaySeconds)
        return claims
    }

    /// Checks form, algorithm, type, key and signature, and leaves audience, issuer and times to the caller.
    static func verifySignature<Claims: TokenClaims>(_ token: String, keys: (String) -> VerifyingKey?) throws(JWTError) -> Claims {
        let bytes = [UInt8](token.utf8)
        guard bytes.count <= maximumBytes else { throw .malformed }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let headerBytes = Base64URL.decode(parts[0]), let claimBytes = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2]), let header = try? WireJSON.decode(Header.self, from: headerBytes)
        else { throw .malformed }
        guard header.alg == algorithm else { throw .algorithmRefused }
        guard header.crit == nil else { throw .criticalExtension }
        guard header.typ == Claims.tokenType else { throw .wrongType }
        guard let keyID = header.kid, !keyID.isEmpty else { throw .keyIDMissing }
        guard let key = keys(keyID) else { throw .unknownKey(keyID) }
        let signingInput = Array(bytes.prefix(parts[0].count + 1 + parts[1].count))
        guard key.isValid(signature: signature, for: signingInput) else { throw .badSignature }
        guard let claims = try? WireJSON.decode(Claims.self, from: claimBytes) else { throw .malformed }
        return claims
    }

    static func checkTimes(_ claims: some TokenClaims, now: Timestamp, leewaySeconds: Int64) throws(JWTError) {
        let leeway = leewaySeconds * 1_000_000
        let nowMicroseconds = now.microseconds
        guard let end = microseconds(claims.expiresAt), let made = microseconds(claims.issuedAt) else { throw .malformed }
        guard nowMicroseconds < end + leeway else { throw .expired }
        guard made <= nowMicroseconds + leeway else { throw .notYetValid }
        if let notBefore = claims.notBefore {
            guard let begin = microseconds(notBefore) else { throw .malformed }
            guard begin <= nowMicroseconds + leeway else { throw .notYetValid }
        }
    }

    /// Nil for a number of seconds that is negative or far beyond the year 9999: sums with it could overflow.
    private static func microseconds(_ seconds: Int64) -> Int64? {
        (0...253_402_300_800).contains(seconds) ? seconds * 1_000_000 : nil
    }
}
