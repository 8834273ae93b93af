import Contracts

/// What a service learns about a presented API key.
struct KeyVerdict: Sendable, Hashable {
    /// Why a key may or may not be used; the words are part of the protocol between the services.
    enum Outcome: String, Sendable, Codable, CaseIterable {
        case valid = "VALID"
        case notFound = "NOT_FOUND"
        case disabled = "DISABLED"
        case expired = "EXPIRED"
        case usageExceeded = "USAGE_EXCEEDED"
        case rateLimited = "RATE_LIMITED"
        case insufficientPermissions = "INSUFFICIENT_PERMISSIONS"
    }

    let outcome: Outcome
    /// Nil when no key has this hash.
    let key: APIKey?
    /// The owner's roles.
    let roles: [Role]

    /// The verdict on what the store holds, in the fixed order: exists, enabled, not expired.
    ///
    /// Rates and scopes depend on the request and are checked by the service that serves it.
    static func decide(key: APIKey?, owner: User?, now: Timestamp) -> KeyVerdict {
        guard let key, let owner, key.state != .revoked else { return KeyVerdict(outcome: .notFound, key: nil, roles: []) }
        if key.state == .disabled || owner.isDisabled { return KeyVerdict(outcome: .disabled, key: key, roles: owner.roles) }
        if key.hasExpired(at: now) { return KeyVerdict(outcome: .expired, key: key, roles: owner.roles) }
        return KeyVerdict(outcome: .valid, key: key, roles: owner.roles)
    }
}
