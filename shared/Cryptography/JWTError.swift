/// Why a token was refused; clients are told no more than that it was, logs get the case.
public enum JWTError: Error, Equatable, CustomStringConvertible {
    /// Not three base64url parts of JSON, too long, or a claim is missing or of the wrong type.
    case malformed
    /// The header asks for an algorithm other than ES256 (`none` and `HS256` among them).
    case algorithmRefused
    /// The header's `typ` is not the one this kind of token must have.
    case wrongType
    /// The header demands an extension that is not understood (`crit`).
    case criticalExtension
    /// The header names no key.
    case keyIDMissing
    /// No key of this name is known; a cache of keys may fetch them anew once.
    case unknownKey(String)
    /// The signature is not this key's over these bytes.
    case badSignature
    /// The issuer is not the expected one, or not the owner of the key.
    case wrongIssuer
    /// The token is meant for somebody else.
    case wrongAudience
    /// The token has ended.
    case expired
    /// The token begins, or was made, in the future.
    case notYetValid

    /// A stable word for logs.
    public var description: String {
        switch self {
        case .malformed: "malformed"
        case .algorithmRefused: "algorithm_refused"
        case .wrongType: "wrong_type"
        case .criticalExtension: "critical_extension"
        case .keyIDMissing: "key_id_missing"
        case .unknownKey: "unknown_key"
        case .badSignature: "bad_signature"
        case .wrongIssuer: "wrong_issuer"
        case .wrongAudience: "wrong_audience"
        case .expired: "expired"
        case .notYetValid: "not_yet_valid"
        }
    }
}
