internal import Synchronization

/// How long to wait before looking again whether a dependency is back: longer each time until an event has gone through.
final class DependencyBreak: Sendable {
    private let failures = Mutex(0)
    private let firstDelay: Duration

    init(firstDelay: Duration) {
        self.firstDelay = firstDelay
    }

    func nextDelay() -> Duration {
        let count = failures.withLock { failures -> Int in
            defer { failures += 1 }
            return failures
        }
        return firstDelay * min(30, 1 << min(count, 5))
    }

    func succeeded() { failures.withLock { $0 = 0 } }
}
