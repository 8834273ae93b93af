import Contracts

/// Tags a line of the audit log.
enum AuditTag {}
/// Names a line of the audit log.
typealias AuditID = ID<AuditTag>

/// One line of the audit log: who did what to whom, from where. Written in the transaction of the deed, never changed.
struct AuditEntry: Sendable, Hashable {
    /// What happened; the words are stable.
    enum Action: String, Sendable, Codable, CaseIterable {
        case userRegistered = "user.registered"
        case userUpdated = "user.updated"
        case userDisabled = "user.disabled"
        case userEnabled = "user.enabled"
        case adminCreated = "admin.created"
        case loginSucceeded = "login.succeeded"
        case loginFailed = "login.failed"
        case passwordChanged = "password.changed"
        case passwordReset = "password.reset"
        case passwordRehashed = "password.rehashed"
        case sessionRevoked = "session.revoked"
        case refreshReused = "refresh.reused"
        case keyCreated = "key.created"
        case keyUpdated = "key.updated"
        case keyRevoked = "key.revoked"
        case keyRerolled = "key.rerolled"
        case tokenKeyCreated = "token_key.created"
        case tokenKeyMoved = "token_key.moved"
        case tokenKeysRewrapped = "token_key.rewrapped"
    }

    let id: AuditID
    let recordedAt: Timestamp
    let action: Action
    /// Whose account it concerns; nil for the platform's own.
    let accountID: AccountID?
    /// Who did it; nil for the platform itself, or when nobody is known.
    let actorID: UserID?
    /// The id of what was changed.
    let subject: String
    /// A few facts; never a secret.
    let detail: [String: JSONValue]
    /// Where the request came from.
    let origin: RequestOrigin

    init(
        _ action: Action,
        accountID: AccountID?,
        actorID: UserID?,
        subject: String,
        detail: [String: JSONValue] = [:],
        origin: RequestOrigin,
        at now: Timestamp
    ) {
        self.id = .make()
        self.recordedAt = now
        self.action = action
        self.accountID = accountID
        self.actorID = actorID
        self.subject = subject
        self.detail = detail
        self.origin = origin
    }

    /// A line that a store holds already.
    init(
        stored id: AuditID,
        recordedAt: Timestamp,
        action: Action,
        accountID: AccountID?,
        actorID: UserID?,
        subject: String,
        detail: [String: JSONValue],
        origin: RequestOrigin
    ) {
        self.id = id
        self.recordedAt = recordedAt
        self.action = action
        self.accountID = accountID
        self.actorID = actorID
        self.subject = subject
        self.detail = detail
        self.origin = origin
    }
}

/// Where a request came from.
struct RequestOrigin: Sendable, Hashable {
    let address: String
    /// Cut to 200 characters.
    let userAgent: String
    let requestID: String

    init(address: String, userAgent: String, requestID: String) {
        self.address = String(address.prefix(64))
        self.userAgent = String(userAgent.prefix(200))
        self.requestID = String(requestID.prefix(100))
    }

    /// The command line on the server's own machine, or the service itself.
    static let local = RequestOrigin(address: "local", userAgent: "", requestID: "")
}
