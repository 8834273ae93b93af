import Contracts
import ServiceRuntime
import Synchronization

/// Environments that are being made in this process: one flight for each set of requirements, a few at a time, with a memory of failures.
///
/// A flight belongs to no job. Who needs its environment waits as long as the job's class allows; then that job ends, and the flight goes on,
/// so that a later run finds what it made. Requirements that failed are not tried again for a while: their author gets the same answer at once.
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
        var running = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let width: Int
    private let loop: EventLoop
    private let time: any TimeSource

    /// Makes at most `width` environments at once, on the given loop.
    init(width: Int, loop: EventLoop, time: any TimeSource = SystemTimeSource()) {
        precondition(width > 0)
        self.width = width
        self.loop = loop
        self.time = time
    }

    /// What `make` makes for these requirements, or what another's call for the same made; throws `EnvironmentError` of kind `time_limit` when
    /// that takes longer than `limit`.
    func environment(
        _ key: String,
        within limit: Duration,
        make: @escaping @Sendable () async throws -> PythonEnvironment
    ) async throws -> PythonEnvironment {
        let (flight, isNew) = try state.withLock { state -> (Flight, Bool) in
            if let failure = state.failures[key] {
                if time.monotonicNanoseconds() < failure.until { throw failure.error }
                state.failures[key] = nil
            }
            if let flight = state.flights[key] { return (flight, false) }
            let flight = Flight()
            state.flights[key] = flight
            return (flight, true)
        }
        // Of no job: what a job's cancellation means for a sandbox must not reach it.
        if isNew { Task(on: loop) { await self.fly(flight, key, make) } }
        return try await flight.value(within: limit, time)
    }

    private func fly(_ flight: Flight, _ key: String, _ make: @Sendable () async throws -> PythonEnvironment) async {
        await enter()
        let outcome: Result<PythonEnvironment, any Error>
        do {
            outcome = .success(try await make())
        } catch {
            outcome = .failure(error)
        }
        leave()
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
    }

    private func enter() async {
        await withCheckedContinuation { continuation in
            let mayGo = state.withLock { state -> Bool in
                if state.running < width {
                    state.running += 1
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if mayGo { continuation.resume() }
        }
    }

    private func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.waiting.isEmpty {
                state.running -= 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}

/// One environment in the making, and who waits for it.
private final class Flight: Sendable {
    private struct State {
        var outcome: Result<PythonEnvironment, any Error>?
        var waiters: [Int: CheckedContinuation<PythonEnvironment, any Error>] = [:]
        var count = 0
    }

    private let state = Mutex(State())

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
            group.addTask {
                try await time.sleep(for: limit)
                let seconds = limit.wholeMicroseconds / 1_000_000
                throw EnvironmentError(
                    kind: .timeLimit,
                    reason: "the packages of requirements.txt were not installed within the \(seconds) s of the run; "
                        + "they are installed in the background, and a later run finds them"
                )
            }
            defer { group.cancelAll() }
            guard let environment = try await group.next() else { throw CancellationError() }
            return environment
        }
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
