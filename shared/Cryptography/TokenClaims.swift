/// The claims of one kind of token: what is checked for all kinds, and the `typ` that keeps the kinds apart.
public protocol TokenClaims: Codable, Sendable {
    /// The header's `typ`, so that no kind of token passes for another.
    static var tokenType: String { get }
    /// `iss`
    var issuer: String { get }
    /// `aud`
    var audience: String { get }
    /// `iat`, seconds since 1970.
    var issuedAt: Int64 { get }
    /// `exp`, seconds since 1970: from this second on the token is refused.
    var expiresAt: Int64 { get }
    /// `nbf`, seconds since 1970; nil when the token is good from `iat` on.
    var notBefore: Int64? { get }
}

extension TokenClaims {
    /// Nil: the kinds used here carry no `nbf`.
    public var notBefore: Int64? { nil }
}
