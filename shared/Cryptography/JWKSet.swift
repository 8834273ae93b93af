import Contracts

/// A JSON Web Key Set (RFC 7517 section 5).
public struct JWKSet: Sendable, Hashable, Codable {
    /// The keys, in the order of the document.
    public var keys: [JWK]

    /// A set of these keys.
    public init(keys: [JWK]) { self.keys = keys }

    /// The set in a JSON document.
    public init(json: [UInt8]) throws(CryptographyError) {
        do {
            self = try WireJSON.decode(JWKSet.self, from: json)
        } catch {
            throw .malformedJWK("the document is not a JSON Web Key Set")
        }
    }

    /// The set as JSON with sorted keys.
    public func json() throws(CryptographyError) -> [UInt8] {
        do {
            return try WireJSON.encode(self)
        } catch {
            throw .libraryFailed(operation: "WireJSON.encode")
        }
    }

    /// The usable keys by `kid`: keys of other kinds and uses, and keys without a name, are passed over as RFC 7517 asks.
    public func verifyingKeys() -> [String: VerifyingKey] {
        var found: [String: VerifyingKey] = [:]
        for key in keys {
            guard let keyID = key.keyID, key.use ?? "sig" == "sig", key.algorithm ?? JWT.algorithm == JWT.algorithm,
                let verifyingKey = try? VerifyingKey(jwk: key)
            else { continue }
            found[keyID] = verifyingKey
        }
        return found
    }
}
