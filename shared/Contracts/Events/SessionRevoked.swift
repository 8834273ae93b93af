/// A login is over before its tokens are.
public struct SessionRevoked: EventBody, Hashable {
    /// `auth.session.revoked.v1`.
    public static let eventType = "auth.session.revoked.v1"
    /// Access tokens with this `sid` are refused.
    public let sessionID: SessionID
    /// Whose session it was.
    public let userID: UserID
    /// The account of that user.
    public let accountID: AccountID
    /// When the last access token of the session ends by itself, so that the deny set can forget it.
    public let tokenExpiresAt: Timestamp

    /// The session.
    public var subject: String { sessionID.description }

    /// All fields.
    public init(
        sessionID: SessionID,
        userID: UserID,
        accountID: AccountID,
        tokenExpiresAt: Timestamp
    ) {
        self.sessionID = sessionID
        self.userID = userID
        self.accountID = accountID
        self.tokenExpiresAt = tokenExpiresAt
    }
}
