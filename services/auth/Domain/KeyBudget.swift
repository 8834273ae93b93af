import Contracts

/// What an API key may use up, together with the keys that took its place: a line of rerolled keys spends one budget.
struct KeyBudget: Sendable, Hashable {
    /// Requests in any 60 seconds; the platform's default when nil.
    var requestsPerMinute: Int?
    /// What no service has taken yet; not counted when nil.
    var credits: Int64?
    /// Rises whenever the owner sets something; 0 when nothing was ever set. What the services hold of an older version they drop or give back.
    var version: Int64 = 0
    /// The version in which the owner last set the credits, or took the limit away: blocks of an older one are void.
    var creditsVersion: Int64 = 0

    static let requestsPerMinuteRange = 1...1_000_000
    static let creditsRange: ClosedRange<Int64> = 0...1_000_000_000_000
    /// A block is a hundredth of what is left, within these bounds: large enough to be rare, small enough that little is on loan near the end.
    static let blockRange: ClosedRange<Int64> = 1...1_000

    /// Sets what is not `keep`; tells whether anything changed. Credits that are set replace what was left, also what is on loan.
    mutating func change(requestsPerMinute rate: LimitChange<Int>, credits change: LimitChange<Int64>) throws(AuthError) -> Bool {
        var changed = self
        switch rate {
        case .keep: break
        case .clear: changed.requestsPerMinute = nil
        case .set(let value):
            guard Self.requestsPerMinuteRange.contains(value) else {
                throw .invalid(field: "requests_per_minute", code: "invalid_value", detail: "1 to 1000000 requests a minute; null for the default.")
            }
            changed.requestsPerMinute = value
        }
        var setsCredits = false
        switch change {
        case .keep: break
        case .clear:
            setsCredits = credits != nil
            changed.credits = nil
        case .set(let value):
            guard Self.creditsRange.contains(value) else {
                throw .invalid(field: "credits", code: "invalid_value", detail: "0 to 1000000000000 credits; null for any number.")
            }
            changed.credits = value
            setsCredits = true
        }
        guard setsCredits || changed != self else { return false }
        changed.version += 1
        if setsCredits { changed.creditsVersion = changed.version }
        self = changed
        return true
    }

    /// Takes a block of what is left; nil when nothing is, or nobody counts.
    mutating func take(_ id: CreditBlockID, of budgetID: APIKeyID, for service: String, at now: Timestamp) -> CreditBlock? {
        guard let left = credits, left > 0 else { return nil }
        let size = min(left, min(max(left / 100, Self.blockRange.lowerBound), Self.blockRange.upperBound))
        credits = left - size
        return CreditBlock(id: id, budgetID: budgetID, creditsVersion: creditsVersion, service: service, credits: size, takenAt: now)
    }

    /// Takes back what a service did not use of a block; tells whether it counts: a block comes back once, and not to credits that were set anew.
    mutating func takeBack(_ block: inout CreditBlock, unused: Int64) -> Bool {
        guard block.unused == nil, block.creditsVersion == creditsVersion, let left = credits else { return false }
        let counted = min(max(unused, 0), block.credits)
        block.unused = counted
        credits = left + counted
        return true
    }
}

/// What an owner says of a limit: nothing, null, or a value.
enum LimitChange<Value: Sendable & Hashable>: Sendable, Hashable {
    case keep
    case clear
    case set(Value)
}

/// Some of a budget's credits, on loan to one replica of a service.
struct CreditBlock: Sendable, Hashable {
    /// Made by the service, which asks for the same block again when an answer was lost.
    let id: CreditBlockID
    let budgetID: APIKeyID
    let creditsVersion: Int64
    let service: String
    let credits: Int64
    let takenAt: Timestamp
    /// What came back; nil while it is out.
    var unused: Int64?

    /// What the block is still good for when it is asked for again.
    func credits(within budget: KeyBudget, of id: APIKeyID) -> Int64 {
        budgetID == id && creditsVersion == budget.creditsVersion && unused == nil ? credits : 0
    }
}
