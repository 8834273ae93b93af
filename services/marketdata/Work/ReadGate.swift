import ServiceRuntime
import Synchronization

/// Lets so many heavy reads in at once; so many more wait, for so long. The rest are refused at once, while the light ones go on.
final class ReadGate: Sendable {
    private typealias Place = CheckedContinuation<Void, any Error>

    private struct State {
        var inside = 0
        var waiting: [(number: UInt64, place: Place)] = []
        var nextNumber: UInt64 = 0
    }

    private let state = Mutex(State())
    private let limits: ReadLimits
    private let time: any TimeSource
    /// Told, at each that begins to wait, how many do; for tests.
    private let onWait: @Sendable (Int) -> Void
    private let refused = Metrics.shared.counter("marketdata_heavy_reads_refused_total", help: "Heavy reads that found no place in time.")

    init(limits: ReadLimits, time: any TimeSource, onWait: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.limits = limits
        self.time = time
        self.onWait = onWait
    }

    /// How many are inside, and how many wait.
    var load: (inside: Int, waiting: Int) { state.withLock { ($0.inside, $0.waiting.count) } }

    /// Takes a place, now or when one comes free; throws `tooManyHeavyReads` when none does. Whoever got one has to `leave`.
    func enter() async throws {
        let number = try state.withLock { state -> UInt64? in
            if state.inside < limits.heavyReads {
                state.inside += 1
                return nil
            }
            guard state.waiting.count < limits.heavyReadsWaiting else {
                refused.increment()
                throw MarketdataError.tooManyHeavyReads
            }
            state.nextNumber += 1
            return state.nextNumber
        }
        guard let number else { return }
        try await withTaskCancellationHandler {
            async let _ = refuse(number, after: limits.heavyReadWait)
            try await withCheckedThrowingContinuation { (place: Place) in
                let waiting = state.withLock { state -> Int? in
                    if state.inside < limits.heavyReads {
                        state.inside += 1
                        return nil
                    }
                    state.waiting.append((number, place))
                    return state.waiting.count
                }
                guard let waiting else { return place.resume() }
                onWait(waiting)
                if Task.isCancelled { give(up: number, CancellationError()) }
            }
        } onCancel: {
            give(up: number, CancellationError())
        }
    }

    /// Gives a place back: to whoever has waited longest.
    func leave() {
        let next = state.withLock { state -> Place? in
            guard !state.waiting.isEmpty else {
                state.inside -= 1
                return nil
            }
            return state.waiting.removeFirst().place
        }
        next?.resume()
    }

    private func refuse(_ number: UInt64, after limit: Duration) async {
        do { try await time.sleep(for: limit) } catch { return }
        if give(up: number, MarketdataError.tooManyHeavyReads) { refused.increment() }
    }

    @discardableResult
    private func give(up number: UInt64, _ error: any Error) -> Bool {
        let place = state.withLock { state in
            state.waiting.firstIndex { $0.number == number }.map { state.waiting.remove(at: $0).place }
        }
        place?.resume(throwing: error)
        return place != nil
    }
}
