import Contracts
import HTTPServing
import Synchronization
import TestSupport
import Testing

@testable import KeyLimits

@Suite(.timeLimit(.minutes(10))) struct KeyLimiterTests {
    @Test func aBlockIsSpentWithoutAQuestion() async throws {
        let desk = Desk()
        let limited = budget(1_000)
        for _ in 0..<10 { #expect(try await desk.outcome(limited) == "VALID") }
        #expect(desk.tokens.questions == [.init(tokens: 10, limit: 1_000, debt: 0)])
        #expect(try await desk.outcome(limited) == "VALID")
        #expect(desk.tokens.questions.count == 2)
    }

    @Test func theAnswerSaysHowTheRateStands() async throws {
        let desk = Desk()
        desk.tokens.state.withLock { $0.left = 15 }
        let limited = budget(1_000)
        let first = try await desk.limiter.admit(limited)
        #expect(first == APIKeyAllowance(outcome: .valid, rate: .init(limit: 1_000, remaining: 9 + 7, resetSeconds: 30)))
        for _ in 0..<14 { _ = try await desk.limiter.admit(limited) }
        let refused = try await desk.limiter.admit(limited)
        #expect(refused.outcome == .rateLimited && refused.retryAfterSeconds == 20 && !refused.isDegraded)
        #expect(refused.rate?.remaining == 0)
    }

    @Test func aRefusalIsRememberedUntilThereIsMore() async throws {
        let desk = Desk()
        desk.tokens.state.withLock { $0.left = 0 }
        let limited = budget(60)
        for _ in 0..<50 { #expect(try await desk.outcome(limited) == "RATE_LIMITED") }
        #expect(desk.tokens.questions.count == 1)
        desk.tokens.state.withLock { $0.left = 1 }
        desk.clock.advance(by: .seconds(20))
        #expect(try await desk.outcome(limited) == "VALID")
        #expect(desk.tokens.questions.count == 2)
    }

    @Test func tokensEndWithTheirWindow() async throws {
        let desk = Desk()
        let limited = budget(1_000)
        #expect(try await desk.outcome(limited) == "VALID")
        desk.clock.advance(by: .seconds(30))
        #expect(try await desk.outcome(limited) == "VALID")
        #expect(desk.tokens.questions.count == 2)
    }

    @Test func manyAtOnceAskOnceAndForAll() async throws {
        let desk = Desk()
        let limited = budget(60)
        desk.tokens.gate.shut()
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await desk.outcome(limited) } }
            try await eventually { desk.limiter.waitingCount(limited.id) == 50 && desk.tokens.questions.count == 1 }
            desk.tokens.gate.open()
            for try await outcome in group { #expect(outcome == "VALID") }
        }
        // The first asked for itself; whoever had gathered meanwhile came in few questions, not in one each.
        let asked = desk.tokens.questions.map(\.tokens)
        #expect(asked.reduce(0, +) >= 50 && asked.count <= 6, "\(asked)")
        #expect(desk.limiter.waitingCount(limited.id) == 0)
    }

    // MARK: Order

    @Test func creditsComeBeforeTheRateAndARefusalCostsNothing() async throws {
        let desk = Desk()
        let both = budget(60, credits: true)
        desk.tokens.state.withLock { $0.left = 0 }
        // Both are used up: it is the credits that are spoken of, and the rate is not even asked for.
        #expect(try await desk.outcome(both) == "USAGE_EXCEEDED")
        #expect(desk.tokens.questions.isEmpty)

        desk.lender.state.withLock { $0.credits = 3 }
        desk.clock.advance(by: .seconds(1))
        for _ in 0..<5 { #expect(try await desk.outcome(both) == "RATE_LIMITED") }
        desk.tokens.state.withLock { $0.left = .max }
        desk.clock.advance(by: .seconds(20))
        for _ in 0..<3 { #expect(try await desk.outcome(both) == "VALID") }
        #expect(try await desk.outcome(both) == "USAGE_EXCEEDED")
    }

    // MARK: Credits

    @Test func eachRequestCostsOneCredit() async throws {
        let desk = Desk()
        desk.lender.state.withLock { $0.credits = 25 }
        let counted = budget(nil, credits: true)
        var outcomes: [String: Int] = [:]
        for _ in 0..<40 { outcomes[try await desk.outcome(counted), default: 0] += 1 }
        #expect(outcomes == ["VALID": 25, "USAGE_EXCEEDED": 15])
        // Three blocks, and one question that found nothing; the rest of the second was refused from memory.
        #expect(desk.lender.state.withLock { $0.asked.count } == 4)
    }

    @Test func aLostAnswerCostsNoBlock() async throws {
        let desk = Desk()
        desk.lender.state.withLock { ($0.credits, $0.losesAnswers) = (10, true) }
        let counted = budget(nil, credits: true)
        for _ in 0..<5 { #expect(try await desk.outcome(counted) == "credits_unavailable") }
        #expect(desk.lender.left == 0)
        desk.lender.state.withLock { $0.losesAnswers = false }
        desk.clock.advance(by: .seconds(1))
        for _ in 0..<10 { #expect(try await desk.outcome(counted) == "VALID") }
        #expect(try await desk.outcome(counted) == "USAGE_EXCEEDED")
        #expect(desk.lender.state.withLock { $0.lent.count } == 1)
    }

    @Test func withAuthAwayWhatIsAtHandMayBeSpent() async throws {
        let desk = Desk()
        desk.lender.state.withLock { $0.credits = 100 }
        let counted = budget(nil, credits: true)
        #expect(try await desk.outcome(counted) == "VALID")
        desk.lender.state.withLock { $0.isAway = true }
        for _ in 0..<9 { #expect(try await desk.outcome(counted) == "VALID") }
        #expect(try await desk.outcome(counted) == "credits_unavailable")
        desk.lender.state.withLock { $0.isAway = false }
        desk.clock.advance(by: .seconds(1))
        #expect(try await desk.outcome(counted) == "VALID")
    }

    @Test func whatIsNotUsedComesBackAtTheDrain() async throws {
        let desk = Desk()
        desk.lender.state.withLock { $0.credits = 25 }
        let counted = budget(nil, credits: true)
        for _ in 0..<12 { _ = try await desk.outcome(counted) }
        #expect(desk.lender.left == 5)
        await desk.limiter.stop()
        #expect(desk.lender.left == 13)
        #expect(desk.lender.state.withLock { $0.returned.map(\.unused) } == [8])
    }

    @Test func idleCreditsComeBackAndWhatCannotComeBackWaits() async throws {
        let desk = Desk()
        desk.lender.state.withLock { $0.credits = 10 }
        let counted = budget(nil, credits: true)
        _ = try await desk.outcome(counted)
        desk.clock.advance(by: .seconds(29))
        await desk.limiter.sweep()
        #expect(desk.lender.left == 0)
        desk.lender.state.withLock { $0.isAway = true }
        desk.clock.advance(by: .seconds(1))
        await desk.limiter.sweep()
        #expect(desk.lender.left == 0)
        desk.lender.state.withLock { $0.isAway = false }
        await desk.limiter.sweep()
        #expect(desk.lender.left == 9)
        for _ in 0..<9 { #expect(try await desk.outcome(counted) == "VALID") }
        #expect(try await desk.outcome(counted) == "USAGE_EXCEEDED")
    }

    @Test func creditsThatNobodyCountsAnyMoreAreNotNeeded() async throws {
        let desk = Desk()
        desk.lender.state.withLock { $0.credits = nil }
        #expect(try await desk.outcome(budget(nil, credits: true)) == "VALID")
    }

    // MARK: Changes

    @Test func aNewVersionLiftsALimitAtOnce() async throws {
        let desk = Desk()
        let id = APIKeyID.make()
        let old = budget(60, credits: true, version: 1, id: id)
        desk.lender.state.withLock { $0.credits = 100 }
        desk.tokens.state.withLock { $0.left = 0 }
        #expect(try await desk.outcome(old) == "RATE_LIMITED")
        desk.tokens.state.withLock { $0.left = .max }
        #expect(try await desk.outcome(old) == "RATE_LIMITED")
        let new = budget(600, credits: true, version: 2, id: id)
        #expect(try await desk.outcome(new) == "VALID")
        #expect(desk.tokens.questions.last?.limit == 600)
        // A request that waited with the older verdict goes by the newer one.
        #expect(try await desk.outcome(old) == "VALID")
        #expect(desk.tokens.questions.count == 2)

        desk.lender.state.withLock { $0.credits = 0 }
        let used = budget(nil, credits: true, version: 1)
        #expect(try await desk.outcome(used) == "USAGE_EXCEEDED")
        desk.lender.state.withLock { $0.credits = 5 }
        #expect(try await desk.outcome(budget(nil, credits: true, version: 2, id: used.id)) == "VALID")
    }

    @Test func creditsOfAnOldVersionGoBack() async throws {
        let desk = Desk()
        desk.lender.state.withLock { $0.credits = 10 }
        let old = budget(nil, credits: true)
        _ = try await desk.outcome(old)
        _ = try await desk.outcome(budget(60, version: 2, id: old.id))
        await desk.limiter.sweep()
        #expect(desk.lender.state.withLock { $0.returned.map(\.unused) } == [9])
    }

    @Test func onlySoManyBudgetsAreKeptInMind() async throws {
        let desk = Desk(maximumEntries: 10)
        desk.lender.state.withLock { $0.credits = 1_000 }
        for _ in 0..<35 { #expect(try await desk.outcome(budget(nil, credits: true)) == "VALID") }
        #expect(desk.limiter.entryCount <= 10)
        await desk.limiter.stop()
        #expect(desk.lender.left == 965)
    }

    // MARK: Alone

    @Test func aloneAReplicaGoesByItsShareAndMarksTheAnswer() async throws {
        let desk = Desk(sharers: 3)
        desk.tokens.state.withLock { $0.isAway = true }
        let limited = budget(60)
        for number in 0..<20 {
            let allowance = try await desk.limiter.admit(limited)
            #expect(allowance.outcome == .valid && allowance.isDegraded)
            #expect(allowance.rate?.limit == 60 && allowance.rate?.remaining == 19 - number)
        }
        let refused = try await desk.limiter.admit(limited)
        #expect(refused.outcome == .rateLimited && refused.isDegraded && refused.retryAfterSeconds >= 1)
        // One question in a second, however many requests there are.
        #expect(desk.tokens.questions.count == 1)
    }

    @Test func aLimitBelowTheNumberOfSharersIsShrunkInTime() async throws {
        let desk = Desk(sharers: 6)
        desk.tokens.state.withLock { $0.isAway = true }
        let limited = budget(2)
        #expect(try await desk.outcome(limited) == "VALID")
        // One in three minutes for each of six makes two a minute.
        for _ in 0..<5 {
            desk.clock.advance(by: .seconds(30))
            #expect(try await desk.outcome(limited) == "RATE_LIMITED")
        }
        desk.clock.advance(by: .seconds(210))
        #expect(try await desk.outcome(limited) == "VALID")
    }

    @Test func whatWasLetThroughAloneIsToldAfterwards() async throws {
        let desk = Desk(sharers: 2)
        let limited = budget(60)
        desk.tokens.state.withLock { $0.isAway = true }
        for _ in 0..<12 { #expect(try await desk.outcome(limited) == "VALID") }
        desk.tokens.state.withLock { $0.isAway = false }
        // Within the second nobody asks; after it, in the background.
        #expect(try await desk.limiter.admit(limited).isDegraded)
        desk.clock.advance(by: .seconds(1))
        #expect(try await desk.limiter.admit(limited).outcome == .valid)
        try await eventually { desk.tokens.questions.count == 2 && !desk.limiter.isAlone }
        #expect(desk.tokens.questions.last?.debt == 14)
        #expect(try await desk.limiter.admit(limited).isDegraded == false)
        #expect(try await desk.limiter.admit(limited).isDegraded == false)
        #expect(desk.tokens.questions.last?.debt == 0)
    }
}
