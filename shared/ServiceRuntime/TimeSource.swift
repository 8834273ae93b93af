public import Contracts

/// The clocks that a part of Auspex lives by, replaceable in tests.
public protocol TimeSource: Sendable {
    /// The time of day; may jump.
    func now() -> Timestamp
    /// Nanoseconds of a clock that never jumps.
    func monotonicNanoseconds() -> UInt64
    /// Waits; ends early with `CancellationError` when the task is cancelled.
    func sleep(for duration: Duration) async throws
}

/// The machine's own clocks.
public struct SystemTimeSource: TimeSource {
    /// The machine's own clocks.
    public init() {}

    /// The system's time of day.
    public func now() -> Timestamp { Timestamp.now() }

    /// The system's monotonic clock.
    public func monotonicNanoseconds() -> UInt64 { ServiceRuntime.monotonicNanoseconds() }

    /// Waits in real time; on a loop by the loop's own timer.
    public func sleep(for duration: Duration) async throws {
        guard let loop = EventLoop.current else { return try await Task.sleep(for: duration, clock: .continuous) }
        try await loop.sleep(for: duration)
    }
}
