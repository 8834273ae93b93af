import Contracts
import ServiceRuntime
import Synchronization

/// Wakes those who wait for news of a signal.
final class ChangeHub: Sendable {
    static let maximumWaiters = 20_000
    static let maximumNews = 50_000

    private struct Waiter {
        var signals: Set<SignalID>
        var continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var next: UInt64 = 0
        var waiters: [UInt64: Waiter] = [:]
        var bySignal: [SignalID: Set<UInt64>] = [:]
        /// Counts the news of a signal while somebody is interested, so that none is missed between looking and waiting.
        var news: [SignalID: UInt64] = [:]
        var total: UInt64 = 0
        /// News up to this mark may have been forgotten: who looked before it looks again.
        var forgotten: UInt64 = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let time: any TimeSource

    init(time: any TimeSource) { self.time = time }

    /// The signals that somebody waits for.
    var watched: [SignalID] { state.withLock { Array($0.bySignal.keys) } }

    /// A mark to be taken before looking at the store: `wait` returns at once if anything has come since.
    var mark: UInt64 { state.withLock { $0.total } }

    /// Something about the signal is new.
    func announce(_ signalID: SignalID) {
        let woken = state.withLock { state -> [CheckedContinuation<Bool, Never>] in
            state.total += 1
            state.news[signalID] = state.total
            if state.news.count > Self.maximumNews {
                state.news.removeAll()
                state.forgotten = state.total
            }
            return (state.bySignal[signalID] ?? []).compactMap { Self.remove($0, &state)?.continuation }
        }
        for continuation in woken { continuation.resume(returning: true) }
    }

    /// Wakes everybody: what was missed is unknown.
    func announceAll() {
        for signalID in watched { announce(signalID) }
    }

    /// Sends everybody home, now and from now on: the service is about to stop.
    func close() {
        let waiters = state.withLock { state in
            state.isClosed = true
            return state.waiters.keys.compactMap { Self.remove($0, &state)?.continuation }
        }
        for continuation in waiters { continuation.resume(returning: false) }
    }

    /// Waits for news of one of the signals since `mark`; false when the time is over, the caller has gone, or too many wait already.
    func wait(for signals: Set<SignalID>, since mark: UInt64, timeout: Duration) async -> Bool {
        guard !signals.isEmpty else { return false }
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask { await self.enlist(signals, since: mark) }
            group.addTask { [time] in
                try? await time.sleep(for: timeout)
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
    }

    private func enlist(_ signals: Set<SignalID>, since mark: UInt64) async -> Bool {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = state.withLock { state -> Bool? in
                    if state.forgotten > mark || signals.contains(where: { (state.news[$0] ?? 0) > mark }) { return true }
                    if state.isClosed || Task.isCancelled || state.waiters.count >= Self.maximumWaiters { return false }
                    state.waiters[id] = Waiter(signals: signals, continuation: continuation)
                    for signalID in signals { state.bySignal[signalID, default: []].insert(id) }
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            state.withLock { Self.remove(id, &$0) }?.continuation.resume(returning: false)
        }
    }

    private static func remove(_ id: UInt64, _ state: inout State) -> Waiter? {
        guard let waiter = state.waiters.removeValue(forKey: id) else { return nil }
        for signalID in waiter.signals {
            state.bySignal[signalID]?.remove(id)
            if state.bySignal[signalID]?.isEmpty == true { state.bySignal[signalID] = nil }
        }
        return waiter
    }
}

/// Ends long waits before the server begins to drain, so that no reader keeps the service from stopping in time.
struct WaitingReaders: Component {
    let name = "waiting readers"
    let hub: ChangeHub

    func start() async throws {}
    func stop() async { hub.close() }
}
