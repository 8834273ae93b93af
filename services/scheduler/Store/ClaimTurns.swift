import Contracts
import Foundation
import Synchronization

/// Whose turn it is in each class: the account that was served last, behind which the next claim begins.
///
/// In memory, a replica each: it need not be right, only move on, so that more accounts than one claim can look at are all looked at in turn.
final class ClaimTurns: Sendable {
    private let last = Mutex<[ResourceClass: AccountID]>([:])

    /// Where the next claim of the class begins: after this account.
    func start(_ resourceClass: ResourceClass) -> UUID {
        last.withLock { $0[resourceClass]?.uuid } ?? UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    }

    /// These were claimed.
    func served(_ jobs: [Job]) {
        if jobs.isEmpty { return }
        last.withLock { last in for job in jobs { last[job.resourceClass] = job.accountID } }
    }
}
