import Contracts
import ServiceRuntime
import Synchronization

/// Sandboxes that were started before their runs are due: each waits for one run of one version of one account, is used once, and is thrown
/// away when that run does not come.
///
/// What it may cost is bounded: memory, by what the kernel lets each sandbox keep, and their number. A sandbox in the making counts with what it
/// may need, one that waits with what it has. Where there is no room for a run that is due earlier, the one due last makes way. It is an
/// offer and never in the way: a run that finds nothing here starts cold.
///
///     wanted ──▶ making ──ready──▶ idle ──run──▶ gone (used)
///                  │  └──run──▶ gone (used while it still imports)
///                  └──failed, evicted, replaced, too old──▶ gone (thrown away)
final class WarmPool: Component {
    /// What the pool may cost.
    struct Bounds: Sendable {
        /// Memory of all that waits, in bytes; 0 for no pool at all.
        var memoryBytes: Int
        /// How many wait at most.
        var count: Int
        /// How many are made at a time.
        var width = max(1, CPULane.processors / 2)
        /// After this a sandbox is thrown away, whatever it waits for.
        var age = Duration.seconds(120)
        /// How long it waits beyond the time at which its run was due: another executor had it.
        var lateness = Duration.seconds(15)
        /// How long imports may take ahead; what takes longer runs cold, where the author sees it.
        var importTime = Duration.seconds(30)
    }

    /// Makes a sandbox that waits within the given limits.
    typealias Make = @Sendable (WarmRequest, WaitingLimits) async throws -> WarmSandbox

    let name = "warm-sandboxes"

    /// What a sandbox may need while it imports, in bytes, until one of its version has needed more.
    static let plainBytes = 96 << 20
    static let packagesBytes = 320 << 20
    /// What an idle one may take on top of what it has; the launcher's own figure is the same.
    static let slackBytes = 16 << 20
    /// How long a version is left alone whose imports fail or hang.
    static let memoryOfFailures = Duration.seconds(600)
    /// The same where its code or packages could not be had.
    static let memoryOfAbsence = Duration.seconds(30)
    /// The same where imports hang: on a machine that is short of processors they may only have been slow.
    static let memoryOfSlowness = Duration.seconds(60)
    /// How long a run that took its sandbox may wait for its bars on top of the sandbox's age.
    private static let patience = Duration.seconds(600)
    private static let mostRemembered = 10_000
    /// Starts of processes for warming: one at a time leaves the pool's other threads to runs.
    private static let lane = CPULane(name: "warm", maximumConcurrent: 1, maximumQueued: 64)
    /// The lane on which makers start sandboxes.
    static var startingLane: CPULane { lane }

    private struct Entry {
        var request: WarmRequest
        var warm: WarmSandbox?
        var bytes: Int
        var isIdle = false
        var startedAt: UInt64
    }

    private struct State {
        var entries: [Int: Entry] = [:]
        /// By signal: another version of it takes the place of the one before.
        var wanted: [SignalID: (request: WarmRequest, make: Make)] = [:]
        var failures: [WarmKey: UInt64] = [:]
        var needs: [WarmKey: Int] = [:]
        var makers: [Int: Task<Void, Never>] = [:]
        var count = 0
        var isDraining = false
        var discards: [Int: Task<Void, Never>] = [:]
    }

    private let state = Mutex(State())
    private let bounds: Bounds
    private let loop: EventLoop
    private let time: any TimeSource
    private let metrics = WarmMetrics()
    private let sweeping = BackgroundTask()
    private let logger = Logger("warm")

    /// An empty pool that makes sandboxes on the given loop.
    init(bounds: Bounds, loop: EventLoop, time: any TimeSource = SystemTimeSource()) {
        self.bounds = bounds
        self.loop = loop
        self.time = time
    }

    /// Whether anything may wait at all.
    var isOpen: Bool { bounds.memoryBytes > 0 && bounds.count > 0 }

    func start() async throws {
        guard isOpen else { return }
        sweeping.start(on: loop, every: .seconds(1), time: time, pausesFirst: true) { [self] in sweep() }
    }

    func stop() async {
        await sweeping.stop()
        await drain()
    }

    /// Throws everything away and makes nothing more.
    func drain() async {
        state.withLock { state in
            state.isDraining = true
            state.wanted = [:]
            for id in Array(state.entries.keys) { discard(id, .draining, &state) }
        }
        while let task = state.withLock({ $0.discards.values.first ?? $0.makers.values.first }) { await task.value }
    }

