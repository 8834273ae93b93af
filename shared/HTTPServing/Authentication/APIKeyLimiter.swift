public import Contracts

/// What an API key may use up, as the verdict on it says. Rerolled keys that work side by side name the same budget.
public struct APIKeyBudget: Codable, Sendable, Hashable {
    /// Names what is counted: the first of the keys that took one another's place.
    public let id: APIKeyID
    /// Rises whenever the owner sets a limit; what was counted or taken under a lower one is void.
    public let version: Int64
    /// Requests in any 60 seconds, over all services; nil for any number.
    public let requestsPerMinute: Int?
    /// Whether each request costs a credit.
    public let countsCredits: Bool

    /// A budget.
    public init(id: APIKeyID, version: Int64, requestsPerMinute: Int?, countsCredits: Bool) {
        self.id = id
        self.version = version
        self.requestsPerMinute = requestsPerMinute
        self.countsCredits = countsCredits
    }
}

/// Counts what API keys use up. It stands behind the verdict on a key, so only keys that work reach it, and only those with a budget.
public protocol APIKeyLimiter: Sendable {
    /// Takes one request out of a budget, credits first, then the rate; throws when nobody can say whether there is any left.
    func admit(_ budget: APIKeyBudget) async throws -> APIKeyAllowance
}

/// Whether a request was within its key's budget, and what is left.
public struct APIKeyAllowance: Sendable, Hashable {
    /// How the rate of a key stands.
    public struct Rate: Sendable, Hashable {
        /// Requests in any 60 seconds.
        public var limit: Int
        /// How many more this replica knows of; others may take them.
        public var remaining: Int
        /// Until the current window ends, in whole seconds.
        public var resetSeconds: Int

        /// All fields.
        public init(limit: Int, remaining: Int, resetSeconds: Int) {
            self.limit = limit
            self.remaining = remaining
            self.resetSeconds = resetSeconds
        }
    }

    /// `valid`, `usageExceeded` or `rateLimited`.
    public var outcome: APIKeyVerdict.Outcome
    /// How the rate stands; nil for a key without one.
    public var rate: Rate?
    /// When another try makes sense.
    public var retryAfterSeconds: Int
    /// Whether only this replica's share of the limit was counted, because the limits' Redis is away.
    public var isDegraded: Bool

    /// All fields.
    public init(outcome: APIKeyVerdict.Outcome, rate: Rate? = nil, retryAfterSeconds: Int = 1, isDegraded: Bool = false) {
        self.outcome = outcome
        self.rate = rate
        self.retryAfterSeconds = retryAfterSeconds
        self.isDegraded = isDegraded
    }

    /// Writes the `RateLimit` fields.
    func mark(_ headers: inout Headers) {
        if let rate {
            headers["RateLimit-Limit"] = String(rate.limit)
            headers["RateLimit-Remaining"] = String(rate.remaining)
            headers["RateLimit-Reset"] = String(rate.resetSeconds)
        }
        if isDegraded { headers["X-RateLimit-Degraded"] = "true" }
    }

    /// Runs the rest of the request if there was enough left for it; every answer, also a refusal, says how the rate stands.
    func answer(_ request: Request, next: Handler) async throws -> Response {
        do {
            guard outcome == .valid else { throw outcome.refusal(retryAfterSeconds: retryAfterSeconds) }
            var response = try await next(request)
            mark(&response.headers)
            return response
        } catch let error as any ProblemRepresentable {
            throw marked(error.problem)
        } catch let problem as Problem {
            throw marked(problem)
        }
    }

    private func marked(_ problem: Problem) -> Problem {
        var problem = problem
        mark(&problem.headers)
        return problem
    }
}
