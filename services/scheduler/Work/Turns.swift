import Synchronization

/// Lets so many in at once. The others wait, whoever came first goes first, and leave when they are cancelled.
final class Turns: Sendable {
    private typealias Place = CheckedContinuation<Void, any Error>

    private struct State {
        var free: Int
        var waiting: [(number: UInt64, place: Place)] = []
        var lastNumber: UInt64 = 0
    }

    private let state: Mutex<State>
    /// Told when somebody has begun to wait; for tests.
    private let onWait: @Sendable () -> Void

    init(_ atOnce: Int, onWait: @escaping @Sendable () -> Void = {}) {
        state = Mutex(State(free: atOnce))
        self.onWait = onWait
    }

    /// Does it when it is its turn.
    func take<Outcome>(_ body: () async throws -> Outcome) async throws -> Outcome {
        try await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async throws {
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (place: Place) in
                let isFree = state.withLock { state in
                    guard state.free == 0 else {
                        state.free -= 1
                        return true
                    }
                    state.waiting.append((number, place))
                    return false
                }
                if isFree { return place.resume() }
                onWait()
                // A cancel that came before found nobody in the line.
                if Task.isCancelled { giveUp(number) }
            }
        } onCancel: {
            giveUp(number)
        }
    }

    /// Gives the place to whoever has waited longest.
    private func leave() {
        let next = state.withLock { state -> Place? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst().place
        }
        next?.resume()
    }

    private func giveUp(_ number: UInt64) {
        let place = state.withLock { state in
            state.waiting.firstIndex { $0.number == number }.map { state.waiting.remove(at: $0).place }
        }
        place?.resume(throwing: CancellationError())
    }
}
