import Contracts
import ServiceRuntime
import Synchronization

/// Which signals each account is subscribed to, in memory.
///
/// An entry serves 30 s while this replica hears of changes, 1 s while it does not; a change drops the account's entry at once. An answer of the store is
/// kept only if no change of the account was heard while it was on its way.
final class EntitlementCache: Sendable {
    static let heardNanoseconds: UInt64 = 30_000_000_000
    static let deafNanoseconds: UInt64 = 1_000_000_000
    static let maximumAccounts = 50_000

    private struct Entry {
        var signals: Set<SignalID>
        var loadedAt: UInt64
    }

    private struct State {
        var entries: [AccountID: Entry] = [:]
        var isHearing = false
        /// Raised by everything heard: tells whether an answer may be out of date on arrival.
        var generation: UInt64 = 0
    }

    private let store: any SignalsStore
    private let time: any TimeSource
    private let state = Mutex(State())

    init(store: any SignalsStore, time: any TimeSource) {
        self.store = store
        self.time = time
    }

    /// The answer from memory; nil when it is not there or too old.
    func ready(_ accountID: AccountID, _ signalID: SignalID) -> Bool? {
        let now = time.monotonicNanoseconds()
        return state.withLock { state in
            guard let entry = state.entries[accountID],
                now - min(now, entry.loadedAt) < (state.isHearing ? Self.heardNanoseconds : Self.deafNanoseconds)
            else {
                return nil
            }
            return entry.signals.contains(signalID)
        }
    }

    func isSubscribed(_ accountID: AccountID, to signalID: SignalID) async throws -> Bool {
        if let ready = ready(accountID, signalID) { return ready }
        return try await signals(of: accountID).contains(signalID)
    }

    /// Reads the account's subscriptions and keeps them.
    func signals(of accountID: AccountID) async throws -> Set<SignalID> {
        let askedAt = time.monotonicNanoseconds()
        let generation = state.withLock { $0.generation }
        let signals = try await store.subscribedSignals(accountID)
        state.withLock { state in
            guard state.generation == generation else { return }
            if state.entries.count >= Self.maximumAccounts { state.entries.removeAll() }
            state.entries[accountID] = Entry(signals: signals, loadedAt: askedAt)
        }
        return signals
    }

    /// A subscription of this account began or ended.
    func forget(_ accountID: AccountID) {
        state.withLock { state in
            state.generation += 1
            state.entries[accountID] = nil
        }
    }

    /// Changes are heard from now on (also again), or no longer; either way, what was missed meanwhile is unknown. Saying so twice that nothing is heard
    /// does no harm.
    func hearing(_ isHearing: Bool) {
        state.withLock { state in
            guard isHearing || state.isHearing else { return }
            state.generation += 1
            state.isHearing = isHearing
            state.entries.removeAll()
        }
    }
}
