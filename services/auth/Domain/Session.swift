import Contracts
import Cryptography

/// One login, from the password to the logout: the family of its refresh tokens.
struct Session: Sendable, Hashable {
    let id: SessionID
    let userID: UserID
    let accountID: AccountID
    let createdAt: Timestamp
    /// When it was refreshed last.
    var lastUsedAt: Timestamp
    /// When it ends whatever happens.
    let endsAt: Timestamp
    /// When the last access token of the session ends by itself.
    var tokenExpiresAt: Timestamp
    /// Where it was opened from.
    let address: String
    /// What the client called itself, cut to 200 characters.
    let userAgent: String
    var revokedAt: Timestamp?
    var revocation: Revocation?

    /// Why a session is over before its time.
    enum Revocation: String, Sendable, Codable {
        case logout
        /// By its owner, from the list of sessions.
        case owner
        case passwordChanged = "password_changed"
        /// A refresh token came twice: somebody copied it.
        case refreshReused = "refresh_reused"
        case userDisabled = "user_disabled"
    }

    /// How long a session may be refreshed, in seconds.
    static let lifetimeSeconds: Int64 = 30 * 86_400

    func isLive(at now: Timestamp) -> Bool { revokedAt == nil && now < endsAt }

    /// Ends the session; the event tells the verifiers of its tokens.
    mutating func revoke(_ reason: Revocation, at now: Timestamp) -> SessionRevoked {
        revokedAt = now
        revocation = reason
        return SessionRevoked(sessionID: id, userID: userID, accountID: accountID, tokenExpiresAt: tokenExpiresAt)
    }
}
