internal import Contracts
public import HTTPServing
internal import Synchronization
public import ServiceRuntime

/// Counts what API keys use up, on every replica: requests from blocks of tokens and credits that are in memory, and one question for all who wait when
/// a block is used up.
///
/// With the tokens' keeper away each replica goes by its share of the limit, marks the answers, and asks again once a second in the background; what it
/// let through meanwhile is told afterwards. With the credits' keeper away what is at hand may be spent, then requests get a 503. What is not used
/// comes back: at the drain, and after half a minute in which nobody asked.
public final class KeyLimiter: APIKeyLimiter, Component {
    /// The component's name.
    public let name = "key-limits"

    private struct State {
        var entries: [APIKeyID: BudgetEntry] = [:]
        /// Credits on their way back.
        var owed: [CreditReturn.Block] = []
        /// Whether the tokens' keeper is away, and when it is asked again.
        var isAlone = false
        var probeAt: UInt64 = 0
    }

    private enum Action {
        case answer(APIKeyAllowance)
        case unavailable
        case wait(Task<Void, Never>)
    }

    private let tokens: any RateTokens
    private let lender: any CreditLender
    private let sharers: Int
    private let control: EventLoop
    private let time: any TimeSource
    private let maximumEntries: Int
    private let connections: [any Component]
    private let state = Mutex(State())
    private let sweeping = BackgroundTask()
    private let logger = Logger("key-limits")
    private static let probeInterval: UInt64 = 1_000_000_000
    private static let idle: UInt64 = 30_000_000_000
    private static let maximumOwed = 50_000
    static let sweepInterval = Duration.seconds(10)

    /// - Parameters:
    ///   - sharers: how many processes enforce the same limits, this one among them: what a limit is divided by when `tokens` cannot be asked.
    ///   - maximumEntries: how many budgets are kept in mind at most.
    ///   - connections: what is started and stopped with it.
    public init(
        tokens: any RateTokens,
        lender: any CreditLender,
        sharers: Int,
        control: EventLoop,
        time: any TimeSource = SystemTimeSource(),
        maximumEntries: Int = 50_000,
        connections: [any Component] = []
    ) {
        self.tokens = tokens
        self.lender = lender
        self.sharers = sharers
        self.control = control
        self.time = time
        self.maximumEntries = maximumEntries
        self.connections = connections
    }

    /// Takes one request out of a budget.
    public func admit(_ budget: APIKeyBudget) async throws -> APIKeyAllowance {
        var hasWaited = false
        while true {
            switch next(budget, hasWaited: hasWaited) {
            case .answer(let allowance):
                Self.count(allowance)
                return allowance
            case .unavailable:
                throw Problem.unavailable(code: "credits_unavailable", detail: "The credits of this API key cannot be counted right now.")
            case .wait(let fetch):
                await fetch.value
                hasWaited = true
            }
        }
    }

    private func next(_ budget: APIKeyBudget, hasWaited: Bool) -> Action {
        let now = time.monotonicNanoseconds()
        return state.withLock { state in
            prepare(&state, budget, now)
            let isAlone = state.isAlone
            guard var entry = state.entries[budget.id] else { return .unavailable }
            defer { state.entries[budget.id] = entry }
            // In the same turn as the next step: the next block is for all who still wait.
            if hasWaited { entry.waiting -= 1 }
            let step = entry.step(isAlone: isAlone, at: now)
            if isAlone, entry.budget.requestsPerMinute != nil, now >= state.probeAt, entry.fetchesTokens == nil {
                state.probeAt = now + Self.probeInterval
                _ = fetchTokens(&entry, now)
            }
            switch step {
            case .admitted(let allowance), .refused(let allowance): return .answer(allowance)
            case .creditsUnknown: return .unavailable
            case .needsCredits:
                entry.waiting += 1
                return .wait(fetchCredits(&entry))
            case .needsTokens:
                entry.waiting += 1
                return .wait(fetchTokens(&entry, now))
            }
        }
    }

    /// Makes sure that there is an entry for the newest known version of a budget.
    private func prepare(_ state: inout State, _ budget: APIKeyBudget, _ now: UInt64) {
        if let known = state.entries[budget.id] {
            // A request may have waited with an older verdict.
            if known.budget == budget || known.budget.version > budget.version { return }
            var before = known
            if let block = before.handBack() { owe(&state, block) }
            var entry = BudgetEntry(budget, sharers: sharers, at: now, before: before)
            entry.waiting = before.waiting
            state.entries[budget.id] = entry
            return
        }
        if state.entries.count >= maximumEntries {
            drop(&state) { $0.usedAt + 2 * BudgetEntry.window <= now }
            if state.entries.count >= maximumEntries { drop(&state) { _ in true } }
        }
        state.entries[budget.id] = BudgetEntry(budget, sharers: sharers, at: now)
    }

    /// Forgets entries for which nobody waits; their credits go back.
    private func drop(_ state: inout State, where isUnwanted: (BudgetEntry) -> Bool) {
        for (id, entry) in state.entries where entry.fetchesTokens == nil && entry.fetchesCredits == nil && entry.waiting == 0 && isUnwanted(entry) {
            var entry = entry
            if let block = entry.handBack() { owe(&state, block) }
            state.entries[id] = nil
        }
    }

    private func owe(_ state: inout State, _ block: CreditReturn.Block) {
        // With auth away for long the credits are lost to their owner, and not memory to us.
        if state.owed.count < Self.maximumOwed { state.owed.append(block) }
    }

    // MARK: Fetching