    // MARK: Runs

    /// A sandbox for this run, if one waits or is being made; it belongs to the caller from now on, and to nobody else ever.
    func take(_ key: WarmKey) -> WarmSandbox? {
        guard isOpen else { return nil }
        let found = state.withLock { state -> WarmSandbox? in
            let fitting = state.entries.filter { $0.value.request.key == key && $0.value.warm?.sandbox.hasEnded == false }
            guard let first = fitting.min(by: { ($0.value.isIdle ? 0 : 1, $0.key) < ($1.value.isIdle ? 0 : 1, $1.key) }) else { return nil }
            state.entries[first.key] = nil
            note(state)
            return first.value.warm
        }
        // Its room is another's.
        if found != nil { pump() }
        metrics.taken(isHit: found != nil)
        return found
    }

    // MARK: Wishes

    /// Wants a sandbox for each of these runs, one for each key; `make` makes it when its turn comes.
    func want(_ requests: [WarmRequest], make: @escaping Make) {
        guard isOpen else { return }
        state.withLock { state in
            guard !state.isDraining else { return }
            for request in requests {
                // What waits for an older version of the signal waits for nothing.
                for (id, entry) in state.entries where entry.request.signalID == request.signalID && entry.request.key != request.key {
                    discard(id, .replaced, &state)
                }
                if let id = state.entries.first(where: { $0.value.request.key == request.key })?.key {
                    if let due = state.entries[id]?.request.dueAt, due < request.dueAt { state.entries[id]?.request.dueAt = request.dueAt }
                    state.wanted[request.signalID] = nil
                } else if state.wanted[request.signalID] != nil || state.wanted.count < Self.mostRemembered {
                    state.wanted[request.signalID] = (request, make)
                }
            }
        }
        pump()
    }

    /// Whether a sandbox of this key runs, ready or not.
    func hasStarted(_ key: WarmKey) -> Bool { state.withLock { $0.entries.values.contains { $0.request.key == key && $0.warm != nil } } }

    /// How many there are, with how much memory they count.
    var size: (count: Int, idle: Int, bytes: Int) {
        state.withLock { state in
            (state.entries.count, state.entries.values.count { $0.isIdle }, state.entries.values.reduce(0) { $0 + $1.bytes })
        }
    }

    /// Makes what is due first, as long as there is room and a hand free.
    private func pump() {
        state.withLock { state in
            while let (id, request, make, waiting) = next(&state) {
                state.makers[id] = Task(on: loop) {
                    await self.make(id, request, make, waiting)
                    self.state.withLock { $0.makers[id] = nil }
                    self.pump()
                }
            }
        }
    }

    private func next(_ state: inout State) -> (Int, WarmRequest, Make, WaitingLimits)? {
        let now = time.monotonicNanoseconds()
        guard !state.isDraining else { return nil }
        while state.makers.count < bounds.width, let (signal, wish) = state.wanted.min(by: { $0.value.request.dueAt < $1.value.request.dueAt }) {
            let isPast = wish.request.dueAt + bounds.lateness < time.now()
            let isLeftAlone = state.failures[wish.request.key].map { now < $0 } ?? false
            if isPast || isLeftAlone {
                state.wanted[signal] = nil
                continue
            }
            let bytes = need(wish.request, state)
            // Where this one has no room those that are due later have none either: all wait for a run to take one.
            guard makeRoom(bytes, for: wish.request.dueAt, &state) else { return nil }
            state.wanted[signal] = nil
            state.count += 1
            state.entries[state.count] = Entry(request: wish.request, bytes: bytes, startedAt: now)
            note(state)
            let waiting = WaitingLimits(time: bounds.age + Self.patience, memoryBytes: bytes, isGentle: true)
            return (state.count, wish.request, wish.make, waiting)
        }
        return nil
    }

    private func need(_ request: WarmRequest, _ state: State) -> Int {
        let usual = request.hasPackages ? Self.packagesBytes : Self.plainBytes
        return min(max(usual, state.needs[request.key] ?? 0), SandboxLimits.of(request.key.resourceClass, wallTime: .seconds(1)).memoryBytes)
    }

