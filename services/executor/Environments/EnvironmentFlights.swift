import Contracts
import ServiceRuntime
import Synchronization

/// Environments that are being made in this process: one flight for each set of requirements, a few at a time, with a memory of failures.
///
/// A flight belongs to no job. Who needs its environment waits as long as the job's class allows; then that job ends, and the flight goes on,
/// so that a later run finds what it made. Requirements that failed are not tried again for a while: their author gets the same answer at once.
///
/// Whose build comes next goes by account: the one with the fewest builds under way, of these the one that had its turn longest ago. While
/// several can be made at once, one account never has them all. The time in this queue is the platform's; a run's own counts from the
/// beginning of its build.
final class EnvironmentFlights: Sendable {
    /// How long a failure is remembered, by whose it is: a network that was away may be back in a moment.
    static let memoryOfTheirs = Duration.seconds(300)
    static let memoryOfOurs = Duration.seconds(10)
    private static let mostFailures = 10_000

    private struct Failure {
        var error: EnvironmentError
        var until: UInt64
    }

    private struct State {
        var flights: [String: Flight] = [:]
        var failures: [String: Failure] = [:]
        /// Builds under way, by account.
        var running: [String: Int] = [:]
        /// In the order of coming.
        var waiting: [(account: String, continuation: CheckedContinuation<Void, Never>)] = []
        /// When an account had its last turn, as a count of all turns.
        var turns: [String: Int] = [:]
        var turnCount = 0
    }

    private let state = Mutex(State())
    private let width: Int
    let loop: EventLoop
    private let time: any TimeSource
    private let whenIdle: @Sendable () async -> Void

    /// Makes at most `width` environments at once, on the given loop; `whenIdle` is done whenever the last of them has been made.
    init(width: Int, loop: EventLoop, time: any TimeSource = SystemTimeSource(), whenIdle: @escaping @Sendable () async -> Void = {}) {
        precondition(width > 0)
        self.whenIdle = whenIdle
        self.width = width
        self.loop = loop
        self.time = time
    }

    /// What `make` makes for these requirements, or what another's call for the same made.
    ///
    /// Throws `EnvironmentError` of kind `time_limit` when that takes longer than `limit` from the beginning of its build, and of kind `infra`
    /// when the wait for its turn does, or when the lock was kept before.
    ///
    /// - Parameters:
    ///   - account: whose turn it takes; nil for one of its own.
    ///   - log: what `make` is given to say.
    ///   - onLog: hears what the build says as long as it is waited for.
    func environment(
        _ key: String,
        account: String? = nil,
        within limit: Duration,
        log: @autoclosure () -> BuildLog = BuildLog(),
        onLog: BuildLog.Listener? = nil,
        make: @escaping @Sendable (BuildLog) async throws -> PythonEnvironment
    ) async throws -> PythonEnvironment {
        let (flight, isNew) = try state.withLock { state -> (Flight, Bool) in
            if let failure = state.failures[key] {
                if time.monotonicNanoseconds() < failure.until { throw failure.error }
                state.failures[key] = nil
            }
            if let flight = state.flights[key] { return (flight, false) }
            let flight = Flight(log: log())
            state.flights[key] = flight
            return (flight, true)
        }
        let listener = onLog.map { flight.log.listen($0) }
        defer { if let listener { flight.log.leave(listener) } }
        // Of no job: what a job's cancellation means for a sandbox must not reach it.
        if isNew { Task(on: loop) { await self.fly(flight, key, account ?? key, make) } }
        return try await flight.value(within: limit, time)
    }

    private func fly(_ flight: Flight, _ key: String, _ account: String, _ make: @Sendable (BuildLog) async throws -> PythonEnvironment) async {
        await enter(account)
        flight.begin(time)
        let outcome: Result<PythonEnvironment, any Error>
        do {
            outcome = .success(try await make(flight.log))
        } catch {
            outcome = .failure(error)
        }
        let isIdle = leave(account)
        state.withLock { state in
            state.flights[key] = nil
            guard case .failure(let error as EnvironmentError) = outcome else { return }
            let now = time.monotonicNanoseconds()
            if state.failures.count >= Self.mostFailures { state.failures = state.failures.filter { $0.value.until > now } }
            guard state.failures.count < Self.mostFailures else { return }
            let memory = error.kind.isRetried ? Self.memoryOfOurs : Self.memoryOfTheirs
            state.failures[key] = Failure(error: error, until: now + UInt64(memory.wholeMicroseconds) * 1000)
        }
        flight.land(outcome)
        if isIdle { await whenIdle() }
    }