    private func fetchTokens(_ entry: inout BudgetEntry, _ now: UInt64) -> Task<Void, Never> {
        if let running = entry.fetchesTokens { return running }
        let (budget, asked, debt) = (entry.budget, entry.tokensToAsk, entry.takeDebt(at: now))
        let task = Task<Void, Never>(on: EventLoop.current ?? control) { [self] in
            do {
                let grant = try await tokens.take(asked, of: budget.id, limit: budget.requestsPerMinute ?? 0, debt: debt)
                setAlone(false)
                settle(budget) { $0.received(grant, askedAt: now) }
            } catch {
                let failedAt = time.monotonicNanoseconds()
                // Before the entry lets go of its waiters: they are to find that we are alone.
                setAlone(true, reason: "\(error)", at: failedAt)
                settle(budget) { $0.putBack(debt: debt, at: failedAt) }
            }
        }
        entry.fetchesTokens = task
        return task
    }

    /// Ends the fetching of tokens for a budget, unless its owner has changed it meanwhile.
    private func settle(_ budget: APIKeyBudget, _ change: (inout BudgetEntry) -> Void) {
        state.withLock { state in
            guard var entry = state.entries[budget.id], entry.budget == budget else { return }
            entry.fetchesTokens = nil
            change(&entry)
            state.entries[budget.id] = entry
        }
    }

    private func fetchCredits(_ entry: inout BudgetEntry) -> Task<Void, Never> {
        if let running = entry.fetchesCredits { return running }
        let (budget, block) = (entry.budget, entry.nextBlock)
        let task = Task<Void, Never>(on: EventLoop.current ?? control) { [self] in
            let answer: CreditBlockAnswer?
            do { answer = try await lender.take(block, of: budget.id) } catch {
                answer = nil
                logger.warning("credits could not be taken", ["reason": .string("\(error)")])
            }
            let now = time.monotonicNanoseconds()
            state.withLock { state in
                guard var entry = state.entries[budget.id], entry.budget == budget else {
                    if let answer, answer.credits > 0 { owe(&state, CreditReturn.Block(blockID: block, unused: answer.credits)) }
                    return
                }
                entry.fetchesCredits = nil
                if let answer { entry.received(answer, at: now) } else { entry.creditsFailed(at: now) }
                state.entries[budget.id] = entry
            }
        }
        entry.fetchesCredits = task
        return task
    }

    private func setAlone(_ isAlone: Bool, reason: String = "", at now: UInt64 = 0) {
        let changed = state.withLock { state in
            if isAlone { state.probeAt = now + Self.probeInterval }
            guard state.isAlone != isAlone else { return false }
            state.isAlone = isAlone
            return true
        }
        guard changed else { return }
        Self.alone.set(isAlone ? 1 : 0)
        if isAlone {
            logger.warning("rates cannot be shared; each replica goes by its part", ["reason": .string(reason), "sharers": .integer(sharers)])
        } else {
            logger.notice("rates are shared again")
        }
    }

    // MARK: Giving back

    /// Begins to give back what nobody uses.
    public func start() async throws {
        for connection in connections { try await connection.start() }
        sweeping.start(on: control, every: Self.sweepInterval, time: time, pausesFirst: true) { [self] in await sweep() }
    }

    /// Gives back all credits at hand.
    public func stop() async {
        await sweeping.stop()
        handBack { _ in true }
        await payBack()
        for connection in connections.reversed() { await connection.stop() }
    }

    /// Gives back credits that nobody has asked for lately, and forgets what does not count any more.
    func sweep() async {
        let now = time.monotonicNanoseconds()
        handBack { $0.usedAt + Self.idle <= now }
        state.withLock { state in drop(&state) { $0.usedAt + 2 * BudgetEntry.window <= now } }
        await payBack()
    }

    private func handBack(where isIdle: (BudgetEntry) -> Bool) {
        state.withLock { state in
            for (id, entry) in state.entries where isIdle(entry) {
                var entry = entry
                guard let block = entry.handBack() else { continue }
                state.entries[id] = entry
                owe(&state, block)
            }
        }
    }

    private func payBack() async {
        while true {
            let blocks = state.withLock { state in
                let blocks = Array(state.owed.prefix(CreditReturn.maximumBlocks))
                state.owed.removeFirst(blocks.count)
                return blocks
            }
            guard !blocks.isEmpty else { return }
            do {
                try await lender.giveBack(blocks)
            } catch {
                logger.warning("credits not given back yet", ["blocks": .integer(blocks.count), "reason": .string("\(error)")])
                return state.withLock { state in
                    for block in blocks { owe(&state, block) }
                }
            }
        }
    }

    // MARK: For tests

    /// How many requests wait for something of a budget.
    func waitingCount(_ budget: APIKeyID) -> Int { state.withLock { $0.entries[budget]?.waiting ?? 0 } }

    /// How many budgets are kept in mind.
    var entryCount: Int { state.withLock { $0.entries.count } }

    /// Whether it goes by its share.
    var isAlone: Bool { state.withLock { $0.isAlone } }

    // MARK: Metrics

    private static let alone = Metrics.shared.gauge(
        "auspex_key_limits_degraded",
        help: "1 while rates of API keys cannot be shared with other replicas."
    )
    private static let outcomes: [APIKeyVerdict.Outcome: Counter] = Dictionary(
        uniqueKeysWithValues: [APIKeyVerdict.Outcome.valid, .usageExceeded, .rateLimited].map { outcome in
            let counter = Metrics.shared.counter(
                "auspex_key_limits_requests_total",
                help: "Requests with API keys that have a budget.",
                labels: ["outcome": outcome.rawValue]
            )
            return (outcome, counter)
        }
    )

    private static func count(_ allowance: APIKeyAllowance) { outcomes[allowance.outcome]?.increment() }
}
