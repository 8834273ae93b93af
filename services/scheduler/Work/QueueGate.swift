import Contracts
import ServiceRuntime
import Synchronization

/// Tells for which accounts the store has to count open jobs before it writes more.
///
/// To count them for each request would cost more than to write the job. So an account's queue is counted once a second, what this process writes is added,
/// and only from an eighth of the limit on the store counts exactly, under a lock. Up to four replicas cannot together pass the limit unseen.
final class QueueGate: Sendable {
    private struct Known {
        var standing: QueueStanding
        var written = 0
        var countedAt: UInt64
    }

    private static let freshNanoseconds: UInt64 = 1_000_000_000
    private static let mostKnown = 10_000
    private let store: any SchedulerStore
    private let time: any TimeSource
    private let known = Mutex<[AccountID: Known]>([:])

    init(store: any SchedulerStore, time: any TimeSource) {
        self.store = store
        self.time = time
    }

    /// What the plans of these accounts allow at best.
    func priorityCaps(of accounts: Set<AccountID>) async throws -> [AccountID: Priority?] {
        try await standings(of: accounts.subtracting([.platform])).mapValues(\.standing.priorityCap)
    }

    /// The limits that the store has to hold these jobs to; unless `always`, none for accounts whose queues are far from full.
    func limits(for jobs: [NewJob], always: Bool = false) async throws -> [AccountID: Int] {
        let limited = jobs.filter(\.countsAgainstQueue)
        if limited.isEmpty { return [:] }
        let counts = Dictionary(limited.map { ($0.accountID, 1) }, uniquingKeysWith: +)
        var limits: [AccountID: Int] = [:]
        for (account, known) in try await standings(of: Set(counts.keys)) {
            let open = known.standing.open + known.written + counts[account, default: 0]
            if always || open > known.standing.most / 8 { limits[account] = known.standing.most }
        }
        return limits
    }

    /// These were written, or at least tried.
    func noteWritten(_ jobs: [NewJob]) {
        known.withLock { known in for job in jobs { known[job.accountID]?.written += 1 } }
    }

    private func standings(of accounts: Set<AccountID>) async throws -> [AccountID: Known] {
        let now = time.monotonicNanoseconds()
        var found = known.withLock { known in
            known.filter { accounts.contains($0.key) && now < $0.value.countedAt + Self.freshNanoseconds }
        }
        let unknown = accounts.filter { found[$0] == nil }
        if unknown.isEmpty { return found }
        let counted = try await store.queueStandings(of: unknown.sorted()).mapValues { Known(standing: $0, countedAt: now) }
        known.withLock { known in
            if known.count > Self.mostKnown { known = known.filter { now < $0.value.countedAt + Self.freshNanoseconds } }
            known.merge(counted) { _, new in new }
        }
        found.merge(counted) { _, new in new }
        return found
    }
}
