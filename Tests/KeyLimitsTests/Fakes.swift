import Contracts
import HTTPServing
import KeyLimits
import ServiceRuntime
import Synchronization
import TestSupport

struct Away: Error {}

/// Gives out as many tokens as a test says.
final class FakeTokens: RateTokens {
    struct Question: Sendable, Equatable {
        var tokens: Int
        var limit: Int
        var debt: Int
    }

    struct State {
        var left = Int.max
        var isAway = false
        var questions: [Question] = []
    }

    let state = Mutex(State())
    /// Where answers wait, while a test has it shut.
    let gate = Gate()

    init() { gate.open() }

    func take(_ tokens: Int, of budget: APIKeyID, limit: Int, debt: Int) async throws -> RateGrant {
        let given = try state.withLock { state in
            state.questions.append(Question(tokens: tokens, limit: limit, debt: debt))
            if state.isAway { throw Away() }
            let given = min(tokens, state.left)
            state.left -= given
            return given
        }
        try await gate.pass()
        return RateGrant(tokens: given, left: 7, waitMilliseconds: 20_000, resetMilliseconds: 30_000)
    }

    var questions: [Question] { state.withLock { $0.questions } }
}

/// Lends credits as auth does, in memory.
final class FakeLender: CreditLender {
    struct State {
        var credits: Int64? = 0
        var block: Int64 = 10
        var lent: [CreditBlockID: Int64] = [:]
        var asked: [CreditBlockID] = []
        var isAway = false
        /// Takes the block and hangs up.
        var losesAnswers = false
        var returned: [CreditReturn.Block] = []
    }

    let state = Mutex(State())

    func take(_ block: CreditBlockID, of budget: APIKeyID) async throws -> CreditBlockAnswer {
        try state.withLock { state in
            if state.isAway { throw Away() }
            state.asked.append(block)
            let size = state.lent[block] ?? min(state.credits ?? 0, state.block)
            if state.lent[block] == nil, size > 0 {
                state.credits = state.credits.map { $0 - size }
                state.lent[block] = size
            }
            if state.losesAnswers { throw Away() }
            return CreditBlockAnswer(blockID: block, countsCredits: state.credits != nil, credits: size, budgetVersion: 1)
        }
    }

    func giveBack(_ blocks: [CreditReturn.Block]) async throws {
        try state.withLock { state in
            if state.isAway { throw Away() }
            for block in blocks where state.lent.removeValue(forKey: block.blockID) != nil {
                state.credits = state.credits.map { $0 + block.unused }
                state.returned.append(block)
            }
        }
    }

    var left: Int64? { state.withLock { $0.credits } }
}

/// A limiter with everything that a test moves.
struct Desk: Sendable {
    let tokens = FakeTokens()
    let lender = FakeLender()
    let clock = ManualTimeSource()
    let limiter: KeyLimiter

    init(sharers: Int = 2, maximumEntries: Int = 50_000) {
        limiter = KeyLimiter(
            tokens: tokens,
            lender: lender,
            sharers: sharers,
            control: TestLoop.shared,
            time: clock,
            maximumEntries: maximumEntries
        )
    }

    /// The outcome of one request, or the code of the problem that it met.
    func outcome(_ budget: APIKeyBudget) async throws -> String { try await KeyLimitsTests.outcome(limiter, budget) }
}

/// The outcome of one request, or the code of the problem that it met.
func outcome(_ limiter: KeyLimiter, _ budget: APIKeyBudget) async throws -> String {
    do { return try await limiter.admit(budget).outcome.rawValue } catch let problem as Problem { return problem.code }
}

func budget(_ requestsPerMinute: Int?, credits: Bool = false, version: Int64 = 1, id: APIKeyID = .make()) -> APIKeyBudget {
    APIKeyBudget(id: id, version: version, requestsPerMinute: requestsPerMinute, countsCredits: credits)
}
