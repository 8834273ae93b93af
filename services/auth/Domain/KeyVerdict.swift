import Contracts

/// What a service learns about a presented API key.
struct KeyVerdict: Sendable, Hashable {
    /// Whether a key works; what depends on the request (rates, credits, scopes) is judged by the service that serves it.
    enum Outcome: Sendable, Hashable {
        case valid
        case notFound
        /// Switched off or revoked, or its owner is disabled.
        case disabled
        case expired
    }

    let outcome: Outcome
    /// Nil when no key has this hash.
    let key: APIKey?
    /// The owner's roles.
    let roles: [Role]

    /// The verdict on what the store holds, in the fixed order: exists, enabled, not expired.
    static func decide(key: APIKey?, owner: User?, now: Timestamp) -> KeyVerdict {
        guard let key, let owner else { return KeyVerdict(outcome: .notFound, key: nil, roles: []) }
        if key.state == .disabled || key.state == .revoked || owner.isDisabled { return KeyVerdict(outcome: .disabled, key: key, roles: owner.roles) }
        if key.hasExpired(at: now) { return KeyVerdict(outcome: .expired, key: key, roles: owner.roles) }
        return KeyVerdict(outcome: .valid, key: key, roles: owner.roles)
    }
}
