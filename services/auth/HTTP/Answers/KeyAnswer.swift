import Contracts
import Cryptography

/// An API key in its owner's list.
struct KeyAnswer: Codable, Sendable {
    let id: APIKeyID
    let name: String
    let prefix: String
    let scopes: [String]
    let state: KeyChanged.State
    let expiresAt: Timestamp?
    let createdAt: Timestamp
    let lastUsedAt: Timestamp?
    let successorID: APIKeyID?
    /// Absent: the platform's default.
    let requestsPerMinute: Int?
    /// What no service has taken yet; absent: not counted.
    let credits: Int64?

    init(_ key: APIKey) {
        id = key.id
        name = key.name
        prefix = key.prefix
        scopes = key.scopes
        state = key.state
        expiresAt = key.expiresAt
        createdAt = key.createdAt
        lastUsedAt = key.lastUsedAt
        successorID = key.successorID
        requestsPerMinute = key.budget.requestsPerMinute
        credits = key.budget.credits
    }
}

/// The one answer that holds a key's text; its replay says that the text was shown before.
struct NewKeyAnswer: Codable, Sendable {
    let id: APIKeyID
    var key: String?
    var secretAlreadyShown: Bool
    let apiKey: KeyAnswer

    init(_ made: NewKey) {
        id = made.key.id
        key = made.text.text
        secretAlreadyShown = false
        apiKey = KeyAnswer(made.key)
    }
}
