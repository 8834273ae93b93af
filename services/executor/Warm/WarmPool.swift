import Contracts
import ServiceRuntime
import Synchronization

/// Sandboxes that were started before their runs are due: each waits for one run of one version of one account, is used once, and is thrown
/// away when that run does not come.
///
/// What it may cost is bounded: memory, by what the kernel lets each sandbox keep, and their number. A sandbox in the making counts with what it
/// may need, one that waits with what it has, one that is thrown away with that until nothing is left of it. Where there is no room for a run that
/// is due earlier, the one due last makes way. Beyond half of the pool an account has only what no other wants. What can never fit is left alone.
/// It is an offer and never in the way: a run that finds nothing here starts cold.
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
    /// After so many wishes without room the rest is not looked at: a full pool is full for nearly all.
    private static let mostTries = 16
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
        /// The entry of each signal: it has one at most, of its newest version.
        var bySignal: [SignalID: Int] = [:]
        /// Memory of what was thrown away and is not gone yet.
        var leaving: [Int: Int] = [:]
        /// Sandboxes in the making that nobody has taken or thrown away.
        var hands: Set<Int> = []
        /// By signal: another version of it takes the place of the one before.
        var wanted: [SignalID: (request: WarmRequest, make: Make)] = [:]
        var failures: [WarmKey: UInt64] = [:]
        var needs: [WarmKey: Int] = [:]
        var makers: [Int: Task<Void, Never>] = [:]
        var count = 0
        var isDraining = false
        var discards: [Int: Task<Void, Never>] = [:]

        /// The sums over all entries, kept as they change.
        private(set) var idle = 0
        private(set) var entryBytes = 0
        /// What of the pool's memory is not free.
        var bytes: Int { entryBytes + leaving.values.reduce(0, +) }

        mutating func insert(_ id: Int, _ entry: Entry) {
            entries[id] = entry
            bySignal[entry.request.signalID] = id
            entryBytes += entry.bytes
        }

        mutating func remove(_ id: Int) -> Entry? {
            guard let entry = entries.removeValue(forKey: id) else { return nil }
            if bySignal[entry.request.signalID] == id { bySignal[entry.request.signalID] = nil }
            entryBytes -= entry.bytes
            if entry.isIdle { idle -= 1 }
            hands.remove(id)
            return entry
        }

        mutating func becomesIdle(_ id: Int, bytes: Int) {
            guard let entry = entries[id] else { return }
            entryBytes += bytes - entry.bytes
            idle += 1
            entries[id]?.bytes = bytes
            entries[id]?.isIdle = true
        }

        func entry(of key: WarmKey) -> (id: Int, entry: Entry)? {
            guard let id = bySignal[key.signalID], let entry = entries[id], entry.request.key == key else { return nil }
            return (id, entry)
        }
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
            guard let (id, entry) = state.entry(of: key), entry.warm?.sandbox.hasEnded == false else { return nil }
            _ = state.remove(id)
            note(state)
            return entry.warm
        }
        // Its room is another's, but the run does not wait for that to be seen.
        if found != nil { Task(on: loop) { self.pump() } }
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
                if let id = state.bySignal[request.signalID], state.entries[id]?.request.key != request.key {
                    // What waits for an older version of the signal waits for nothing.
                    discard(id, .replaced, &state)
                }
                if let (id, entry) = state.entry(of: request.key) {
                    if entry.request.dueAt < request.dueAt { state.entries[id]?.request.dueAt = request.dueAt }
                    state.wanted[request.signalID] = nil
                } else if state.wanted[request.signalID] != nil || state.wanted.count < Self.mostRemembered {
                    state.wanted[request.signalID] = (request, make)
                }
            }
        }
        pump()
    }

    /// Whether a sandbox of this key runs, ready or not.
    func hasStarted(_ key: WarmKey) -> Bool { state.withLock { $0.entry(of: key)?.entry.warm != nil } }

    /// How many there are, with how much memory they count.
    var size: (count: Int, idle: Int, bytes: Int) {
        state.withLock { state in
            (state.entries.count, state.idle, state.bytes)
        }
    }

    /// Makes what is due first, as long as there is room and a hand free.
    private func pump() {
        state.withLock { state in
            guard !state.isDraining, state.hands.count < bounds.width, !state.wanted.isEmpty else { return }
            var tries = Self.mostTries
            for (signal, wish) in state.wanted.sorted(by: { $0.value.request.dueAt < $1.value.request.dueAt }) {
                guard state.hands.count < bounds.width, tries > 0 else { return }
                guard let bytes = need(of: wish.request, &state) else {
                    state.wanted[signal] = nil
                    continue
                }
                switch makeRoom(bytes, for: wish.request, &state) {
                case .now: begin(wish.request, wish.make, bytes, &state)
                // What was thrown away for it is gone in a moment, and nobody who is due later takes its place.
                case .soon: return
                case .none: tries -= 1
                }
            }
        }
    }

    /// How much memory a wish needs; nil when it is not to be fulfilled at all.
    private func need(of request: WarmRequest, _ state: inout State) -> Int? {
        if request.dueAt + bounds.lateness < time.now() { return nil }
        if let until = state.failures[request.key], time.monotonicNanoseconds() < until { return nil }
        let usual = request.hasPackages ? Self.packagesBytes : Self.plainBytes
        let bytes = min(max(usual, state.needs[request.key] ?? 0), Self.most(request.key))
        guard bytes <= bounds.memoryBytes else {
            remember(request.key, &state)
            return nil
        }
        return bytes
    }

    private static func most(_ key: WarmKey) -> Int { SandboxLimits.of(key.resourceClass, wallTime: .seconds(1)).memoryBytes }

    private func begin(_ request: WarmRequest, _ make: @escaping Make, _ bytes: Int, _ state: inout State) {
        state.wanted[request.signalID] = nil
        state.count += 1
        let id = state.count
        state.insert(id, Entry(request: request, bytes: bytes, startedAt: time.monotonicNanoseconds()))
        state.hands.insert(id)
        note(state)
        let waiting = WaitingLimits(time: bounds.age + Self.patience, memoryBytes: bytes, isGentle: true)
        state.makers[id] = Task(on: loop) {
            await self.make(id, request, make, waiting)
            self.state.withLock { state in
                state.makers[id] = nil
                state.hands.remove(id)
                state.leaving[id] = nil
                self.note(state)
            }
            self.pump()
        }
    }

    private enum Room {
        case now, soon, none
    }

    /// Throws away what is due later, and what other accounts have beyond their half, until there is room; nothing when even that would not do.
    private func makeRoom(_ bytes: Int, for request: WarmRequest, _ state: inout State) -> Room {
        let (free, places) = (bounds.memoryBytes - state.bytes, bounds.count - state.entries.count - state.leaving.count)
        if free >= bytes, places >= 1 { return .now }
        // What is leaving is as good as gone.
        var (coming, room) = (free + state.leaving.values.reduce(0, +), places + state.leaving.count)
        var evicted: [Int] = []
        if coming < bytes || room < 1 {
            var uses: [AccountID: Use] = [:]
            for entry in state.entries.values { uses[entry.request.key.accountID, default: Use()].add(entry.bytes) }
            var own = uses[request.key.accountID] ?? Use()
            own.add(bytes)
            let isModest = !own.exceeds(bounds)
            for (id, entry) in state.entries.sorted(by: { $0.value.request.dueAt > $1.value.request.dueAt }) where coming < bytes || room < 1 {
                let account = entry.request.key.accountID
                let isLater = entry.request.dueAt > request.dueAt
                let isOwn = account == request.key.accountID
                // Who has more than a half gives way to who has not, whatever is due first, and drives away nobody but himself.
                guard isOwn ? isLater : isModest && (isLater || uses[account]?.exceeds(bounds) == true) else { continue }
                uses[account]?.remove(entry.bytes)
                evicted.append(id)
                coming += entry.bytes
                room += 1
            }
        }
        guard coming >= bytes, room >= 1 else { return .none }
        for id in evicted { discard(id, .evicted, &state) }
        return .soon
    }

    /// What one account has of the pool.
    private struct Use {
        private var bytes = 0
        private var count = 0

        mutating func add(_ more: Int) { (bytes, count) = (bytes + more, count + 1) }
        mutating func remove(_ less: Int) { (bytes, count) = (bytes - less, count - 1) }
        func exceeds(_ bounds: Bounds) -> Bool { 2 * bytes > bounds.memoryBytes || 2 * count > bounds.count }
    }

    // MARK: Making

    private func make(_ id: Int, _ request: WarmRequest, _ make: Make, _ waiting: WaitingLimits) async {
        let warm: WarmSandbox
        do {
            warm = try await make(request, waiting)
        } catch {
            logger.debug("a sandbox could not be warmed", ["signal_id": .string("\(request.signalID)"), "error": .string("\(error)")])
            state.withLock { state in
                // One that was thrown away meanwhile says nothing about its version; packages that are being installed are looked for again soon.
                let isInstalled = (error as? EnvironmentError)?.kind != .timeLimit
                if state.remove(id) != nil, isInstalled { remember(request.key, &state, for: Self.memoryOfAbsence) }
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
            state.becomesIdle(id, bytes: min(reserved, bytes + Self.slackBytes))
            note(state)
        }
    }

    /// It ended before it was ready. If it is not a run's by now, it is forgotten: the run starts cold, and its author sees what is wrong.
    private func failed(_ id: Int, _ request: WarmRequest, _ warm: WarmSandbox, _ waiting: WaitingLimits) async {
        // No run takes what has ended, so the place is kept until it is known why: a new one in between would need as much and end as well.
        guard state.withLock({ $0.entries[id] != nil }) else { return }
        let outcome = await warm.sandbox.discard()
        state.withLock { state in
            guard state.remove(id) != nil else { return }
            metrics.discarded(.failed)
            note(state)
            let most = Self.most(request.key)
            if outcome?.outOfMemory == true, let bytes = waiting.memoryBytes, bytes < most, state.needs.count < Self.mostRemembered {
                // More than the whole pool is a need as well: such a version runs cold.
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
        guard let entry = state.remove(id) else { return }
        metrics.discarded(reason)
        // Its memory is free when it is gone.
        state.leaving[id] = entry.bytes
        note(state)
        guard let warm = entry.warm else {
            // One in the making is thrown away by its maker, who finds it gone.
            state.makers[id]?.cancel()
            return
        }
        state.discards[id] = Task(on: loop) {
            await warm.sandbox.discard()
            self.state.withLock { state in
                state.discards[id] = nil
                state.leaving[id] = nil
                self.note(state)
            }
            self.pump()
        }
    }

    private func note(_ state: State) {
        metrics.size(idle: state.idle, making: state.entries.count - state.idle, bytes: state.bytes)
    }
}
