import Contracts
import Foundation
import Synchronization

/// Whose turn it is in each class: the account that was served last, behind which the next claim begins.
///
/// In memory, a replica each: it need not be right, only move on, so that more accounts than one claim can look at are all looked at in turn.
final class ClaimTurns: Sendable {
    private let last = Mutex<[ResourceClass: AccountID]>([:])
    private static let first = AccountID(uuid: UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))

    /// Where the next claim of the class begins: after this account.
    func start(_ resourceClass: ResourceClass) -> AccountID { last.withLock { $0[resourceClass] ?? Self.first } }

    /// A claim came as far as this account; nil when it found nothing and saw all.
    func moved(_ resourceClass: ResourceClass, to account: AccountID?) {
        if let account { last.withLock { $0[resourceClass] = account } }
    }
}
