internal import ServiceRuntime
internal import Synchronization

/// Wakes one relay; a ring while it is awake keeps it from going to sleep the next time.
final class RelayBell: Sendable {
    private struct State {
        var hasRung = false
        /// Whether one of the rings came from this process.
        var isPoked = false
        var waiter: UnsafeContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// A poke comes from a commit of this process; anything else is word from outside, of which nobody else has to be told.
    func ring(isPoke: Bool) {
        let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            state.hasRung = true
            if isPoke { state.isPoked = true }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns at the next ring, at once if one came since the last call, or after `limit`; true if one of the rings was a poke. Call it on the loop.
    func wait(atMost limit: Duration, on loop: EventLoop) async -> Bool {
        nonisolated(unsafe) var timer: LoopTimer?
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let hasRung = state.withLock { state -> Bool in
                if !state.hasRung { state.waiter = continuation }
                return state.hasRung
            }
            if hasRung { return continuation.resume() }
            timer = loop.timer(after: limit) { [self] in
                let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
                    defer { state.waiter = nil }
                    return state.waiter
                }
                waiter?.resume()
            }
        }
        timer?.cancel()
        return state.withLock { state in
            defer { (state.hasRung, state.isPoked) = (false, false) }
            return state.isPoked
        }
    }
}
