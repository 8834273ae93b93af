import Contracts

/// One JSON Web Key (RFC 7517), as much of it as elliptic-curve keys need.
public struct JWK: Sendable, Hashable, Codable {
    /// `EC` for the keys used here.
    public var keyType: String
    /// The curve: `P-256`.
    public var curve: String?
    /// First coordinate, base64url.
    public var x: String?
    /// Second coordinate, base64url.
    public var y: String?
    /// The name by which a token's header asks for the key.
    public var keyID: String?
    /// `sig` for the keys used here.
    public var use: String?
    /// The only algorithm that the key may be used with.
    public var algorithm: String?
    /// The service that owns the key, in `services.jwks`.
    public var service: String?

    enum CodingKeys: String, CodingKey {
        case keyType = "kty"
        case curve = "crv"
        case x, y
        case keyID = "kid"
        case use
        case algorithm = "alg"
        case service = "auspex_service"
    }

    /// The RFC 7638 thumbprint over a key's required members: base64url of the SHA-256 of their JSON, sorted and without blanks.
    static func thumbprint(of requiredMembers: [String: String]) -> String {
        // The values are base64url and fixed names: nothing in them needs escaping.
        let members = requiredMembers.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\"\($0.value)\"" }
        return Base64URL.encode(SHA256.digest(utf8: "{" + members.joined(separator: ",") + "}").bytes)
    }
}
