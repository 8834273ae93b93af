public import Contracts

/// Who asks, as an authentication middleware found out.
public struct Principal: Sendable {
    /// What the caller proved itself with.
    public enum Credential: Sendable, Hashable {
        /// An access token of this session.
        case session(SessionID)
        /// An API key with its scopes.
        case apiKey(APIKeyID, scopes: [String])
    }

    /// The user.
    public let userID: UserID
    /// The account that owns what the user makes.
    public let accountID: AccountID
    /// Roles of the account: `provider`, `subscriber`, `admin`.
    public let roles: [String]
    /// What the caller proved itself with.
    public let credential: Credential
    /// When the credential ends; nil for a key without an end. A stream closes then.
    public let expiresAt: Timestamp?
    /// The version of the user that an access token was made for; nil for a key.
    public let userVersion: Int64?

    /// A principal of one's own, for tests and other authentications.
    public init(userID: UserID, accountID: AccountID, roles: [String], credential: Credential, expiresAt: Timestamp? = nil, userVersion: Int64? = nil)
    {
        self.userID = userID
        self.accountID = accountID
        self.roles = roles
        self.credential = credential
        self.expiresAt = expiresAt
        self.userVersion = userVersion
    }

    /// The session, when an access token was shown.
    public var sessionID: SessionID? {
        if case .session(let id) = credential { return id }
        return nil
    }

    /// Whether the caller has a role.
    public func has(role: String) -> Bool { roles.contains(role) }

    /// Whether the caller may do what `scope` names: a session may do all that its roles may; a key has the scopes that it was given.
    public func has(scope: String) -> Bool {
        switch credential {
        case .session: true
        // A key for `predictions:read` also covers `predictions:read:<signal>`, not the other way round.
        case .apiKey(_, let scopes): scopes.contains { $0 == scope || scope.hasPrefix($0 + ":") }
        }
    }

    /// Refuses a caller without the scope.
    public func require(scope: String) throws {
        guard has(scope: scope) else {
            throw Problem.forbidden(code: "insufficient_scope", detail: "This API key lacks the scope \(scope).")
        }
    }

    /// Refuses a caller that has none of the roles.
    public func require(anyRole wanted: String...) throws {
        guard wanted.contains(where: has(role:)) else {
            throw Problem.forbidden(code: "insufficient_role", detail: "This needs the role \(wanted.joined(separator: " or ")).")
        }
    }
}

extension Request {
    /// The principal of a route that stands behind an authentication middleware.
    public func authenticated() throws -> Principal {
        guard let principal else { throw Problem.unauthorized() }
        return principal
    }
}
