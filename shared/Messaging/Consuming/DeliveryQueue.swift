internal import Synchronization

/// Deliveries between the broker's thread and the loop that handles them: bounded by the prefetch, worked off by so many workers at once.
final class DeliveryQueue: Sendable {
    private struct State {
        var waiting: [HeldDelivery] = []
        var workers = 0
        var isPaused = false
        var idleWaiters: [UnsafeContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let maximumWorkers: Int

    init(maximumWorkers: Int) {
        self.maximumWorkers = maximumWorkers
    }

    /// Whether the caller has to start a worker for it.
    func push(_ delivery: HeldDelivery) -> Bool {
        state.withLock { state in
            state.waiting.append(delivery)
            guard !state.isPaused, state.workers < maximumWorkers else { return false }
            state.workers += 1
            return true
        }
    }

    /// The next delivery for a worker; nil ends the worker.
    func next() -> HeldDelivery? {
        let (delivery, waiters) = state.withLock { state -> (HeldDelivery?, [UnsafeContinuation<Void, Never>]) in
            if !state.isPaused, !state.waiting.isEmpty { return (state.waiting.removeFirst(), []) }
            state.workers -= 1
            guard state.workers == 0 else { return (nil, []) }
            defer { state.idleWaiters = [] }
            return (nil, state.idleWaiters)
        }
        for waiter in waiters { waiter.resume() }
        return delivery
    }

    /// Keeps workers from taking more; false when it was so already.
    func pause() -> Bool {
        state.withLock { state in
            defer { state.isPaused = true }
            return !state.isPaused
        }
    }

    /// Lets workers go on; gives how many to start.
    func resume() -> Int {
        state.withLock { state in
            state.isPaused = false
            let missing = min(state.waiting.count, maximumWorkers) - state.workers
            guard missing > 0 else { return 0 }
            state.workers += missing
            return missing
        }
    }

    /// What no worker has taken yet.
    func takeWaiting() -> [HeldDelivery] {
        state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
    }

    /// Returns when no worker is at work.
    func idle() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let isIdle = state.withLock { state -> Bool in
                if state.workers > 0 { state.idleWaiters.append(continuation) }
                return state.workers == 0
            }
            if isIdle { continuation.resume() }
        }
    }
}
