public import Contracts
internal import Cryptography

/// What auth says of an API key.
public struct APIKeyVerdict: Codable, Sendable, Hashable {
    /// The outcomes, in the order in which they are checked.
    public enum Outcome: String, Codable, Sendable {
        /// The key may be used.
        case valid = "VALID"
        /// There is no such key.
        case notFound = "NOT_FOUND"
        /// Its owner switched it off, or revoked it.
        case disabled = "DISABLED"
        /// Its time is over.
        case expired = "EXPIRED"
        /// Its credits are used up.
        case usageExceeded = "USAGE_EXCEEDED"
        /// It was used too often in too short a time.
        case rateLimited = "RATE_LIMITED"
        /// It may not do this.
        case insufficientPermissions = "INSUFFICIENT_PERMISSIONS"
    }

    /// The verdict.
    public let outcome: Outcome
    /// The key; nil when there is none.
    public let keyID: APIKeyID?
    /// The account of its owner.
    public let accountID: AccountID?
    /// Its owner.
    public let userID: UserID?
    /// The account's roles.
    public let roles: [String]?
    /// What it may be used for.
    public let scopes: [String]?
    /// When it ends.
    public let expiresAt: Timestamp?
    /// Rises with every change of the key.
    public let generation: Int64?
    /// What it may use up; nil when nothing is limited.
    public let budget: APIKeyBudget?
    /// When auth looked.
    public let checkedAt: Timestamp?

    /// A verdict, for tests and for auth itself.
    public init(
        outcome: Outcome,
        keyID: APIKeyID? = nil,
        accountID: AccountID? = nil,
        userID: UserID? = nil,
        roles: [String]? = nil,
        scopes: [String]? = nil,
        expiresAt: Timestamp? = nil,
        generation: Int64? = nil,
        budget: APIKeyBudget? = nil,
        checkedAt: Timestamp? = nil
    ) {
        self.outcome = outcome
        self.keyID = keyID
        self.accountID = accountID
        self.userID = userID
        self.roles = roles
        self.scopes = scopes
        self.expiresAt = expiresAt
        self.generation = generation
        self.budget = budget
        self.checkedAt = checkedAt
    }
}

/// Checks API keys by their SHA-256.
public protocol APIKeyVerifier: Sendable {
    /// The verdict; throws when nobody can be asked and nothing fresh enough is known.
    func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict
}

/// Admits requests by API key only; ``UserAuthentication`` takes both.
public struct APIKeyAuthentication: Middleware {
    private let verifier: any APIKeyVerifier
    private let limiter: (any APIKeyLimiter)?

    /// Keys are checked by `verifier`; what they use up is counted by `limiter`, if one is given.
    public init(verifier: any APIKeyVerifier, limiter: (any APIKeyLimiter)? = nil) {
        self.verifier = verifier
        self.limiter = limiter
    }

    /// Sets the request's principal, or refuses it.
    public func handle(_ request: Request, next: Handler) async throws -> Response {
        var text = request.head.value("x-api-key")
        if text == nil, let authorization = request.head.value("authorization"), authorization.lowercased().hasPrefix("bearer ") {
            text = authorization.dropFirst(7).trimmed
        }
        guard let text else { throw Problem.unauthorized(detail: "This needs an API key in X-API-Key.") }
        return try await Self.admit(request, text, verifier: verifier, limiter: limiter, next: next)
    }

    /// The checks in their fixed order: exists, enabled, not expired, credits, rate limit. Scopes are the handler's own.
    static func admit(
        _ request: Request,
        _ text: String,
        verifier: any APIKeyVerifier,
        limiter: (any APIKeyLimiter)?,
        next: Handler
    ) async throws -> Response {
        // The checksum spares auth the typing mistakes.
        guard let key = APIKeyText(parsing: text) else { throw APIKeyVerdict.Outcome.notFound.refusal() }
        let verdict = try await verifier.verdict(on: key.sha256)
        guard verdict.outcome == .valid, let keyID = verdict.keyID, let accountID = verdict.accountID, let userID = verdict.userID else {
            throw verdict.outcome.refusal()
        }
        var request = request
        request.principal = Principal(
            userID: userID,
            accountID: accountID,
            roles: verdict.roles ?? [],
            credential: .apiKey(keyID, scopes: verdict.scopes ?? []),
            expiresAt: verdict.expiresAt
        )
        guard let budget = verdict.budget, let limiter else { return try await next(request) }
        return try await limiter.admit(budget).answer(request, next: next)
    }
}

extension APIKeyVerdict.Outcome {
    /// What the client reads of it.
    func refusal(retryAfterSeconds: Int = 1) -> Problem {
        switch self {
        case .valid, .notFound: .unauthorized(code: "invalid_api_key", detail: "There is no such API key.")
        case .disabled: .unauthorized(code: "api_key_disabled", detail: "This API key is switched off.")
        case .expired: .unauthorized(code: "api_key_expired", detail: "This API key has expired.")
        case .usageExceeded: Problem(status: .paymentRequired, code: "usage_exceeded", detail: "The credits of this API key are used up.")
        case .rateLimited: .tooManyRequests(detail: "This API key is used too often.", retryAfterSeconds: retryAfterSeconds)
        case .insufficientPermissions: .forbidden(code: "insufficient_scope", detail: "This API key may not do this.")
        }
    }
}
