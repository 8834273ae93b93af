import Contracts
import Foundation
import Synchronization

/// Whose turn it is in each class: the account that was served last, behind which the next claim begins; and where the last claim found nothing.
///
/// In memory, a replica each: it need not be right, only move on, so that more accounts than one claim can look at are all looked at in turn.
final class ClaimTurns: Sendable {
    private struct State {
        var last: [ResourceClass: AccountID] = [:]
        var found: Set<ResourceClass> = []
    }

    private let state = Mutex(State())
    private static let first = AccountID(uuid: UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))

    /// Where the next claim of the class begins: after this account.
    func start(_ resourceClass: ResourceClass) -> AccountID { state.withLock { $0.last[resourceClass] ?? Self.first } }

    /// Whether one of these had nothing at the last claim, or has had no claim yet.
    func hasEmpty(among classes: [ResourceClass]) -> Bool { state.withLock { !$0.found.isSuperset(of: classes) } }

    /// A claim came as far as this account; nil when it found nothing and saw all.
    func moved(_ resourceClass: ResourceClass, to account: AccountID?, isEmpty: Bool) {
        state.withLock { state in
            if let account { state.last[resourceClass] = account }
            if isEmpty { state.found.remove(resourceClass) } else { state.found.insert(resourceClass) }
        }
    }
}
