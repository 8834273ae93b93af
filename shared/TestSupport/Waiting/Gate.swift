internal import Synchronization

/// A door inside what is tested: it stays shut until the test opens it, and tells who came, who got through and who was cancelled before it.
public final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [UInt64: CheckedContinuation<Void, any Error>] = [:]
        var nextID: UInt64 = 0
        var cancelledCount = 0
    }

    private let state = Mutex(State())
    /// Somebody has come to the gate.
    public let entered = TestSignal<Void>()
    /// Somebody was cancelled while waiting.
    public let cancelled = TestSignal<Void>()
    /// Somebody has got through.
    public let passed = TestSignal<Void>()

    /// A gate that is shut.
    public init() {}

    /// How many were cancelled while waiting: known as soon as the cancel itself has returned.
    public var cancelledCount: Int { state.withLock { $0.cancelledCount } }

    /// Lets all through who wait, and all who come.
    public func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [:] }
            return state.waiting
        }
        for continuation in waiting.values { continuation.resume() }
    }

    /// Shuts it again for who comes from now on.
    public func shut() { state.withLock { $0.isOpen = false } }

    /// Waits until the gate is open; throws `CancellationError` when the task is cancelled before.
    public func pass() async throws {
        let id = state.withLock { state -> UInt64 in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let mayPass = state.withLock { state in
                    if !state.isOpen { state.waiting[id] = continuation }
                    return state.isOpen
                }
                entered.signal()
                if mayPass { continuation.resume() } else if Task.isCancelled { turnAway(id) }
            }
        } onCancel: {
            turnAway(id)
        }
        passed.signal()
    }

    private func turnAway(_ id: UInt64) {
        let waiting = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard let waiting = state.waiting.removeValue(forKey: id) else { return nil }
            state.cancelledCount += 1
            return waiting
        }
        guard let waiting else { return }
        cancelled.signal()
        waiting.resume(throwing: CancellationError())
    }
}
