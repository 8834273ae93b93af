import Contracts
import TestSupport
import Testing

@testable import auth

@Suite("Budgets of API keys") struct KeyBudgetTests {
    let now = Timestamp(seconds: 1_000_000)

    /// Sets something; tells whether it was a change.
    func change(_ budget: inout KeyBudget, rate: LimitChange<Int> = .keep, credits: LimitChange<Int64> = .keep) throws -> Bool {
        try budget.change(requestsPerMinute: rate, credits: credits)
    }

    @Test func whatIsSetRaisesTheVersionAndWhatIsTheSameDoesNot() throws {
        var budget = KeyBudget()
        let nothing = [try change(&budget), try change(&budget, rate: .clear, credits: .clear)]
        #expect(nothing == [false, false] && budget == KeyBudget())
        let both = try change(&budget, rate: .set(60), credits: .set(5))
        #expect(both && budget == KeyBudget(requestsPerMinute: 60, credits: 5, version: 1, creditsVersion: 1))
        // Credits that are set anew replace also what is on loan, so they are always a change.
        let same = [try change(&budget, rate: .set(60)), try change(&budget, credits: .set(5))]
        #expect(same == [false, true] && budget.version == 2 && budget.creditsVersion == 2)
        let cleared = try change(&budget, rate: .clear, credits: .clear)
        #expect(cleared && budget == KeyBudget(version: 3, creditsVersion: 3))
    }

    @Test(arguments: [0, -1, 1_000_001]) func ratesHaveBounds(_ value: Int) {
        var budget = KeyBudget()
        #expect(throws: AuthError.self) { try change(&budget, rate: .set(value)) }
        #expect(budget == KeyBudget())
    }

    @Test(arguments: [-1, 1_000_000_000_001]) func creditsHaveBounds(_ value: Int64) {
        var budget = KeyBudget()
        #expect(throws: AuthError.self) { try change(&budget, rate: .set(1), credits: .set(value)) }
        #expect(budget == KeyBudget())
    }

    @Test(arguments: [(0, nil), (1, 1), (99, 1), (250, 2), (100_000, 1_000), (1_000_000_000_000, 1_000)] as [(Int64, Int64?)])
    func aBlockIsAHundredthWithinBounds(left: Int64, size: Int64?) {
        var budget = KeyBudget(credits: left, version: 1)
        let block = budget.take(.make(), of: .make(), for: "signals", at: now)
        #expect(block?.credits == size && budget.credits == left - (size ?? 0))
    }

    @Test func nobodyTakesWhatNobodyCounts() {
        var budget = KeyBudget(requestsPerMinute: 1, version: 1)
        let block = budget.take(.make(), of: .make(), for: "signals", at: now)
        #expect(block == nil)
    }

    @Test func aBlockComesBackOnceAndToTheBudgetItIsFrom() throws {
        var budget = KeyBudget(credits: 1_000, version: 1)
        let id = APIKeyID.make()
        let taken = budget.take(.make(), of: id, for: "signals", at: now)
        var block = try #require(taken)
        #expect(block.credits == 10 && block.credits(within: budget, of: id) == 10 && block.credits(within: budget, of: .make()) == 0)

        // A rate is no word about credits: what is on loan still comes back.
        var slower = budget
        var loan = block
        _ = try change(&slower, rate: .set(1))
        let returned = slower.takeBack(&loan, unused: 4)
        #expect(returned && slower.credits == 994 && slower.version == 2)

        var later = budget
        _ = try change(&later, credits: .set(50))
        let tooLate = later.takeBack(&block, unused: 4)
        #expect(!tooLate && later.credits == 50 && block.unused == nil && block.credits(within: later, of: id) == 0)

        let first = budget.takeBack(&block, unused: 4)
        #expect(first && budget.credits == 994)
        let second = budget.takeBack(&block, unused: 4)
        #expect(!second && budget.credits == 994 && block.credits(within: budget, of: id) == 0)

        // More than was lent does not come back.
        let another = budget.take(.make(), of: id, for: "signals", at: now)
        var other = try #require(another)
        let third = budget.takeBack(&other, unused: 1_000_000)
        #expect(third && budget.credits == 994)
    }
}
