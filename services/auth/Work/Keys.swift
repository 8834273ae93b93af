import Contracts
import Cryptography
import ServiceRuntime

/// A key together with its text, which nobody sees again.
struct NewKey: Sendable {
    let key: APIKey
    let text: APIKeyText
}

/// Makes, changes, replaces and ends API keys.
struct Keys: Sendable {
    let store: any AuthStore
    let time: any TimeSource

    /// A new key for the user's account.
    func create(
        name: String,
        scopes: [String],
        expiresAt: Timestamp?,
        requestsPerMinute: Int? = nil,
        credits: Int64? = nil,
        for user: User,
        origin: RequestOrigin,
        in transaction: any AuthTransaction
    ) async throws -> NewKey {
        let now = time.now()
        var budget = KeyBudget()
        let hasBudget = try budget.change(requestsPerMinute: requestsPerMinute.map { .set($0) } ?? .keep, credits: credits.map { .set($0) } ?? .keep)
        let made = Self.make(
            name: try APIKey.name(name),
            scopes: try KeyScope.parse(scopes, roles: user.roles),
            expiresAt: try APIKey.end(expiresAt, at: now),
            budget: budget,
            for: user,
            at: now
        )
        // The user's row is the lock under which the keys are counted.
        _ = try await transaction.user(user.id, locking: true)
        guard try await transaction.openKeyCount(of: user.accountID, at: now) < APIKey.maximumPerAccount else {
            throw AuthError.tooManyKeys(maximum: APIKey.maximumPerAccount)
        }
        try await transaction.insert(made.key)
        if hasBudget { try await transaction.write(budget, of: made.key.budgetID) }
        let facts: [String: JSONValue] = ["prefix": .string(made.key.prefix), "scopes": .array(made.key.scopes.map(JSONValue.string))]
        try await transaction.record(entry(.keyCreated, made.key, user, origin, facts.merging(budget.facts) { fact, _ in fact }))
        try await transaction.announce(made.key.changed, version: made.key.generation)
        return made
    }

    /// The account's keys, newest first.
    func list(of user: User, after: APIKeyID?, limit: Int) async throws -> [APIKey] {
        try await store.transaction { try await $0.keys(of: user.accountID, after: after, limit: limit) }
    }

    /// One of the account's keys.
    func key(_ id: APIKeyID, of user: User) async throws -> APIKey {
        try await store.transaction { try await $0.ownKey(id, of: user, locking: false) }
    }

    /// Renames a key, switches it off or on, says what it may use up.
    func update(
        _ id: APIKeyID,
        name: String?,
        enabled: Bool?,
        requestsPerMinute: LimitChange<Int> = .keep,
        credits: LimitChange<Int64> = .keep,
        of user: User,
        origin: RequestOrigin,
        in transaction: any AuthTransaction
    ) async throws -> APIKey {
        var key = try await transaction.ownKey(id, of: user, locking: true)
        if requestsPerMinute != .keep || credits != .keep {
            // Under its own lock: the services take credits meanwhile, and what was read with the key may be a block too much.
            key.budget = try await transaction.budget(key.budgetID, locking: true) ?? KeyBudget()
        }
        let before = key
        if let name { key.name = try APIKey.name(name) }
        // A key with a successor works on until its end: an owner who switches it off must not read that it was done. DELETE ends it.
        if enabled != nil, key.state != .active, key.state != .disabled { throw AuthError.keyNotActive }
        if let enabled, enabled != (key.state == .active) { try key.setEnabled(enabled, at: time.now()) }
        let budgetChanged = try key.budget.change(requestsPerMinute: requestsPerMinute, credits: credits)
        if budgetChanged {
            guard key.isOpen(at: time.now()) else { throw AuthError.keyNotActive }
            try await transaction.write(key.budget, of: key.budgetID)
            key.generation = max(key.generation, before.generation + 1)
            // What was known of the other keys that spend it is void as well.
            for var other in try await transaction.keys(sharing: key.budgetID) where other.id != key.id && other.isOpen(at: time.now()) {
                other.generation += 1
                try await transaction.update(other)
                try await transaction.announce(other.changed, version: other.generation)
            }
        }
        guard key != before else { return before }
        try await transaction.update(key)
        var facts: [String: JSONValue] = ["state": .string(key.state.rawValue)]
        if budgetChanged { facts.merge(key.budget.facts) { fact, _ in fact } }
        try await transaction.record(entry(.keyUpdated, key, user, origin, facts))
        if key.generation != before.generation { try await transaction.announce(key.changed, version: key.generation) }
        return key
    }

