internal import Synchronization

/// Tells the relays of a schema, within the process, that there is something to send.
final class OutboxSignal: Sendable {
    private struct State {
        var appended: UInt64 = 0
        var bells: [RelayBell] = []
    }

    private static let all = Mutex<[String: OutboxSignal]>([:])
    private let state = Mutex(State())

    /// The one signal of a schema in this process.
    static func of(schema: String) -> OutboxSignal {
        all.withLock { all in
            if let signal = all[schema] { return signal }
            let signal = OutboxSignal()
            all[schema] = signal
            return signal
        }
    }

    /// How many rows were appended so far, also by transactions that are still open.
    var appended: UInt64 { state.withLock { $0.appended } }

    func noteAppend() { state.withLock { $0.appended += 1 } }

    /// Wakes every relay, or keeps it from going to sleep.
    func poke() {
        for bell in state.withLock({ $0.bells }) { bell.ring(isPoke: true) }
    }

    func add(_ bell: RelayBell) { state.withLock { $0.bells.append(bell) } }

    func remove(_ bell: RelayBell) { state.withLock { $0.bells.removeAll { $0 === bell } } }
}
