import Contracts
import Cryptography
import HTTPServing
import Synchronization

/// Reads and writes the rows in memory.
final class InMemoryAuthTransaction: AuthTransaction {
    private let rows: Mutex<InMemoryAuthState>

    init(state: InMemoryAuthState) { rows = Mutex(state) }

    /// What the transaction leaves behind.
    var finished: InMemoryAuthState { rows.withLock { $0 } }

    // MARK: Accounts and users

    func insert(_ account: Account) { rows.withLock { $0.accounts[account.id] = account } }

    func insert(_ user: User) throws { try write(user) }

    func user(email: EmailAddress, locking: Bool) -> User? { rows.withLock { rows in rows.users.values.first { $0.email == email } } }

    func user(_ id: UserID, locking: Bool) -> User? { rows.withLock { $0.users[id] } }

    func update(_ user: User) throws { try write(user) }

    func users(versionRaisedSince since: Timestamp) -> [User] {
        rows.withLock { rows in rows.users.values.filter { $0.version > 1 && $0.versionRaisedAt >= since }.sorted { $0.id < $1.id } }
    }

    private func write(_ user: User) throws {
        try rows.withLock { rows in
            guard !rows.users.values.contains(where: { $0.email == user.email && $0.id != user.id }) else { throw AuthError.emailTaken }
            rows.users[user.id] = user
        }
    }

    // MARK: Sessions

    func insert(_ session: Session) { rows.withLock { $0.sessions[session.id] = session } }

    func session(_ id: SessionID, locking: Bool) -> Session? { rows.withLock { $0.sessions[id] } }

    func update(_ session: Session) { rows.withLock { $0.sessions[session.id] = session } }

    func liveSessions(of user: UserID, at now: Timestamp, after: SessionID?, limit: Int) -> [Session] {
        let live = rows.withLock { rows in rows.sessions.values.filter { $0.userID == user && $0.isLive(at: now) } }
        return Array(live.filter { session in after.map { session.id < $0 } ?? true }.sorted { $0.id > $1.id }.prefix(limit))
    }

    func deniedSessions(at now: Timestamp) -> [Session] {
        rows.withLock { rows in rows.sessions.values.filter { $0.revokedAt != nil && $0.tokenExpiresAt > now }.sorted { $0.id < $1.id } }
    }

    // MARK: Refresh tokens

    func insert(_ token: RefreshToken) { rows.withLock { $0.refreshTokens[token.sha256] = token } }

    func refreshToken(_ sha256: SHA256Digest) -> RefreshToken? { rows.withLock { $0.refreshTokens[sha256] } }

    func use(_ sha256: SHA256Digest, at now: Timestamp) { rows.withLock { $0.refreshTokens[sha256]?.usedAt = now } }

    // MARK: API keys

    func insert(_ key: APIKey) { rows.withLock { $0.keys[key.id] = key } }

    func key(_ id: APIKeyID, locking: Bool) -> APIKey? { rows.withLock { rows in rows.keys[id].map(rows.withBudget) } }

    func key(sha256: SHA256Digest) -> (key: APIKey, owner: User)? {
        rows.withLock { rows in
            guard let key = rows.keys.values.first(where: { $0.sha256 == sha256 }), let owner = rows.users[key.userID] else { return nil }
            return (rows.withBudget(key), owner)
        }
    }

    func update(_ key: APIKey) {
        rows.withLock { rows in
            var changed = key
            changed.lastUsedAt = rows.keys[key.id]?.lastUsedAt
            rows.keys[key.id] = changed
        }
    }

    func keys(of account: AccountID, after: APIKeyID?, limit: Int) -> [APIKey] {
        let owned = rows.withLock { rows in rows.keys.values.filter { $0.accountID == account }.map(rows.withBudget) }
        return Array(owned.filter { key in after.map { key.id < $0 } ?? true }.sorted { $0.id > $1.id }.prefix(limit))
    }

    func openKeys(of user: UserID) -> [APIKey] {
        rows.withLock { rows in
            rows.keys.values.filter { $0.userID == user && $0.state != .revoked }.map(rows.withBudget).sorted { $0.id < $1.id }
        }
    }

    func openKeyCount(of account: AccountID, at now: Timestamp) -> Int {
        rows.withLock { rows in rows.keys.values.count { $0.accountID == account && $0.isOpen(at: now) } }
    }

    func recordUse(of keys: [APIKeyID: Timestamp]) {
        rows.withLock { rows in
            for (id, time) in keys where (rows.keys[id]?.lastUsedAt ?? .distantPast) < time { rows.keys[id]?.lastUsedAt = time }
        }
    }

    func keys(sharing budget: APIKeyID) -> [APIKey] {
        rows.withLock { rows in rows.keys.values.filter { $0.budgetID == budget }.map(rows.withBudget).sorted { $0.id < $1.id } }
    }

