public import Contracts
public import ServiceRuntime
internal import Synchronization

/// A clock that stands still until a test advances it; sleepers wake when their time has come, in order.
public final class ManualTimeSource: TimeSource {
    private struct Sleeper {
        let id: UInt64
        let wakeAt: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var time: Timestamp
        var monotonic: UInt64 = 1_000_000_000
        var sleepers: [Sleeper] = []
        var nextID: UInt64 = 0
    }

    private let state: Mutex<State>
    /// Somebody has begun to sleep, for so long.
    public let fellAsleep = TestSignal<Duration>()

    /// A clock that shows this time.
    public init(_ start: Timestamp = Timestamp(seconds: 1_760_000_000)) { state = Mutex(State(time: start)) }

    /// The time that it shows.
    public func now() -> Timestamp { state.withLock { $0.time } }

    /// Nanoseconds that it has been advanced by, from a start of one second.
    public func monotonicNanoseconds() -> UInt64 { state.withLock { $0.monotonic } }

    /// How many tasks sleep on it.
    public var sleeperCount: Int { state.withLock { $0.sleepers.count } }

    /// Moves it forward and wakes those whose time has come.
    public func advance(by duration: Duration) {
        let due = state.withLock { state -> [Sleeper] in
            let (seconds, attoseconds) = duration.components
            state.time += duration
            state.monotonic += UInt64(max(0, seconds * 1_000_000_000 + attoseconds / 1_000_000_000))
            let now = state.monotonic
            let due = state.sleepers.filter { $0.wakeAt <= now }.sorted { ($0.wakeAt, $0.id) < ($1.wakeAt, $1.id) }
            state.sleepers.removeAll { $0.wakeAt <= now }
            return due
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// Moves it forward to this time; never back.
    public func advance(to time: Timestamp) {
        let difference = time - now()
        if difference > .zero { advance(by: difference) }
    }

    /// Sleeps until the clock has been advanced this far.
    public func sleep(for duration: Duration) async throws {
        guard duration > .zero else { return try Task.checkCancellation() }
        let (seconds, attoseconds) = duration.components
        let nanoseconds = UInt64(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        let id = state.withLock { state -> UInt64 in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                state.withLock { $0.sleepers.append(Sleeper(id: id, wakeAt: $0.monotonic + nanoseconds, continuation: continuation)) }
                fellAsleep.signal(duration)
                if Task.isCancelled { wake(id) }
            }
        } onCancel: {
            wake(id)
        }
    }

    /// Runs `body` while the clock is moved on for whoever sleeps for a time that is to pass at once: gives these pauses with the value.
    public func passingPauses<Value: Sendable>(
        where passes: @escaping @Sendable (Duration) -> Bool,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> (value: Value, pauses: [Duration]) {
        try await withThrowingTaskGroup(of: (Value?, [Duration]).self) { group in
            group.addTask { (try await body(), []) }
            group.addTask { [self] in
                var pauses: [Duration] = []
                while let pause = try? await fellAsleep.next() {
                    guard passes(pause) else { continue }
                    pauses.append(pause)
                    advance(by: pause)
                }
                return (nil, pauses)
            }
            var value: Value?
            var pauses: [Duration] = []
            while let (one, passed) = try await group.next() {
                if let one {
                    value = one
                    group.cancelAll()
                } else {
                    pauses = passed
                }
            }
            guard let value else { throw CancellationError() }
            return (value, pauses)
        }
    }

    private func wake(_ id: UInt64) {
        let sleeper = state.withLock { state -> Sleeper? in
            guard let index = state.sleepers.firstIndex(where: { $0.id == id }) else { return nil }
            return state.sleepers.remove(at: index)
        }
        sleeper?.continuation.resume(throwing: CancellationError())
    }
}
