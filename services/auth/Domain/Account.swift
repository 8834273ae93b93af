import Contracts

/// What owns things: a person, later also an organisation.
struct Account: Sendable, Hashable {
    /// What kind of owner.
    enum Kind: String, Sendable, Codable {
        case person
        case organisation
    }

    let id: AccountID
    let kind: Kind
    let name: String
    let createdAt: Timestamp
}