    // MARK: Budgets and credits

    func budget(_ id: APIKeyID, locking: Bool) -> KeyBudget? { rows.withLock { $0.budgets[id] } }

    func write(_ budget: KeyBudget, of id: APIKeyID) { rows.withLock { $0.budgets[id] = budget } }

    func creditBlock(_ id: CreditBlockID, locking: Bool) -> CreditBlock? { rows.withLock { $0.creditBlocks[id] } }

    func insert(_ block: CreditBlock) { rows.withLock { $0.creditBlocks[block.id] = block } }

    func update(_ block: CreditBlock) { rows.withLock { $0.creditBlocks[block.id]?.unused = block.unused } }

    // MARK: Token keys

    func lockTokenKeys() {}

    func tokenKeys() -> [TokenKey] { rows.withLock { rows in rows.tokenKeys.values.filter { $0.state != .gone }.sorted { $0.keyID < $1.keyID } } }

    func insert(_ key: TokenKey) { rows.withLock { $0.tokenKeys[key.keyID] = key } }

    func update(_ key: TokenKey) { rows.withLock { $0.tokenKeys[key.keyID] = key } }

    // MARK: Throttling

    func throttle(_ subject: ThrottleSubject) -> ThrottleState? { rows.withLock { $0.throttles[subject] } }

    func setThrottle(_ subject: ThrottleSubject, _ state: ThrottleState?) { rows.withLock { $0.throttles[subject] = state } }

    func isKnown(_ place: LoginPlace) -> Bool { rows.withLock { $0.loginPlaces[place] != nil } }

    func remember(_ place: LoginPlace, at now: Timestamp) {
        rows.withLock { rows in
            rows.loginPlaces[place] = now
            let places = rows.loginPlaces.filter { $0.key.accountSHA256 == place.accountSHA256 }.sorted { $0.value > $1.value }
            for (place, _) in places.dropFirst(LoginPlace.maximumPerAccount) { rows.loginPlaces[place] = nil }
        }
    }

    func forgetLogins(of account: ThrottleSubject) {
        rows.withLock { rows in
            rows.throttles = rows.throttles.filter { $0.key != account && $0.key.accountSHA256 != account.sha256 }
            rows.loginPlaces = rows.loginPlaces.filter { $0.key.accountSHA256 != account.sha256 }
        }
    }

    // MARK: What is said and written down

    func announce<Event: EventBody>(_ event: Event, version: Int64) throws {
        let announced = AnnouncedEvent(type: Event.eventType, subject: event.subject, version: version, data: try WireJSON.value(of: event))
        rows.withLock { $0.events.append(announced) }
    }

    func record(_ entry: AuditEntry) { rows.withLock { $0.audit.append(entry) } }

    func auditEntries(of account: AccountID?, before: AuditID?, limit: Int) -> [AuditEntry] {
        let lines = rows.withLock { rows in rows.audit.filter { account == nil || $0.accountID == account } }
        return Array(lines.filter { line in before.map { line.id < $0 } ?? true }.sorted { $0.id > $1.id }.prefix(limit))
    }

    // MARK: Idempotency

    func claim(_ request: IdempotentRequest) -> Bool { true }

    func answer(to request: IdempotentRequest, since: Timestamp) -> IdempotentAnswer? {
        let kept = rows.withLock { $0.answers[IdempotentSlot(request)] }
        return kept.flatMap { $0.at > since ? $0.answer : nil }
    }

    func remember(_ answer: IdempotentAnswer, to request: IdempotentRequest, at now: Timestamp) {
        rows.withLock { $0.answers[IdempotentSlot(request)] = (answer, now) }
    }

    // MARK: Housekeeping

    func deleteEnded(before now: Timestamp) {
        rows.withLock { rows in
            let ended = Set(rows.sessions.values.filter { $0.endsAt < now - .seconds(Retention.endedSessionSeconds) }.map(\.id))
            rows.sessions = rows.sessions.filter { !ended.contains($0.key) }
            rows.refreshTokens = rows.refreshTokens.filter { !ended.contains($0.value.sessionID) }
            rows.throttles = rows.throttles.filter { $0.value.windowStartedAt >= now - .seconds(Retention.throttleSeconds) }
            rows.loginPlaces = rows.loginPlaces.filter { $0.value >= now - .seconds(Retention.loginPlaceSeconds) }
            rows.answers = rows.answers.filter { $0.value.at >= now - IdempotentRequest.lifetime }
            rows.creditBlocks = rows.creditBlocks.filter { $0.value.takenAt >= now - .seconds(Retention.creditBlockSeconds) }
        }
    }
}

extension InMemoryAuthState {
    /// A key with what it may use up by now.
    fileprivate func withBudget(_ key: APIKey) -> APIKey {
        var key = key
        key.budget = budgets[key.budgetID] ?? KeyBudget()
        return key
    }
}
