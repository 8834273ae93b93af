public import Contracts

/// Hints that there may be work of a class. They are lost without harm: a worker asks every few seconds anyway.
///
/// `Wakeups` of the module Messaging has exactly this method; a service that has a broker wraps it in a few lines.
public protocol WakeupSource: Sendable {
    /// The class of the next hint for any of `classes`; nil when none came in time or the task was cancelled.
    func next(of classes: [ResourceClass], within limit: Duration) async -> ResourceClass?
}
