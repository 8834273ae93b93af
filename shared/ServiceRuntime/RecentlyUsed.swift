/// Values by key, up to a bound on what they cost together: the one that was not used for longest goes first. Every step takes the same short time,
/// however many there are.
///
/// It is a plain value: whoever shares it holds it in a lock.
public struct RecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Slot: Sendable {
        var key: Key
        var value: Value
        var cost: Int
        /// The neighbours in order of use, by place in `slots`; -1 where there is none.
        var newer: Int
        var older: Int
    }

    private var places: [Key: Int] = [:]
    private var slots: [Slot?] = []
    private var free: [Int] = []
    private var newest = -1
    private var oldest = -1

    /// What all values may cost together.
    public let maximumCost: Int
    /// What they cost.
    public private(set) var cost = 0

    /// Nothing yet.
    public init(maximumCost: Int) { self.maximumCost = maximumCost }

    /// How many values there are.
    public var count: Int { places.count }
    /// Their keys, in no order.
    public var keys: some Sequence<Key> { places.keys }

    /// The value of a key, which counts as a use of it; `mark` may note that in it.
    public mutating func value(_ key: Key, mark: (inout Value) -> Void = { _ in }) -> Value? {
        guard let place = places[key] else { return nil }
        if place != newest {
            unlink(place)
            linkAsNewest(place)
        }
        guard var slot = slots[place] else { return nil }
        mark(&slot.value)
        slots[place] = slot
        return slot.value
    }

    /// Takes a value, or another one for the key, and gives back what had to go for it, the least recently used first. What costs more than everything may
    /// is not kept, nor is what the key had before.
    @discardableResult
    public mutating func insert(_ value: Value, cost: Int, for key: Key) -> [Value] {
        remove(key)
        guard cost <= maximumCost else { return [] }
        var gone: [Value] = []
        while self.cost + cost > maximumCost, oldest >= 0, let slot = slots[oldest] {
            gone.append(slot.value)
            remove(slot.key)
        }
        let slot = Slot(key: key, value: value, cost: cost, newer: -1, older: -1)
        let place: Int
        if let reused = free.popLast() {
            place = reused
            slots[place] = slot
        } else {
            place = slots.count
            slots.append(slot)
        }
        places[key] = place
        self.cost += cost
        linkAsNewest(place)
        return gone
    }

    /// Lets a value go.
    @discardableResult
    public mutating func remove(_ key: Key) -> Value? {
        guard let place = places.removeValue(forKey: key), let slot = slots[place] else { return nil }
        unlink(place)
        slots[place] = nil
        free.append(place)
        cost -= slot.cost
        return slot.value
    }

    private mutating func unlink(_ place: Int) {
        guard let slot = slots[place] else { return }
        if slot.newer >= 0 { slots[slot.newer]?.older = slot.older } else { newest = slot.older }
        if slot.older >= 0 { slots[slot.older]?.newer = slot.newer } else { oldest = slot.newer }
    }

    private mutating func linkAsNewest(_ place: Int) {
        slots[place]?.newer = -1
        slots[place]?.older = newest
        if newest >= 0 { slots[newest]?.newer = place } else { oldest = place }
        newest = place
    }
}
