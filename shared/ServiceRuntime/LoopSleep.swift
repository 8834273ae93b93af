internal import Synchronization

extension EventLoop {
    /// Waits by a timer of the loop; ends early with `CancellationError` when the task is cancelled. For tasks that run on the loop.
    ///
    /// `Task.sleep` wakes two threads of the runtime's own before it comes back to a loop, which is most of what a service costs that has nothing to do.
    public func sleep(for duration: Duration) async throws {
        let sleep = LoopSleep(loop: self, until: monotonicNanoseconds() + UInt64(min(max(0, duration.inSeconds), 1e9) * 1e9))
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in sleep.begin(continuation) }
        } onCancel: {
            sleep.cancel()
        }
    }
}

/// One wait on a loop.
///
/// Unchecked because of the timer, which is touched on the loop alone.
private final class LoopSleep: @unchecked Sendable {
    private enum State {
        case awake
        case asleep(UnsafeContinuation<Void, any Error>)
        case over
    }

    private let loop: EventLoop
    private let until: UInt64
    private let state = Mutex(State.awake)
    private var timer: LoopTimer?

    init(loop: EventLoop, until: UInt64) {
        self.loop = loop
        self.until = until
    }

    func begin(_ continuation: UnsafeContinuation<Void, any Error>) {
        let begins = state.withLock { state -> Bool in
            if case .over = state { return false }
            state = .asleep(continuation)
            return true
        }
        if !begins { return continuation.resume(throwing: CancellationError()) }
        if loop.inLoop { arm() } else { loop.execute { self.arm() } }
    }

    /// A timer counts from the beginning of the loop's turn, so it may come early; then it is set again.
    private func arm() {
        // The one that has fired holds this.
        timer = nil
        let now = monotonicNanoseconds()
        if now >= until { return end(nil) }
        if case .over = state.withLock({ $0 }) { return }
        timer = loop.timer(after: .nanoseconds(Int64(until - now))) { [self] in arm() }
    }

    func cancel() {
        end(CancellationError())
        loop.execute {
            self.timer?.cancel()
            self.timer = nil
        }
    }

    private func end(_ error: (any Error)?) {
        let continuation = state.withLock { state -> UnsafeContinuation<Void, any Error>? in
            defer { state = .over }
            if case .asleep(let continuation) = state { return continuation }
            return nil
        }
        guard let continuation else { return }
        if let error { continuation.resume(throwing: error) } else { continuation.resume() }
    }
}
