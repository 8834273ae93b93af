import Contracts

/// Who gets which part of the machine, as plain values: never more than there is, slots for scheduled runs always free for them, and no large job
/// kept out by small ones for ever.
///
/// Slots of the class `signal` are set aside whether they are used or not. All other classes share the rest. A claim may win everything that it asks
/// for, so it asks for what fits at once; classes that had to stand back are asked for in the next claim, beginning with another class each time. When
/// a job waits at the scheduler for whose class there is no room, nothing is asked for that would take the room as it comes free, until it fits.
///
/// A scheduled run may be larger than its slot, which only its manifest says: the difference comes out of what is shared, and is waited for.
struct ResourceBook: Sendable {
    /// What there is for jobs.
    let capacity: Share
    /// What a job of a class takes.
    let sizes: [ResourceClass: Share]
    /// The most jobs of each class at once.
    let slots: [ResourceClass: Int]

    private var held: [ResourceClass: Int] = [:]
    private var asked: [ResourceClass: Int] = [:]
    private var extras: [Int: Share] = [:]
    private var debts: [(number: Int, share: Share)] = []
    private var extraCount = 0
    private var askedInRound: Set<ResourceClass> = []
    private var turn = 0
    private var saving: ResourceClass?

    init(capacity: Share, sizes: [ResourceClass: Share], slots: [ResourceClass: Int]) {
        self.capacity = capacity
        self.sizes = sizes
        self.slots = slots
    }

    private var shared: [ResourceClass] { slots.keys.filter { $0 != .signal }.sorted { $0.rawValue < $1.rawValue } }

    private func size(_ class: ResourceClass) -> Share { sizes[`class`] ?? Share() }

    // MARK: What is taken

    /// What jobs take now, without the slots that are only set aside.
    var used: Share { taken(held) + extras.values.reduce(Share(), +) }

    private func taken(_ counts: [ResourceClass: Int]) -> Share { counts.reduce(Share()) { $0 + size($1.key) * $1.value } }

    /// What may be shared out beside these jobs: the slots of scheduled runs, what runs hold beyond their slots, and what such runs wait for are gone.
    private func free(beside held: [ResourceClass: Int]) -> Share {
        var counts = held
        counts[.signal] = max(slots[.signal] ?? 0, held[.signal] ?? 0)
        let rest = capacity - taken(counts) - extras.values.reduce(Share(), +)
        return debts.reduce(rest) { $0 - $1.share }
    }

    private func wish(_ class: ResourceClass, _ held: [ResourceClass: Int]) -> Int { max(0, (slots[`class`] ?? 0) - (held[`class`] ?? 0)) }

    // MARK: What to ask for

    /// For each class, how many would fit if nothing else were asked for.
    func room(beside held: [ResourceClass: Int]) -> [ResourceClass: Int] {
        let free = free(beside: held)
        var room: [ResourceClass: Int] = [:]
        for name in shared { room[name] = size(name).count(in: free, limit: wish(name, held)) }
        room[.signal] = wish(.signal, held)
        return room.filter { $0.value > 0 }
    }

    /// The shared classes with a free slot of their own but no room for it.
    var crowded: Set<ResourceClass> {
        let room = room(beside: held)
        return Set(shared.filter { wish($0, held) > 0 && room[$0] == nil })
    }

    /// A set of slots that fits at once, with the classes first that stood back last time.
    ///
    /// - Parameter exhausted: classes that are left out, and count as asked for; not the one for which room is being kept, for a job of it waits.
    mutating func claim(beside held: [ResourceClass: Int], without exhausted: Set<ResourceClass> = []) -> [ResourceClass: Int] {
        let exhausted = saving.map { exhausted.subtracting([$0]) } ?? exhausted
        let room = room(beside: held).filter { !exhausted.contains($0.key) }
        if askedInRound.isSuperset(of: room.keys.filter { $0 != .signal }) { beginRound() }
        askedInRound.formUnion(exhausted)
        var free = free(beside: held)
        var plan: [ResourceClass: Int] = [:]
        if let count = room[.signal] { plan[.signal] = count }
        var order = shared
        if !order.isEmpty { order = Array(order[(turn % order.count)...] + order[..<(turn % order.count)]) }
        order = order.filter { !askedInRound.contains($0) } + order.filter { askedInRound.contains($0) }
        if let saving {
            // Its room is kept as far as it is there; what is left beyond it others may have.
            if room[saving] == nil {
                free = free.beyondSaving(size(saving))
            } else if !askedInRound.contains(saving) {
                order = [saving] + order.filter { $0 != saving }
            }
        }
        for name in order where !exhausted.contains(name) {
            let count = size(name).count(in: free, limit: wish(name, held))
            if count == 0 { continue }
            plan[name] = count
            free = free - size(name) * count
            askedInRound.insert(name)
        }
        asked = plan
        self.held = held
        return plan
    }

    private mutating func beginRound() {
        askedInRound = []
        turn += 1
    }

    /// Whether a class with room was left out of this round so far.
    func hasMoreToAsk(beside held: [ResourceClass: Int]) -> Bool {
        if let saving, room(beside: held)[saving] == nil { return false }
        return !askedInRound.isSuperset(of: room(beside: held).keys.filter { $0 != .signal })
    }

    /// Takes what is held and what an open claim may still win.
    mutating func changed(held: [ResourceClass: Int], asked: [ResourceClass: Int]) {
        self.held = held
        self.asked = asked
    }

    /// Takes the class for which a job waits that does not fit; nil when there is none.
    mutating func save(for class: ResourceClass?) {
        saving = `class`.flatMap { (slots[$0] ?? 0) > 0 && $0 != .signal ? $0 : nil }
    }

    /// The class whose room is being kept.
    var savesFor: ResourceClass? { saving }

    // MARK: Runs that are larger than their slot

    /// Notes that a run needs more than its slot has; it may begin when `mayBegin` says so. Nil when it can never fit.
    mutating func want(_ size: Share, beyond class: ResourceClass) -> Int? {
        let share = size.beyond(self.size(`class`))
        guard share.fits(in: capacity - self.size(.signal) * max(1, slots[.signal] ?? 0)) else { return nil }
        extraCount += 1
        debts.append((extraCount, share))
        return extraCount
    }

    /// Gives the first in the queue its share once it fits beside everything that is held or may still be won; true when `number` has its share.
    mutating func mayBegin(_ number: Int) -> Bool {
        while let first = debts.first {
            var counts = held.merging(asked) { $0 + $1 }
            counts[.signal] = max(slots[.signal] ?? 0, counts[.signal] ?? 0)
            let free = capacity - taken(counts) - extras.values.reduce(Share(), +)
            guard first.share.fits(in: free) else { break }
            extras[first.number] = first.share
            debts.removeFirst()
        }
        return extras[number] != nil
    }

    /// Takes back what a run had or waited for.
    mutating func giveBack(_ number: Int) {
        extras[number] = nil
        debts.removeAll { $0.number == number }
    }
}

extension Share {
    /// What may be given away of this while room for another is being saved; nothing as long as it is not there in whole.
    fileprivate func beyondSaving(_ other: Share) -> Share { other.fits(in: self) ? self - other : Share() }
}