    private func enter(_ account: String) async {
        await withCheckedContinuation { continuation in
            let next = state.withLock { state in
                state.waiting.append((account, continuation))
                return takeTurn(&state)
            }
            next?.resume()
        }
    }

    /// Gives the turn on; true when nothing is made any more.
    private func leave(_ account: String) -> Bool {
        let (next, isIdle) = state.withLock { state in
            state.running[account] = state.running[account].flatMap { $0 > 1 ? $0 - 1 : nil }
            let next = takeTurn(&state)
            return (next, state.running.isEmpty)
        }
        next?.resume()
        return isIdle
    }

    /// Who may begin now; nil when nobody may.
    private func takeTurn(_ state: inout State) -> CheckedContinuation<Void, Never>? {
        guard state.running.values.reduce(0, +) < width else { return nil }
        let most = max(1, width - 1)
        let (running, turns) = (state.running, state.turns)
        func rank(_ account: String) -> (Int, Int) { (running[account] ?? 0, turns[account] ?? 0) }
        let mayGo = state.waiting.indices.filter { rank(state.waiting[$0].account).0 < most }
        // The first of equals: within an account they go in the order of coming.
        guard let index = mayGo.min(by: { rank(state.waiting[$0].account) < rank(state.waiting[$1].account) }) else { return nil }
        let next = state.waiting.remove(at: index)
        state.running[next.account, default: 0] += 1
        state.turnCount += 1
        state.turns[next.account] = state.turnCount
        // Only the order of those who wait matters.
        if state.turns.count > 1024 {
            let present = Set(state.waiting.map(\.account)).union(state.running.keys)
            state.turns = state.turns.filter { present.contains($0.key) }
        }
        return next.continuation
    }
}

/// One environment in the making, and who waits for it.
private final class Flight: Sendable {
    private struct State {
        var outcome: Result<PythonEnvironment, any Error>?
        var waiters: [Int: CheckedContinuation<PythonEnvironment, any Error>] = [:]
        var count = 0
        /// When its turn came, by the monotonic clock.
        var begunAt: UInt64?
    }

    private let state = Mutex(State())
    /// What it says.
    let log: BuildLog

    init(log: BuildLog) {
        self.log = log
    }

    /// Its turn has come: from now on its time is that of whoever waits for it.
    func begin(_ time: any TimeSource) {
        let now = time.monotonicNanoseconds()
        state.withLock { $0.begunAt = now }
    }

    func land(_ outcome: Result<PythonEnvironment, any Error>) {
        let waiters = state.withLock { state in
            state.outcome = outcome
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume(with: outcome) }
    }

    /// The environment; cancelling the task ends the wait and nothing else.
    func value(within limit: Duration, _ time: any TimeSource) async throws -> PythonEnvironment {
        try await withThrowingTaskGroup(of: PythonEnvironment.self) { group in
            group.addTask { try await self.value() }
            group.addTask { throw try await self.lateness(limit, time) }
            defer { group.cancelAll() }
            guard let environment = try await group.next() else { throw CancellationError() }
            return environment
        }
    }

    /// Waits until the time of a run is over; gives what it is told then.
    private func lateness(_ limit: Duration, _ time: any TimeSource) async throws -> EnvironmentError {
        try await time.sleep(for: limit)
        let seconds = limit.wholeMicroseconds / 1_000_000
        guard let begunAt = state.withLock({ $0.begunAt }) else {
            return EnvironmentError(
                kind: .infra,
                reason: "the packages of requirements.txt could not be installed yet: builds of others have kept this executor busy for \(seconds) s"
            )
        }
        let end = begunAt + UInt64(max(0, limit.wholeMicroseconds)) * 1000
        let now = time.monotonicNanoseconds()
        if now < end { try await time.sleep(for: .nanoseconds(Int64(end - now))) }
        if log.isOfKeptLock {
            return EnvironmentError(
                kind: .infra,
                reason: "the packages of this version were not installed anew within the \(seconds) s of the run; it is tried again"
            )
        }
        return EnvironmentError(
            kind: .timeLimit,
            reason: "the packages of requirements.txt were not installed within the \(seconds) s of the run; "
                + "they are installed in the background, and a later run finds them"
        )
    }

    private func value() async throws -> PythonEnvironment {
        let number = state.withLock { state in
            state.count += 1
            return state.count
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome = state.withLock { state -> Result<PythonEnvironment, any Error>? in
                    if let outcome = state.outcome { return outcome }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[number] = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: number) }
            waiter?.resume(throwing: CancellationError())
        }
    }
}
