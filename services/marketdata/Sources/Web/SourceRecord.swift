import Contracts
import Synchronization

/// How a source has been doing, told by whatever asks it.
final class SourceRecord: Sendable {
    private struct State {
        var lastAnswerAt: Timestamp?
        var lastFailureAt: Timestamp?
        var lastFailure = ""
        var streams = 0
    }

    private let state = Mutex(State())

    /// It answered, be it with a refusal.
    func answered(at now: Timestamp) { state.withLock { $0.lastAnswerAt = now } }

    /// It did not.
    func failed(at now: Timestamp, _ why: String) {
        state.withLock {
            $0.lastFailureAt = now
            $0.lastFailure = why
        }
    }

    /// A stream is up, or is so no more.
    func countStream(_ difference: Int) { state.withLock { $0.streams += difference } }

    var health: SourceHealth {
        state.withLock { state in
            let isFailing = state.lastFailureAt.map { failedAt in state.lastAnswerAt.map { failedAt > $0 } ?? true } ?? false
            return SourceHealth(
                state: isFailing ? .failing : state.lastAnswerAt == nil ? .unused : .healthy,
                detail: isFailing ? state.lastFailure : "\(state.streams) streams connected",
                lastAnswerAt: state.lastAnswerAt,
                lastFailureAt: state.lastFailureAt
            )
        }
    }
}
