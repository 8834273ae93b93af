public import Contracts
public import Messaging

/// Hints that there may be work of a class. They are lost without harm: a worker asks every few seconds anyway.
///
/// `Wakeups` brings them over the broker; a worker without one goes by the clock.
public protocol WakeupSource: Sendable {
    /// The class of the next hint for any of `classes`; nil when none came in time or the task was cancelled.
    func next(of classes: [ResourceClass], within limit: Duration) async -> ResourceClass?
}

extension Wakeups: WakeupSource {}
