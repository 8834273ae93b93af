/// The public keys of the services, by `kid`, as the mounted `services.jwks` lists them.
public struct ServiceKeys: Sendable {
    private struct Entry {
        var service: String
        var key: VerifyingKey
    }
    private var entries: [String: Entry] = [:]

    /// The keys of a set whose every key carries `kid` and `auspex_service`; a service may have several while it changes its key.
    public init(_ set: JWKSet) throws(CryptographyError) {
        for jwk in set.keys {
            guard let keyID = jwk.keyID, let service = jwk.service, !service.isEmpty else {
                throw .malformedServiceKeys("a key has no kid or no auspex_service")
            }
            guard entries[keyID] == nil else { throw .malformedServiceKeys("kid \(keyID) stands twice") }
            entries[keyID] = Entry(service: service, key: try VerifyingKey(jwk: jwk))
        }
    }

    /// The keys in a file.
    public init(path: String) throws(CryptographyError) {
        try self.init(JWKSet(json: try SecretFile.read(path)))
    }

    /// The key of that name, if `service` owns it (any service when nil).
    func key(_ keyID: String, of service: String? = nil) -> VerifyingKey? {
        guard let entry = entries[keyID], service == nil || entry.service == service else { return nil }
        return entry.key
    }

    /// The owner of the key of that name.
    func service(of keyID: String) -> String? { entries[keyID]?.service }
}
