public import Contracts

/// The claims by which one service shows another who it is, for a minute.
public struct ServiceTokenClaims: TokenClaims, Hashable {
    /// `svc+jwt`
    public static let tokenType = "svc+jwt"
    /// How long a token is good, in seconds.
    public static let lifetimeSeconds: Int64 = 60

    /// `iss`: the calling service.
    public var issuer: String
    /// `aud`: the called service.
    public var audience: String
    /// `iat`, seconds since 1970.
    public var issuedAt: Int64
    /// `exp`, seconds since 1970.
    public var expiresAt: Int64
    /// `jti`: names this token in logs.
    public var tokenID: String

    /// The calling service.
    public var service: String { issuer }

    /// Claims that start now.
    public init(service: String, audience: String, now: Timestamp) {
        self.issuer = service
        self.audience = audience
        self.issuedAt = now.seconds
        self.expiresAt = now.seconds + Self.lifetimeSeconds
        self.tokenID = RandomToken.base62(16)
    }

    enum CodingKeys: String, CodingKey {
        case issuer = "iss"
        case audience = "aud"
        case issuedAt = "iat"
        case expiresAt = "exp"
        case tokenID = "jti"
    }
}
