import ServiceRuntime
import Synchronization
import Testing

/// Atomics cannot be captured by nested closures; an object can.
private final class Tally: Sendable {
    let running = Atomic<Int>(0)
    let most = Atomic<Int>(0)
}

@Suite("CPU pool")
struct CPUPoolTests {
    @Test("a lane runs no more at once than it may, and everything it accepted")
    func laneBound() async throws {
        let pool = try CPUPool(threads: 4)
        let lane = CPULane(name: "two", maximumConcurrent: 2, maximumQueued: 100)
        let tally = Tally()
        let done = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await pool.run(lane: lane) {
                        let now = tally.running.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                        tally.most.max(now, ordering: .sequentiallyConsistent)
                        var sum = 0
                        for value in 0..<20_000 { sum &+= value }
                        tally.running.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                        return sum > 0 ? 1 : 0
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(done == 50)
        #expect(tally.most.load(ordering: .relaxed) <= 2)
        pool.stop()
    }

    @Test("one piece of work too many is refused at once")
    func refuses() async throws {
        let pool = try CPUPool(threads: 2)
        let lane = CPULane(name: "narrow", maximumConcurrent: 1, maximumQueued: 0)
        let gate = Mutex(false)
        let started = AsyncStream<Void>.makeStream()
        async let first: Void = pool.run(lane: lane) {
            started.continuation.yield()
            while !gate.withLock({ $0 }) {}
        }
        for await _ in started.stream { break }
        let error = await #expect(throws: CPUPoolError.self) { try await pool.run(lane: lane) {} }
        guard case .laneFull("narrow") = error else {
            Issue.record("expected a full lane, got \(String(describing: error))")
            return
        }
        gate.withLock { $0 = true }
        try await first
        pool.stop()
    }

    @Test("an error of the work reaches the caller")
    func throwing() async throws {
        struct Failure: Error {}
        let pool = try CPUPool(threads: 1)
        await #expect(throws: Failure.self) { try await pool.run { throw Failure() } }
        pool.stop()
    }
}
