import Contracts

/// A user as its owner sees it.
struct UserAnswer: Encodable, Sendable {
    let id: UserID
    let accountID: AccountID
    let email: String
    let displayName: String
    let roles: [String]
    let createdAt: Timestamp
    let passwordChangedAt: Timestamp

    init(_ user: User) {
        id = user.id
        accountID = user.accountID
        email = user.email.text
        displayName = user.displayName
        roles = user.roles.names
        createdAt = user.createdAt
        passwordChangedAt = user.passwordChangedAt
    }
}
