import COpenSSL

/// A P-256 public key that checks ES256 signatures.
public struct VerifyingKey: Sendable {
    private let handle: KeyHandle
    private let x: [UInt8]
    private let y: [UInt8]
    /// The RFC 7638 thumbprint of the key.
    public let keyID: String

    init(x: [UInt8], y: [UInt8]) throws(CryptographyError) {
        self.handle = try KeyHandle.publicKey(x: x, y: y)
        self.x = x
        self.y = y
        self.keyID = JWK.thumbprint(of: ["kty": "EC", "crv": "P-256", "x": Base64URL.encode(x), "y": Base64URL.encode(y)])
    }

    /// The key of a JSON Web Key; refused unless it is an EC key on P-256 whose point is on the curve.
    public init(jwk: JWK) throws(CryptographyError) {
        guard jwk.keyType == "EC", jwk.curve == "P-256" else { throw .notP256 }
        guard let x = jwk.x.flatMap({ Base64URL.decode($0) }) else { throw .malformedJWK("x is missing or not base64url") }
        guard let y = jwk.y.flatMap({ Base64URL.decode($0) }) else { throw .malformedJWK("y is missing or not base64url") }
        try self.init(x: x, y: y)
    }

    /// The key as a JSON Web Key with its thumbprint as `kid`; `service` names the owner in `services.jwks`.
    public func jwk(service: String? = nil) -> JWK {
        JWK(
            keyType: "EC",
            curve: "P-256",
            x: Base64URL.encode(x),
            y: Base64URL.encode(y),
            keyID: keyID,
            use: "sig",
            algorithm: JWT.algorithm,
            service: service
        )
    }

    /// Whether the 64 raw bytes (r ‖ s) are this key's ES256 signature of the message; false for any malformed signature.
    public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
        guard let encoded = ECDSASignature.encoded(fromRaw: signature), let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, handle.pointer) == 1 else { return false }
        let outcome = EVP_DigestVerify(context, encoded, encoded.count, message, message.count)
        // A wrong signature leaves an entry in this thread's error queue, which would grow and mislead the next failure.
        if outcome != 1 { ERR_clear_error() }
        return outcome == 1
    }
}