    /// Throws away what is due later until there is room; nothing when even that would not do.
    private func makeRoom(_ bytes: Int, for dueAt: Timestamp, _ state: inout State) -> Bool {
        var free = bounds.memoryBytes - state.entries.values.reduce(0) { $0 + $1.bytes }
        var places = bounds.count - state.entries.count
        var evicted: [Int] = []
        let later = state.entries.filter { $0.value.request.dueAt > dueAt }.sorted { $0.value.request.dueAt > $1.value.request.dueAt }
        for (id, entry) in later where free < bytes || places < 1 {
            evicted.append(id)
            free += entry.bytes
            places += 1
        }
        guard free >= bytes, places >= 1 else { return false }
        for id in evicted { discard(id, .evicted, &state) }
        return true
    }

    // MARK: Making

    private func make(_ id: Int, _ request: WarmRequest, _ make: Make, _ waiting: WaitingLimits) async {
        let warm: WarmSandbox
        do {
            warm = try await make(request, waiting)
        } catch {
            logger.debug("a sandbox could not be warmed", ["signal_id": .string("\(request.signalID)"), "error": .string("\(error)")])
            state.withLock { state in
                state.entries[id] = nil
                remember(request.key, &state, for: Self.memoryOfAbsence)
                note(state)
            }
            return
        }
        let isWanted = state.withLock { state -> Bool in
            guard state.entries[id] != nil else { return false }
            state.entries[id]?.warm = warm
            return true
        }
        guard isWanted else {
            await warm.sandbox.discard()
            return
        }
        guard let bytes = await warm.sandbox.idle() else { return await failed(id, request, warm, waiting) }
        state.withLock { state in
            guard let reserved = state.entries[id]?.bytes else { return }
            state.entries[id]?.bytes = min(reserved, bytes + Self.slackBytes)
            state.entries[id]?.isIdle = true
            note(state)
        }
    }

    /// It ended before it was ready. If it is not a run's by now, it is forgotten: the run starts cold, and its author sees what is wrong.
    private func failed(_ id: Int, _ request: WarmRequest, _ warm: WarmSandbox, _ waiting: WaitingLimits) async {
        let isOurs = state.withLock { state -> Bool in
            defer { note(state) }
            return state.entries.removeValue(forKey: id) != nil
        }
        guard isOurs else { return }
        let outcome = await warm.sandbox.discard()
        metrics.discarded(.failed)
        state.withLock { state in
            let most = SandboxLimits.of(request.key.resourceClass, wallTime: .seconds(1)).memoryBytes
            if outcome?.outOfMemory == true, let bytes = waiting.memoryBytes, bytes < most, state.needs.count < Self.mostRemembered {
                state.needs[request.key] = min(most, 2 * bytes)
            } else {
                remember(request.key, &state)
            }
        }
    }

    private func remember(_ key: WarmKey, _ state: inout State, for memory: Duration = memoryOfFailures) {
        let now = time.monotonicNanoseconds()
        if state.failures.count >= Self.mostRemembered { state.failures = state.failures.filter { $0.value > now } }
        guard state.failures.count < Self.mostRemembered else { return }
        state.failures[key] = now + UInt64(memory.wholeMicroseconds) * 1000
    }

    // MARK: Throwing away

    /// Throws away what has ended, hangs, is too old, or waits for a run that did not come here.
    func sweep() {
        let (now, moment) = (time.monotonicNanoseconds(), time.now())
        state.withLock { state in
            for (id, entry) in state.entries {
                let age = Duration.nanoseconds(Int64(now - entry.startedAt))
                if entry.warm?.sandbox.hasEnded == true, entry.isIdle {
                    discard(id, .ended, &state)
                } else if age > bounds.age || entry.isIdle && entry.request.dueAt + bounds.lateness < moment {
                    discard(id, .unused, &state)
                } else if !entry.isIdle, entry.warm != nil, age > bounds.importTime {
                    remember(entry.request.key, &state, for: Self.memoryOfSlowness)
                    discard(id, .failed, &state)
                }
            }
        }
        pump()
    }

    private func discard(_ id: Int, _ reason: WarmMetrics.Reason, _ state: inout State) {
        guard let entry = state.entries.removeValue(forKey: id) else { return }
        metrics.discarded(reason)
        note(state)
        // One in the making is thrown away by its maker, who finds it gone.
        guard let warm = entry.warm else { return }
        state.discards[id] = Task(on: loop) {
            await warm.sandbox.discard()
            self.state.withLock { _ = $0.discards.removeValue(forKey: id) }
        }
    }

    private func note(_ state: State) {
        metrics.size(
            idle: state.entries.values.count { $0.isIdle },
            making: state.entries.values.count { !$0.isIdle },
            bytes: state.entries.values.reduce(0) { $0 + $1.bytes }
        )
    }
}
