internal import Contracts
internal import HTTPServing

/// What one replica holds of one budget: tokens and credits that it has taken, and what it knows of the rest.
///
/// A value without effects: ``KeyLimiter`` fetches what is asked for and says what came.
struct BudgetEntry: Sendable {
    /// What to do with a request.
    enum Step: Sendable, Hashable {
        /// One of everything was spent.
        case admitted(APIKeyAllowance)
        /// It is over the budget.
        case refused(APIKeyAllowance)
        /// Nobody could be asked for credits a moment ago.
        case creditsUnknown
        /// A block of credits has to be fetched first.
        case needsCredits
        /// A block of tokens has to be fetched first.
        case needsTokens
    }

    private enum Credits: Sendable {
        case none
        case block(CreditBlockID, left: Int64)
        /// Asked again later: others may have given some back.
        case usedUp(until: UInt64)
        /// The owner has stopped the counting, and the verdict does not know yet.
        case uncounted(until: UInt64)
        case unknown(until: UInt64)
    }

    static let window: UInt64 = 60_000_000_000
    private static let second: UInt64 = 1_000_000_000

    let budget: APIKeyBudget
    private(set) var usedAt: UInt64
    /// How many requests wait for something to be fetched.
    var waiting = 0
    var fetchesTokens: Task<Void, Never>?
    var fetchesCredits: Task<Void, Never>?

    private var credits = Credits.none
    /// Named before it is asked for and kept until an answer came: a lost answer must not cost a block.
    private(set) var nextBlock = CreditBlockID.make()

    private var tokens = 0
    private var leftElsewhere = 0
    private var windowEndsAt: UInt64 = 0
    private var refusedUntil: UInt64 = 0
    /// All that this replica has spent: what it goes by when it is on its own.
    private var own: SlidingCount
    /// What it has spent on its own, to be told when there is somebody to tell.
    private var untold = SlidingCount(length: Self.window)
    private let share: Int

    /// An entry; `sharers` is how many processes share a rate when they cannot ask. What `before` counted of the same budget goes on counting.
    init(_ budget: APIKeyBudget, sharers: Int, at now: UInt64, before: BudgetEntry? = nil) {
        self.budget = budget
        usedAt = now
        let limit = budget.requestsPerMinute ?? 0
        // Fewer requests a minute than sharers: one each in so many minutes more.
        let minutes = limit > 0 && limit < sharers ? (sharers + limit - 1) / limit : 1
        share = max(1, limit / max(1, sharers))
        own = SlidingCount(length: Self.window * UInt64(minutes))
        if let before {
            untold = before.untold
            if before.own.length == own.length { own = before.own }
        }
    }

    /// Tokens are taken in blocks of a hundredth of the limit, or as many as there are requests waiting.
    var tokensToAsk: Int {
        let limit = budget.requestsPerMinute ?? 1
        return min(limit, max(max(1, limit / 100), waiting))
    }

    /// Spends one of everything, if all of it is at hand; credits are looked at first, and nothing is spent on a refusal.
    mutating func step(isAlone: Bool, at now: UInt64) -> Step {
        usedAt = now
        if budget.countsCredits {
            switch credits {
            case .block(_, let left) where left > 0: break
            case .uncounted(let until) where now < until: break
            case .usedUp(let until) where now < until: return .refused(APIKeyAllowance(outcome: .usageExceeded, rate: rate(at: now)))
            case .unknown(let until) where now < until: return .creditsUnknown
            default: return .needsCredits
            }
        }
        var isDegraded = false
        if let limit = budget.requestsPerMinute {
            if tokens > 0 && now < windowEndsAt {
                tokens -= 1
            } else if isAlone {
                guard own.left(of: share, at: now) > 0 else {
                    return .refused(refusal(of: limit, wait: own.wait(forOneOf: share, at: now), isDegraded: true, at: now))
                }
                untold.add(1, at: now)
                isDegraded = true
            } else if now < refusedUntil {
                return .refused(refusal(of: limit, wait: refusedUntil - now, isDegraded: false, at: now))
            } else {
                return .needsTokens
            }
            own.add(1, at: now)
        }
        if case .block(let id, let left) = credits { credits = .block(id, left: left - 1) }
        var allowance = APIKeyAllowance(outcome: .valid, rate: rate(at: now), isDegraded: isDegraded)
        if isDegraded {
            allowance.rate?.remaining = own.left(of: share, at: now)
            allowance.rate?.resetSeconds = Self.wholeSeconds(own.untilEnd(at: now))
        }
        return .admitted(allowance)
    }

    private func rate(at now: UInt64) -> APIKeyAllowance.Rate? {
        budget.requestsPerMinute.map { limit in
            let isCurrent = now < windowEndsAt
            return .init(
                limit: limit,
                remaining: isCurrent ? tokens + leftElsewhere : 0,
                resetSeconds: isCurrent ? Self.wholeSeconds(windowEndsAt - now) : 0
            )
        }
    }

    private func refusal(of limit: Int, wait: UInt64, isDegraded: Bool, at now: UInt64) -> APIKeyAllowance {
        let seconds = max(1, Self.wholeSeconds(wait))
        return APIKeyAllowance(
            outcome: .rateLimited,
            rate: .init(limit: limit, remaining: 0, resetSeconds: max(seconds, rate(at: now)?.resetSeconds ?? 0)),
            retryAfterSeconds: seconds,
            isDegraded: isDegraded
        )
    }

    private static func wholeSeconds(_ nanoseconds: UInt64) -> Int { Int((nanoseconds + second - 1) / second) }

    // MARK: Tokens

    /// What was spent without asking and counts still; it is told with the next question, and comes back if that gets no answer.
    mutating func takeDebt(at now: UInt64) -> Int {
        defer { untold = SlidingCount(length: Self.window) }
        return Int(untold.used(at: now).rounded(.up))
    }

    /// The question got no answer.
    mutating func putBack(debt: Int, at now: UInt64) { untold.add(debt, at: now) }

    /// Tokens came, or the word that there are none. The answer is as old as the question, and tokens end with their window.
    mutating func received(_ grant: RateGrant, askedAt: UInt64) {
        let windowEnd = askedAt + UInt64(max(0, grant.resetMilliseconds)) * 1_000_000
        tokens = (askedAt < windowEndsAt ? tokens : 0) + grant.tokens
        leftElsewhere = grant.left
        windowEndsAt = windowEnd
        // At least a moment, so that requests without number do not become questions without number.
        refusedUntil = grant.tokens > 0 ? 0 : askedAt + UInt64(max(10, grant.waitMilliseconds)) * 1_000_000
    }

    // MARK: Credits

    /// An answer about a block came.
    mutating func received(_ answer: CreditBlockAnswer, at now: UInt64) {
        nextBlock = .make()
        if !answer.countsCredits {
            credits = .uncounted(until: now + Self.second)
        } else if answer.credits > 0 {
            credits = .block(answer.blockID, left: answer.credits)
        } else {
            credits = .usedUp(until: now + Self.second)
        }
    }

    /// Nobody answered about credits; the same block is asked for again in a second.
    mutating func creditsFailed(at now: UInt64) { credits = .unknown(until: now + Self.second) }

    /// What is left of the block, to be given back; the entry has none afterwards.
    mutating func handBack() -> CreditReturn.Block? {
        guard case .block(let id, let left) = credits, left > 0 else { return nil }
        credits = .none
        return CreditReturn.Block(blockID: id, unused: left)
    }
}
