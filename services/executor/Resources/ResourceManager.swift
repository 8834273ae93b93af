import Contracts
import JobWorker
import ServiceRuntime
import Synchronization

/// The machine's resources among its jobs: what the worker may ask for, and when a run that is larger than its slot may begin.
final class ResourceManager: SlotSource {
    /// The sizes of the classes on this machine.
    let classes: ResourceClasses
    /// What there is for jobs.
    var capacity: Share { state.withLock { $0.book.capacity } }
    /// The most jobs of each class at once.
    var slots: [ResourceClass: Int] { state.withLock { $0.book.slots } }
    /// What jobs take now.
    var used: Share { state.withLock { $0.book.used } }

    private struct State {
        var book: ResourceBook
        var gpus: [GPUDevice]
        var pauses: Set<String> = []
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var tellOfRoom: (@Sendable () -> Void)?
    }

    private let state: Mutex<State>
    private let usedGauges: [Gauge]

    /// The classes and slots of a plan for this machine.
    init(plan: CapacityPlan, gpus: [GPUDevice] = []) {
        classes = plan.classes
        state = Mutex(State(book: ResourceBook(capacity: plan.capacity, sizes: plan.sizes, slots: plan.slots), gpus: gpus))
        func gauges(_ name: String, _ help: String) -> [Gauge] {
            ["cpu", "memory_bytes", "gpu"].map { Metrics.shared.gauge(name, help: help, labels: ["resource": $0]) }
        }
        for (gauge, value) in zip(gauges("auspex_executor_capacity", "What jobs may take of this machine."), Self.figures(plan.capacity)) {
            gauge.set(value)
        }
        for (name, count) in plan.slots {
            Metrics.shared.gauge("auspex_executor_slots", help: "The most jobs of a class at once.", labels: ["class": name.rawValue]).set(
                Double(count)
            )
        }
        usedGauges = gauges("auspex_executor_used", "What running jobs may take at most.")
    }

    private static func figures(_ share: Share) -> [Double] { [Double(share.cpuThousandths) / 1000, Double(share.memoryBytes), Double(share.gpus)] }

    func room(beside held: [ResourceClass: Int]) -> [ResourceClass: Int] {
        state.withLock { $0.pauses.isEmpty ? $0.book.room(beside: held) : [:] }
    }

    func claim(beside held: [ResourceClass: Int], without exhausted: Set<ResourceClass>) -> [ResourceClass: Int] {
        state.withLock { $0.pauses.isEmpty ? $0.book.claim(beside: held, without: exhausted) : [:] }
    }

    func hasMoreToAsk(beside held: [ResourceClass: Int]) -> Bool {
        state.withLock { $0.pauses.isEmpty && $0.book.hasMoreToAsk(beside: held) }
    }

    /// Nothing is asked for until whoever gave this reason takes it back.
    func pause(_ reason: String) { state.withLock { _ = $0.pauses.insert(reason) } }

    /// Takes a reason back; after the last one the worker claims again.
    func resume(_ reason: String) {
        let tell = state.withLock { state in
            state.pauses.remove(reason) != nil && state.pauses.isEmpty ? state.tellOfRoom : nil
        }
        tell?()
    }

    func whenRoomIsFreed(_ tell: @escaping @Sendable () -> Void) { state.withLock { $0.tellOfRoom = tell } }

    func changed(held: [ResourceClass: Int], asked: [ResourceClass: Int]) {
        change { $0.book.changed(held: held, asked: asked) }
    }

    /// Keeps room for a class whose jobs wait and do not fit; nil for none.
    func save(for class: ResourceClass?) {
        let tell = state.withLock { state in
            let before = state.book.savesFor
            state.book.save(for: `class`)
            return before != nil && state.book.savesFor != before ? state.tellOfRoom : nil
        }
        tell?()
    }

    /// The class whose room is being kept.
    var savesFor: ResourceClass? { state.withLock { $0.book.savesFor } }

    /// Classes with slots for one more job of which there is no room now because of others.
    var crowded: Set<ResourceClass> { state.withLock { $0.book.crowded } }

    /// What a run of a class holds beyond the slot that it was claimed for; given back by ``giveBack(_:)``.
    struct Extra: Sendable {
        fileprivate let number: Int
    }

    /// Waits until a run of the class `size`, claimed for a slot of another class, fits. Throws where it can never fit.
    func takeExtra(for size: ResourceClass, beyond slot: ResourceClass) async throws -> Extra? {
        if size == slot { return nil }
        let share = Share(classes[size])
        if share.fits(in: Share(classes[slot])) { return nil }
        guard let number = state.withLock({ $0.book.want(share, beyond: slot) }) else {
            throw RunObstacle(
                kind: .infra,
                reason:
                    "the manifest asks for the class \(size.rawValue) (\(share)), more than this executor has (\(capacity), slots of other signals included)"
            )
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                change { state in
                    // Cancelled before it waited: it must not wait for ever.
                    state.waiters[number] = waiter
                    if Task.isCancelled { state.book.giveBack(number) }
                } released: { state in
                    Task.isCancelled ? [state.waiters.removeValue(forKey: number)].compactMap { $0 } : []
                }
            }
        } onCancel: {
            change {
                $0.book.giveBack(number)
            } released: {
                [$0.waiters.removeValue(forKey: number)].compactMap { $0 }
            }
        }
        do {
            try Task.checkCancellation()
        } catch {
            giveBack(Extra(number: number))
            throw error
        }
        return Extra(number: number)
    }

    /// Takes back what a run held beyond its slot.
    func giveBack(_ extra: Extra?) {
        guard let extra else { return }
        change { $0.book.giveBack(extra.number) }
        state.withLock { $0.tellOfRoom }?()
    }

    /// Graphics processors for one run, which has them to itself; nil when fewer are free.
    func takeGPUs(_ count: Int) -> [GPUDevice]? {
        state.withLock { state in
            guard state.gpus.count >= count else { return nil }
            defer { state.gpus.removeLast(count) }
            return state.gpus.suffix(count)
        }
    }

    func giveBack(_ gpus: [GPUDevice]) { state.withLock { $0.gpus += gpus } }

    /// Changes the book, then lets everybody begin who fits now.
    private func change(
        _ body: (inout State) -> Void,
        released: (inout State) -> [CheckedContinuation<Void, Never>] = { _ in [] }
    ) {
        let (ready, used) = state.withLock { state -> ([CheckedContinuation<Void, Never>], Share) in
            body(&state)
            var ready = released(&state)
            for number in state.waiters.keys.sorted() where state.book.mayBegin(number) {
                if let waiter = state.waiters.removeValue(forKey: number) { ready.append(waiter) }
            }
            return (ready, state.book.used)
        }
        for (gauge, value) in zip(usedGauges, Self.figures(used)) { gauge.set(value) }
        for waiter in ready { waiter.resume() }
    }
}
