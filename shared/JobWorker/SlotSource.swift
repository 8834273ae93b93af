public import Contracts

/// Says for how many jobs of each class a worker has room. Classes may share what they need, so that room for one is room that another has not.
public protocol SlotSource: Sendable {
    /// The most jobs of each class at once, whatever the others do.
    var slots: [ResourceClass: Int] { get }

    /// The classes of which one more job would fit beside those that are held, and how many; each as if the others were not asked for.
    func room(beside held: [ResourceClass: Int]) -> [ResourceClass: Int]

    /// What to ask for now: slots that fit all at once beside what is held, so that a claim may win all of them.
    ///
    /// - Parameter exhausted: classes of which there was no more when they were last asked for, and nothing has been heard since: they may be left out.
    func claim(beside held: [ResourceClass: Int], without exhausted: Set<ResourceClass>) -> [ResourceClass: Int]

    /// Whether there is a class with room that the last claims had to leave out for another's sake.
    func hasMoreToAsk(beside held: [ResourceClass: Int]) -> Bool

    /// Tells what is held, and what an open claim may still win.
    func changed(held: [ResourceClass: Int], asked: [ResourceClass: Int])

    /// Takes what is to be called when there is more room than before though no job has ended.
    func whenRoomIsFreed(_ tell: @escaping @Sendable () -> Void)
}

/// A number of slots for each class, whatever the others do.
public struct FixedSlots: SlotSource {
    /// So many of each class.
    public let slots: [ResourceClass: Int]

    /// So many.
    public init(_ slots: [ResourceClass: Int]) {
        self.slots = slots
    }

    /// The slots that no job has.
    public func room(beside held: [ResourceClass: Int]) -> [ResourceClass: Int] {
        slots.merging(held) { $0 - $1 }.filter { $0.value > 0 && slots[$0.key] != nil }
    }

    /// The same: all of them may be won at once.
    public func claim(beside held: [ResourceClass: Int], without exhausted: Set<ResourceClass>) -> [ResourceClass: Int] {
        room(beside: held).filter { !exhausted.contains($0.key) }
    }

    /// No class stands back for another.
    public func hasMoreToAsk(beside held: [ResourceClass: Int]) -> Bool { false }

    /// Nothing is shared, so nothing is counted.
    public func changed(held: [ResourceClass: Int], asked: [ResourceClass: Int]) {}

    /// Only jobs take room.
    public func whenRoomIsFreed(_ tell: @escaping @Sendable () -> Void) {}
}