    /// Ends a key for good; ending it again changes nothing.
    func revoke(_ id: APIKeyID, of user: User, origin: RequestOrigin, in transaction: any AuthTransaction) async throws {
        var key = try await transaction.ownKey(id, of: user, locking: true)
        guard key.state != .revoked else { return }
        key.revoke()
        try await transaction.update(key)
        try await transaction.record(entry(.keyRevoked, key, user, origin, [:]))
        try await transaction.announce(key.changed, version: key.generation)
    }

    /// A successor with the same name, scopes, end and budget; the old key works on for the overlap, and both spend that one budget.
    func reroll(
        _ id: APIKeyID,
        overlap: RerollOverlap,
        of user: User,
        origin: RequestOrigin,
        in transaction: any AuthTransaction
    ) async throws -> NewKey {
        let now = time.now()
        // The user's row is the lock under which the keys are counted; as everywhere it is taken before a key's.
        _ = try await transaction.user(user.id, locking: true)
        var old = try await transaction.ownKey(id, of: user, locking: true)
        let made = Self.make(
            name: old.name,
            scopes: old.scopes,
            expiresAt: old.expiresAt,
            firstID: old.budgetID,
            budget: old.budget,
            for: user,
            at: now
        )
        try old.reroll(successor: made.key.id, overlap: overlap, at: now)
        // Without an overlap the successor takes the old key's place in the count.
        if overlap != .none, try await transaction.openKeyCount(of: user.accountID, at: now) >= APIKey.maximumPerAccount {
            throw AuthError.tooManyKeys(maximum: APIKey.maximumPerAccount)
        }
        try await transaction.insert(made.key)
        try await transaction.update(old)
        try await transaction.record(
            entry(
                .keyRerolled,
                old,
                user,
                origin,
                ["successor": .string(made.key.id.description), "overlap_seconds": .integer(overlap.rawValue)]
            )
        )
        try await transaction.announce(made.key.changed, version: made.key.generation)
        try await transaction.announce(old.changed, version: old.generation)
        return made
    }

    /// What the other services may let a presented key do.
    func verdict(on sha256: SHA256Digest) async throws -> KeyVerdict {
        let found = try await store.transaction { try await $0.key(sha256: sha256) }
        return KeyVerdict.decide(key: found?.key, owner: found?.owner, now: time.now())
    }

    private static func make(
        name: String,
        scopes: [String],
        expiresAt: Timestamp?,
        firstID: APIKeyID? = nil,
        budget: KeyBudget,
        for user: User,
        at now: Timestamp
    ) -> NewKey {
        let text = APIKeyText.make()
        let key = APIKey(
            id: .make(),
            accountID: user.accountID,
            userID: user.id,
            name: name,
            sha256: text.sha256,
            prefix: text.prefix,
            scopes: scopes,
            state: .active,
            expiresAt: expiresAt,
            createdAt: now,
            generation: 1,
            firstID: firstID,
            budget: budget
        )
        return NewKey(key: key, text: text)
    }

    private func entry(
        _ action: AuditEntry.Action,
        _ key: APIKey,
        _ user: User,
        _ origin: RequestOrigin,
        _ detail: [String: JSONValue]
    ) -> AuditEntry {
        AuditEntry(
            action,
            accountID: user.accountID,
            actorID: user.id,
            subject: key.id.description,
            detail: detail,
            origin: origin,
            at: time.now()
        )
    }
}

extension AuthTransaction {
    /// A key of the user's account; somebody else's does not exist for the caller.
    fileprivate func ownKey(_ id: APIKeyID, of user: User, locking: Bool) async throws -> APIKey {
        guard let found = try await key(id, locking: false), found.accountID == user.accountID else { throw AuthError.notFound }
        guard locking else { return found }
        // The first of the line is locked before any other, so that changes of what they share go one after another.
        if found.budgetID != id { _ = try await key(found.budgetID, locking: true) }
        return try await key(id, locking: true) ?? found
    }
}

extension KeyBudget {
    /// For the audit log.
    fileprivate var facts: [String: JSONValue] {
        var facts: [String: JSONValue] = [:]
        if version > 0 {
            facts["requests_per_minute"] = requestsPerMinute.map { .integer(Int64($0)) } ?? .null
            facts["credits"] = credits.map { .integer($0) } ?? .null
        }
        return facts
    }
}
