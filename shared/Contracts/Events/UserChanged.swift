/// A user came to be, changed roles, was disabled or had all tokens revoked.
public struct UserChanged: EventBody, Hashable {
    /// `auth.user.changed.v1`.
    public static let eventType = "auth.user.changed.v1"
    /// The user.
    public let userID: UserID
    /// The account that the user acts for.
    public let accountID: AccountID
    /// Access tokens with a lower `user_version` are refused.
    public let userVersion: Int64
    /// `provider`, `subscriber`, `admin`.
    public let roles: [String]
    /// Whether every token is refused.
    public let disabled: Bool

    /// The user.
    public var subject: String { userID.description }

    /// All fields.
    public init(
        userID: UserID,
        accountID: AccountID,
        userVersion: Int64,
        roles: [String],
        disabled: Bool
    ) {
        self.userID = userID
        self.accountID = accountID
        self.userVersion = userVersion
        self.roles = roles
        self.disabled = disabled
    }
}
