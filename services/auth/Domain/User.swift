import Contracts

/// Somebody who can log in, as the store keeps it.
struct User: Sendable, Hashable {
    let id: UserID
    /// The account that the user acts for and that owns what is made.
    let accountID: AccountID
    var email: EmailAddress
    var displayName: String
    /// bcrypt; never leaves the service.
    var passwordHash: String
    var passwordChangedAt: Timestamp
    var roles: [Role]
    /// Raised with every change of roles, of `disabledAt`, and when all tokens are revoked; older access tokens are refused.
    var version: Int64
    /// When `version` was raised last.
    var versionRaisedAt: Timestamp
    /// Nil while the user may log in.
    var disabledAt: Timestamp?
    let createdAt: Timestamp

    var isDisabled: Bool { disabledAt != nil }

    /// The event that tells the other services of this state.
    var changed: UserChanged {
        UserChanged(userID: id, accountID: accountID, userVersion: version, roles: roles.names, disabled: isDisabled)
    }

    /// Voids every access token made so far.
    mutating func raiseVersion(at now: Timestamp) {
        version += 1
        versionRaisedAt = now
    }

    static let maximumDisplayNameCharacters = 100

    /// A display name in its stored form; control characters would forge lines wherever the name is shown.
    static func displayName(_ input: String) throws(AuthError) -> String {
        let words = input.split(separator: " ", omittingEmptySubsequences: true)
        let name = words.joined(separator: " ")
        guard (1...maximumDisplayNameCharacters).contains(name.count), name.utf8.count <= 4 * maximumDisplayNameCharacters else {
            throw .invalid(
                field: "display_name",
                code: "invalid_value",
                detail: "A display name has 1 to \(maximumDisplayNameCharacters) characters."
            )
        }
        guard !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control || $0.properties.generalCategory == .format }) else {
            throw .invalid(field: "display_name", code: "invalid_value", detail: "A display name holds no control characters.")
        }
        return name
    }

    /// The roles that somebody may choose; `kept` are those that only an administrator gives and takes.
    static func chosenRoles(_ input: [Role], keeping kept: [Role] = []) throws(AuthError) -> [Role] {
        let chosen = Set(input)
        guard !chosen.isEmpty, chosen.isSubset(of: Role.selfChosen) else {
            throw .invalid(field: "roles", code: "invalid_value", detail: "Roles to choose from: provider, subscriber; at least one.")
        }
        return chosen.union(kept.filter { !Role.selfChosen.contains($0) }).sorted()
    }
}
