internal import Synchronization

/// Something that happens elsewhere and that a test waits for; nothing is lost between the happening and the waiting.
public final class TestSignal<Value: Sendable>: Sendable {
    private struct State {
        var values: [Value] = []
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Value, any Error>)] = []
        var nextID: UInt64 = 0
    }

    private let state = Mutex(State())

    /// A signal that has not happened yet.
    public init() {}

    /// Says that it happened.
    public func signal(_ value: Value) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, any Error>? in
            if state.waiters.isEmpty {
                state.values.append(value)
                return nil
            }
            return state.waiters.removeFirst().continuation
        }
        waiter?.resume(returning: value)
    }

    /// The next happening, in order; throws when there is none in time.
    public func next(timeout: Duration = .seconds(60)) async throws -> Value {
        let id = state.withLock { state -> UInt64 in
            state.nextID += 1
            return state.nextID
        }
        return try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await self.wait(id) }
            group.addTask {
                try await Task.sleep(for: timeout)
                throw TestSupportError("nothing was signalled within \(timeout)")
            }
            defer {
                group.cancelAll()
                self.giveUp(id)
            }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }

    /// How many happenings nobody has waited for yet.
    public var pendingCount: Int { state.withLock { $0.values.count } }

    private func wait(_ id: UInt64) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let value = state.withLock { state -> Value? in
                    if !state.values.isEmpty { return state.values.removeFirst() }
                    state.waiters.append((id, continuation))
                    return nil
                }
                if let value { continuation.resume(returning: value) } else if Task.isCancelled { giveUp(id) }
            }
        } onCancel: {
            giveUp(id)
        }
    }

    private func giveUp(_ id: UInt64) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, any Error>? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: index).continuation
        }
        waiter?.resume(throwing: CancellationError())
    }
}

extension TestSignal where Value == Void {
    /// Says that it happened.
    public func signal() { signal(()) }
}
