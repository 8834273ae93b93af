import ServiceRuntime
import Synchronization

/// Notes how long the stages of a run took, some of them beside each other.
final class StageClock: Sendable {
    private let stages = Mutex<[String: Double]>([:])

    /// Runs a stage and notes its time.
    func stage<T>(_ name: String, _ body: () async throws -> T) async rethrows -> T {
        let startedAt = monotonicNanoseconds()
        defer { set(name, Double(monotonicNanoseconds() - startedAt) / 1e6) }
        return try await body()
    }

    /// Notes a time in milliseconds.
    func set(_ name: String, _ milliseconds: Double) {
        stages.withLock { $0[name] = (milliseconds * 1000).rounded() / 1000 }
    }

    /// All stages so far, in milliseconds.
    var milliseconds: [String: Double] { stages.withLock { $0 } }
}
