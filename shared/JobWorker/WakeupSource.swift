public import Contracts

/// Hints that there may be work of a class. They are lost without harm: a worker asks every few seconds anyway.
public protocol WakeupSource: Sendable {
    /// Sets what is called for each hint; once, before anything is listened to.
    func onWakeup(_ body: @escaping @Sendable (ResourceClass) -> Void)

    /// Takes hints of exactly these classes from now on. A worker listens only to classes for which it has a free slot: a hint that a
    /// full worker takes is lost to the others.
    func listen(to classes: Set<ResourceClass>)
}
