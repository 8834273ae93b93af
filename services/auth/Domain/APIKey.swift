import Contracts

/// An API key as the store keeps it: without the key itself.
struct APIKey: Sendable, Hashable {
    let id: APIKeyID
    let accountID: AccountID
    let userID: UserID
    var name: String
    let sha256: SHA256Digest
    /// The first 8 characters, by which its owner knows it.
    let prefix: String
    let scopes: [String]
    var state: KeyChanged.State
    /// Never when nil.
    var expiresAt: Timestamp?
    let createdAt: Timestamp
    /// Written in batches: some seconds behind.
    var lastUsedAt: Timestamp?
    /// Rises with every change; a cached verdict of a lower one is void.
    var generation: Int64
    /// The key that took its place.
    var successorID: APIKeyID?
    /// The first of the keys that took one another's place; nil for the first itself.
    var firstID: APIKeyID?
    /// What it may use up; changed by `write(_:of:)` alone.
    var budget = KeyBudget()

    static let maximumPerAccount = 100
    static let maximumNameCharacters = 100

    /// Names the budget that it spends, which all keys of its line share.
    var budgetID: APIKeyID { firstID ?? id }

    /// The event that tells the other services of this state.
    var changed: KeyChanged {
        KeyChanged(keyID: id, accountID: accountID, keySHA256: sha256, state: state, scopes: scopes, expiresAt: expiresAt, generation: generation)
    }

    /// Whether the key works or could be made to work again.
    func isOpen(at now: Timestamp) -> Bool { state != .revoked && !hasExpired(at: now) }

    func hasExpired(at now: Timestamp) -> Bool { expiresAt.map { $0 <= now } ?? false }

    /// Ends the key for good.
    mutating func revoke() {
        state = .revoked
        generation += 1
    }

    /// Switches the key off or on again; refused once it has ended or has a successor.
    mutating func setEnabled(_ enabled: Bool, at now: Timestamp) throws(AuthError) {
        guard state == .active || state == .disabled, !hasExpired(at: now) else { throw .keyNotActive }
        state = enabled ? .active : .disabled
        generation += 1
    }

    /// Lets the key run out while its successor works already.
    mutating func reroll(successor: APIKeyID, overlap: RerollOverlap, at now: Timestamp) throws(AuthError) {
        guard state == .active, !hasExpired(at: now) else { throw .keyNotActive }
        let end = now + .seconds(overlap.rawValue)
        state = .rerolled
        expiresAt = expiresAt.map { min($0, end) } ?? end
        successorID = successor
        generation += 1
    }

    /// A key's name in its stored form.
    static func name(_ input: String) throws(AuthError) -> String {
        let name = input.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
        guard (1...maximumNameCharacters).contains(name.count), name.utf8.count <= 4 * maximumNameCharacters,
            !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw .invalid(
                field: "name",
                code: "invalid_value",
                detail: "A name has 1 to \(maximumNameCharacters) characters and no control characters."
            )
        }
        return name
    }

    /// The end of a new key.
    static func end(_ input: Timestamp?, at now: Timestamp) throws(AuthError) -> Timestamp? {
        guard let input else { return nil }
        guard input > now, input < now + .seconds(10 * 366 * 86_400) else {
            throw .invalid(field: "expires_at", code: "invalid_value", detail: "A key ends in the future, within ten years; null for never.")
        }
        return input
    }
}

/// How long a rerolled key works beside its successor, in seconds.
enum RerollOverlap: Int64, Sendable, CaseIterable {
    case none = 0
    case hour = 3_600
    case day = 86_400
    case week = 604_800
    case month = 2_592_000

    /// The overlap of that many seconds.
    static func parse(seconds: Int64) throws(AuthError) -> RerollOverlap {
        guard let overlap = RerollOverlap(rawValue: seconds) else {
            throw .invalid(
                field: "overlap_seconds",
                code: "invalid_value",
                detail: "Overlaps: \(allCases.map { String($0.rawValue) }.joined(separator: ", ")) seconds."
            )
        }
        return overlap
    }
}
