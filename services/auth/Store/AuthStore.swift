import Contracts
import HTTPServing

/// Where auth keeps what it owns. Two versions pass one contract suite: `PostgresAuthStore` serves, `InMemoryAuthStore` is for tests.
protocol AuthStore: Sendable {
    /// Runs `body` in one transaction: all of it happens, or, when it throws, nothing. It may run again after a conflict with another.
    func transaction<Outcome: Sendable>(_ body: @Sendable (any AuthTransaction) async throws -> Outcome) async throws -> Outcome
}

/// What can be done within a transaction of the store: plain reads and writes of rows, without rules.
///
/// `locking` keeps the row from other transactions until this one ends; who reads a row in order to change it says so.
protocol AuthTransaction: Sendable {
    // MARK: Accounts and users

    /// Adds an account.
    func insert(_ account: Account) async throws
    /// Adds a user; throws `AuthError.emailTaken`.
    func insert(_ user: User) async throws
    /// The user with that address.
    func user(email: EmailAddress, locking: Bool) async throws -> User?
    /// The user with that id.
    func user(_ id: UserID, locking: Bool) async throws -> User?
    /// Writes all that may change of a user; throws `AuthError.emailTaken`.
    func update(_ user: User) async throws
    /// Users whose version was raised at `since` or later: tokens of a lower version may still be about.
    func users(versionRaisedSince since: Timestamp) async throws -> [User]

    // MARK: Sessions

    /// Adds a session.
    func insert(_ session: Session) async throws
    /// The session with that id.
    func session(_ id: SessionID, locking: Bool) async throws -> Session?
    /// Writes all that may change of a session.
    func update(_ session: Session) async throws
    /// A user's live sessions, newest first, from after `after`.
    func liveSessions(of user: UserID, at now: Timestamp, after: SessionID?, limit: Int) async throws -> [Session]
    /// Revoked sessions whose last access token has not ended.
    func deniedSessions(at now: Timestamp) async throws -> [Session]

    // MARK: Refresh tokens

    /// Adds a refresh token.
    func insert(_ token: RefreshToken) async throws
    /// The refresh token with that hash; always locked, as it is used up.
    func refreshToken(_ sha256: SHA256Digest) async throws -> RefreshToken?
    /// Marks a refresh token as used.
    func use(_ sha256: SHA256Digest, at now: Timestamp) async throws

    // MARK: API keys

    /// Adds a key.
    func insert(_ key: APIKey) async throws
    /// The key with that id.
    func key(_ id: APIKeyID, locking: Bool) async throws -> APIKey?
    /// The key with that hash, and its owner.
    func key(sha256: SHA256Digest) async throws -> (key: APIKey, owner: User)?
    /// Writes all that may change of a key, apart from `lastUsedAt` and its budget.
    func update(_ key: APIKey) async throws
    /// An account's keys, newest first, from after `after`.
    func keys(of account: AccountID, after: APIKeyID?, limit: Int) async throws -> [APIKey]
    /// A user's keys that are not revoked, locked.
    func openKeys(of user: UserID) async throws -> [APIKey]
    /// How many keys of an account are neither revoked nor ended.
    func openKeyCount(of account: AccountID, at now: Timestamp) async throws -> Int
    /// Moves `lastUsedAt` of keys forward, never back.
    func recordUse(of keys: [APIKeyID: Timestamp]) async throws

    /// The keys that spend a budget, oldest first, locked.
    func keys(sharing budget: APIKeyID) async throws -> [APIKey]

    // MARK: Budgets and credits

    /// A budget by the id of the first key that spends it; nil when nothing was ever set.
    func budget(_ id: APIKeyID, locking: Bool) async throws -> KeyBudget?
    /// Adds or changes a budget.
    func write(_ budget: KeyBudget, of id: APIKeyID) async throws
    /// The block with that id.
    func creditBlock(_ id: CreditBlockID, locking: Bool) async throws -> CreditBlock?
    /// Adds a block.
    func insert(_ block: CreditBlock) async throws
    /// Writes what came back of a block.
    func update(_ block: CreditBlock) async throws

    // MARK: Token keys

    /// Keeps other replicas from changing token keys until the transaction ends.
    func lockTokenKeys() async throws
    /// All token keys that are not gone.
    func tokenKeys() async throws -> [TokenKey]
    /// Adds a token key.
    func insert(_ key: TokenKey) async throws
    /// Writes state, time and sealed private half of a token key.
    func update(_ key: TokenKey) async throws

    // MARK: Throttling

    /// The state of a subject, locked, also when there is none yet.
    func throttle(_ subject: ThrottleSubject) async throws -> ThrottleState?
    /// Writes the state of a subject; nil forgets it.
    func setThrottle(_ subject: ThrottleSubject, _ state: ThrottleState?) async throws
    /// Whether a login from there has succeeded.
    func isKnown(_ place: LoginPlace) async throws -> Bool
    /// Notes that a login from there has succeeded, and forgets the account's oldest places beyond `LoginPlace.maximumPerAccount`.
    func remember(_ place: LoginPlace, at now: Timestamp) async throws
    /// Forgets the counts of an account and of all its places, and where it was logged in from.
    func forgetLogins(of account: ThrottleSubject) async throws

    // MARK: What is said and written down

    /// Tells the other services, once the transaction commits; `version` counts the changes of the event's subject.
    func announce<Event: EventBody>(_ event: Event, version: Int64) async throws
    /// Adds a line to the audit log.
    func record(_ entry: AuditEntry) async throws
    /// Lines of the audit log, newest first, from before `before`; of all accounts when `account` is nil.
    func auditEntries(of account: AccountID?, before: AuditID?, limit: Int) async throws -> [AuditEntry]

    // MARK: Idempotency

    /// Holds the request until the transaction ends; false when another transaction holds it.
    func claim(_ request: IdempotentRequest) async throws -> Bool
    /// The answer that the request got at `since` or later.
    func answer(to request: IdempotentRequest, since: Timestamp) async throws -> IdempotentAnswer?
    /// Remembers the answer to the request.
    func remember(_ answer: IdempotentAnswer, to request: IdempotentRequest, at now: Timestamp) async throws

    // MARK: Housekeeping

    /// Deletes what nobody can ask for any more: ended sessions with their refresh tokens, old throttles and login places, old idempotent answers, old
    /// blocks of credits.
    func deleteEnded(before now: Timestamp) async throws
}
