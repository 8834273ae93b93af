/// An account exists.
public struct AccountCreated: EventBody, Hashable {
    /// `auth.account.created.v1`.
    public static let eventType = "auth.account.created.v1"
    /// The account.
    public let accountID: AccountID
    /// Who registered it.
    public let userID: UserID
    /// `provider`, `subscriber`, `admin`.
    public let roles: [String]

    /// The account.
    public var subject: String { accountID.description }

    /// All fields.
    public init(
        accountID: AccountID,
        userID: UserID,
        roles: [String]
    ) {
        self.accountID = accountID
        self.userID = userID
        self.roles = roles
    }
}
