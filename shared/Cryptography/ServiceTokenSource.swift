public import Contracts
import Synchronization

/// Signs the tokens by which this service calls the others, and keeps each until it has 15 s left.
public final class ServiceTokenSource: Sendable {
    private static let renewBeforeEndSeconds: Int64 = 15

    private struct Cached {
        var token: String
        var expiresAt: Int64
    }

    /// The name of this service.
    public let service: String
    private let key: SigningKey
    private let cache = Mutex<[String: Cached]>([:])

    /// A source for the service that owns the key.
    public init(service: String, key: SigningKey) {
        self.service = service
        self.key = key
    }

    /// A source whose key is in a PEM file.
    public convenience init(service: String, keyFile path: String) throws(CryptographyError) {
        self.init(service: service, key: try SigningKey(pem: String(decoding: SecretFile.read(path), as: UTF8.self)))
    }

    /// A token for calls to `audience` that is good for 15 s at least.
    public func token(audience: String, now: Timestamp = .now()) throws -> String {
        let current = cache.withLock { $0[audience] }
        if let current, current.expiresAt - now.seconds > Self.renewBeforeEndSeconds,
            current.expiresAt - now.seconds <= ServiceTokenClaims.lifetimeSeconds
        {
            return current.token
        }
        let claims = ServiceTokenClaims(service: service, audience: audience, now: now)
        let token = try JWT.sign(claims, with: key)
        cache.withLock { $0[audience] = Cached(token: token, expiresAt: claims.expiresAt) }
        return token
    }
}
