internal import Synchronization

/// What a job wants to be done once its result has arrived.
final class DeliveryNote: Sendable {
    private let noted = Mutex<(@Sendable () -> Void)?>(nil)

    /// The last that was said.
    var work: (@Sendable () -> Void)? { noted.withLock { $0 } }

    /// Notes it in place of what was said before.
    func set(_ work: @escaping @Sendable () -> Void) { noted.withLock { $0 = work } }
}
