import Contracts
import Cryptography

/// One refresh token as the store keeps it: by its hash, good for one use.
struct RefreshToken: Sendable, Hashable {
    let sha256: SHA256Digest
    let sessionID: SessionID
    let accountID: AccountID
    let issuedAt: Timestamp
    let expiresAt: Timestamp
    var usedAt: Timestamp?

    /// What a client holds: `aur_` and 43 random base62 characters (256 bits).
    static func makeText() -> String { "aur_" + RandomToken.base62(43) }

    /// How a presented text is looked up; nil when it cannot be one of ours.
    static func digest(of text: String) -> SHA256Digest? {
        guard text.utf8.count == 47, text.hasPrefix("aur_") else { return nil }
        return SHA256.digest(utf8: text)
    }
}

/// What is to be done with a presented refresh token: a pure function of what the store holds.
enum RefreshDecision: Sendable, Equatable {
    /// Use it up and issue the next one.
    case rotate
    /// It has been used before, so two parties hold the family: revoke the session.
    case revokeFamily
    /// Refuse it, with nothing to change.
    case refuse(AuthError)

    static func decide(token: RefreshToken, session: Session, user: User, now: Timestamp) -> RefreshDecision {
        // A used token of a session that is over already is an old copy, not news.
        guard session.isLive(at: now) else { return .refuse(.invalidRefreshToken) }
        if token.usedAt != nil { return .revokeFamily }
        guard now < token.expiresAt else { return .refuse(.invalidRefreshToken) }
        guard !user.isDisabled else { return .refuse(.userDisabled) }
        return .rotate
    }
}
