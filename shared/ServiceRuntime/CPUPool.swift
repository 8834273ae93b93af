internal import Glibc
internal import Synchronization

/// A share of the CPU pool: how much of one kind of work may run and wait at once.
public struct CPULane: Sendable, Hashable {
    /// The lane's name, as it stands in metrics.
    public let name: String
    /// How many pieces of this work may run at once.
    public let maximumConcurrent: Int
    /// How many may wait; one more is refused with ``CPUPoolError/laneFull(name:)``.
    public let maximumQueued: Int

    /// A lane of its own.
    public init(name: String, maximumConcurrent: Int, maximumQueued: Int) {
        precondition(maximumConcurrent > 0 && maximumQueued >= 0)
        self.name = name
        self.maximumConcurrent = maximumConcurrent
        self.maximumQueued = maximumQueued
    }

    /// The machine's processors.
    public static let processors = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

    /// For work without a lane of its own.
    public static let general = CPULane(name: "general", maximumConcurrent: processors, maximumQueued: 1024)

    /// Password hashes take a quarter of a second each: at most half the cores, so that a wave of logins stops nothing else.
    public static let passwordHashing = CPULane(name: "password_hashing", maximumConcurrent: max(1, processors / 2), maximumQueued: 32)
}

/// Why the pool did not run something.
public enum CPUPoolError: Error, Sendable, CustomStringConvertible {
    /// Too much of this work waits already: the caller should try later (429).
    case laneFull(name: String)
    /// The pool is stopping.
    case stopped

    /// The error in a line.
    public var description: String {
        switch self {
        case .laneFull(let name): "too much work of kind \(name) is waiting"
        case .stopped: "the pool has stopped"
        }
    }
}

/// A few threads for work that computes or blocks, so that loops never do.
public final class CPUPool: Sendable {
    private struct LaneState {
        var running = 0
        var waiting: [@Sendable () -> Void] = []
        var waitingFrom = 0
        var queued: Int { waiting.count - waitingFrom }
    }

    private struct State {
        var ready: [(lane: CPULane, body: @Sendable () -> Void)] = []
        var readyFrom = 0
        var lanes: [String: LaneState] = [:]
        var stopping = false
    }

    private let state = Mutex(State())
    private let available: Semaphore
    private let threads: Int

    /// Starts the pool's threads.
    public init(threads: Int = CPULane.processors) throws {
        precondition(threads > 0)
        self.threads = threads
        available = Semaphore()
        for index in 0..<threads { try startThread(named: "cpu-\(index)") { [self] in work() } }
    }

    /// Runs `body` on one of the pool's threads.
    public func run<T: Sendable>(lane: CPULane = .general, _ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
            let piece: @Sendable () -> Void = { continuation.resume(with: Result { try body() }) }
            let refusal = state.withLock { state -> CPUPoolError? in
                if state.stopping { return .stopped }
                var lanes = state.lanes[lane.name] ?? LaneState()
                defer { state.lanes[lane.name] = lanes }
                if lanes.running < lane.maximumConcurrent {
                    lanes.running += 1
                    state.ready.append((lane, piece))
                    return nil
                }
                if lanes.queued >= lane.maximumQueued { return .laneFull(name: lane.name) }
                lanes.waiting.append(piece)
                return nil
            }
            if let refusal { continuation.resume(throwing: refusal) } else { available.signal() }
        }
    }

    /// The body's results in order, worked out on as many threads as the lane allows; elements are handed out a stretch at a time.
    public func map<Element: Sendable, T: Sendable>(
        lane: CPULane = .general,
        _ elements: [Element],
        _ body: @escaping @Sendable (Element) throws -> T
    ) async throws -> [T] {
        let length = max(1, elements.count / (lane.maximumConcurrent * 4))
        if lane.maximumConcurrent == 1 || elements.count <= length { return try await run(lane: lane) { try elements.map(body) } }
        return try await withThrowingTaskGroup(of: (Int, [T]).self) { group in
            for first in stride(from: 0, to: elements.count, by: length) {
                let stretch = elements[first..<min(first + length, elements.count)]
                group.addTask { (first, try await self.run(lane: lane) { try stretch.map(body) }) }
            }
            var parts: [(Int, [T])] = []
            for try await part in group { parts.append(part) }
            return parts.sorted { $0.0 < $1.0 }.flatMap(\.1)
        }
    }

    /// Ends the threads once what was accepted has run.
    public func stop() {
        state.withLock { $0.stopping = true }
        for _ in 0..<threads { available.signal() }
    }

    private func work() {
        while true {
            available.wait()
            let (next, stopping) = state.withLock { state -> ((lane: CPULane, body: @Sendable () -> Void)?, Bool) in
                guard state.readyFrom < state.ready.count else { return (nil, state.stopping) }
                let next = state.ready[state.readyFrom]
                state.readyFrom += 1
                if state.readyFrom == state.ready.count {
                    state.ready.removeAll(keepingCapacity: true)
                    state.readyFrom = 0
                }
                return (next, false)
            }
            guard let next else {
                if stopping { return }
                continue
            }
            next.body()
            let promoted = state.withLock { state -> Bool in
                guard var lane = state.lanes[next.lane.name] else { return false }
                defer { state.lanes[next.lane.name] = lane }
                guard lane.queued > 0 else {
                    lane.running -= 1
                    return false
                }
                let body = lane.waiting[lane.waitingFrom]
                lane.waitingFrom += 1
                if lane.waitingFrom == lane.waiting.count {
                    lane.waiting = []
                    lane.waitingFrom = 0
                }
                state.ready.append((next.lane, body))
                return true
            }
            if promoted { available.signal() }
        }
    }
}

/// A counting semaphore of the C library, at an address that does not move.
private final class Semaphore: @unchecked Sendable {
    // Unchecked because sem_t is made for use from many threads.
    private let handle = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(handle, 0, 0) }

    func signal() { sem_post(handle) }

    func wait() { while sem_wait(handle) != 0 {} }

    deinit {
        sem_destroy(handle)
        handle.deallocate()
    }
}
