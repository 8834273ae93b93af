public import Contracts

/// The claims of a person's access token, which auth signs and every service verifies by auth's JWKS.
public struct AccessTokenClaims: TokenClaims, Hashable {
    /// `at+jwt`
    public static let tokenType = "at+jwt"
    /// The only issuer of access tokens.
    public static let issuer = "auspex-auth"
    /// The audience of access tokens: all of Auspex.
    public static let audience = "auspex"
    /// How long a token is good, in seconds.
    public static let lifetimeSeconds: Int64 = 15 * 60

    /// `sub`: the person.
    public var userID: UserID
    /// The account that the person acts for, which owns what is made.
    public var accountID: AccountID
    /// The login that the token stems from; revoking it ends the token.
    public var sessionID: SessionID
    /// Raised when roles change or the user is disabled; a token with a lower one than the latest known is refused.
    public var userVersion: Int64
    /// What the person may do: `provider`, `subscriber`, `admin`.
    public var roles: [String]
    /// `iss`
    public var issuer: String
    /// `aud`
    public var audience: String
    /// `iat`, seconds since 1970.
    public var issuedAt: Int64
    /// `exp`, seconds since 1970.
    public var expiresAt: Int64

    /// Claims that start now and last `lifetimeSeconds`.
    public init(
        userID: UserID,
        accountID: AccountID,
        sessionID: SessionID,
        userVersion: Int64,
        roles: [String],
        now: Timestamp,
        lifetimeSeconds: Int64 = AccessTokenClaims.lifetimeSeconds
    ) {
        self.userID = userID
        self.accountID = accountID
        self.sessionID = sessionID
        self.userVersion = userVersion
        self.roles = roles
        self.issuer = Self.issuer
        self.audience = Self.audience
        self.issuedAt = now.seconds
        self.expiresAt = now.seconds + lifetimeSeconds
    }

    enum CodingKeys: String, CodingKey {
        case userID = "sub"
        case accountID = "account_id"
        case sessionID = "sid"
        case userVersion = "user_version"
        case roles
        case issuer = "iss"
        case audience = "aud"
        case issuedAt = "iat"
        case expiresAt = "exp"
    }
}
