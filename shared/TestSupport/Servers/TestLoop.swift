public import ServiceRuntime

/// Event loops for tests.
public enum TestLoop {
    /// One loop for all tests that do not stop theirs.
    public static let shared: EventLoop = {
        do { return try EventLoop.start(name: "tests") } catch { fatalError("no event loop for the tests: \(error)") }
    }()
}

/// Runs `body` on a loop of its own, which ends afterwards.
public func withLoop<Outcome: Sendable>(_ body: @escaping @Sendable (EventLoop) async throws -> Outcome) async throws -> Outcome {
    let loop = try EventLoop.start(name: "test")
    do {
        let outcome = try await loop.run { try await body(loop) }
        await loop.stop()
        return outcome
    } catch {
        await loop.stop()
        throw error
    }
}
