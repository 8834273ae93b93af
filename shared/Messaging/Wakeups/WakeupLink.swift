internal import Contracts
internal import ServiceRuntime
internal import Synchronization

/// The connection of wake-ups, on a thread of its own. A queue is consumed from the first time that somebody waits for its hints until one comes that
/// nobody waits for: who runs short jobs begins and ends waiting all the time, and would cost the broker more than the jobs do.
actor WakeupLink {
    private nonisolated let thread: DedicatedThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
    private let session: BrokerSession
    private let time: any TimeSource
    private var waiters: [UInt64: Waiter] = [:]
    private var nextWaiter: UInt64 = 0
    private var found: Set<ResourceClass> = []
    private var made: Set<ResourceClass> = []
    private(set) var consumed: Set<ResourceClass> = []
    /// When to look again for a queue that was not there.
    private var retryAt: [ResourceClass: UInt64] = [:]
    static let lookPause = Duration.seconds(1)
    private nonisolated let stopped = Atomic<Bool>(false)

    private struct Waiter {
        let classes: [ResourceClass]
        var hint: ResourceClass?
        var isOver = false
        var continuation: UnsafeContinuation<ResourceClass?, Never>?
    }

    init(url: BrokerURL, name: String, readiness: ReadinessCheck?, time: any TimeSource = SystemTimeSource()) throws {
        self.time = time
        let thread = try DedicatedThread.start(name: "broker-wakeups")
        self.thread = thread
        session = BrokerSession(url: url, name: name, thread: thread, readiness: readiness)
    }

    func start() {
        session.onConnected = { [unowned self] in try prepare() }
        session.onEvent = { [unowned self] event in take(event) }
        session.onLost = { [unowned self] _ in
            found = []
            made = []
            consumed = []
            retryAt = [:]
        }
        session.onTick = { [unowned self] in adjust() }
        session.start()
    }

    nonisolated func stop() async {
        guard !stopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
        await disconnect()
        await thread.stop()
    }

    private func disconnect() {
        session.stop()
        for waiter in Array(waiters.keys) { giveUpNow(waiter) }
    }

    // MARK: Telling

    nonisolated func publish(_ resourceClass: ResourceClass) async {
        guard !stopped.load(ordering: .acquiring) else { return }
        await send(resourceClass)
    }

    private func send(_ resourceClass: ResourceClass) {
        guard session.connection != nil else { return }
        let isMade = make(resourceClass)
        adjust()
        guard isMade else { return }
        var message = WireMessage(body: [])
        message.isPersistent = false
        try? session.use { (connection) throws(BrokerError) in
            try connection.publish(
                1,
                exchange: Topology.wakeupsExchange,
                routingKey: Topology.wakeupQueue(resourceClass),
                mandatory: false,
                message
            )
        }
    }

    // MARK: Hearing

    nonisolated func beginWaiting(for classes: [ResourceClass]) async -> UInt64? {
        guard !stopped.load(ordering: .acquiring) else { return nil }
        return await addWaiter(classes)
    }

    nonisolated func wait(_ waiter: UInt64?) async -> ResourceClass? {
        guard let waiter, !stopped.load(ordering: .acquiring) else { return nil }
        return await hint(for: waiter)
    }

    nonisolated func giveUp(_ waiter: UInt64?) async {
        guard let waiter, !stopped.load(ordering: .acquiring) else { return }
        await giveUpNow(waiter)
    }

    private func addWaiter(_ classes: [ResourceClass]) -> UInt64 {
        nextWaiter += 1
        waiters[nextWaiter] = Waiter(classes: classes)
        adjust()
        return nextWaiter
    }

    private func hint(for waiter: UInt64) async -> ResourceClass? {
        guard let entry = waiters[waiter] else { return nil }
        if entry.hint != nil || entry.isOver {
            waiters[waiter] = nil
            return entry.hint
        }
        return await withUnsafeContinuation { waiters[waiter]?.continuation = $0 }
    }

    private func giveUpNow(_ waiter: UInt64) {
        end(waiter, with: nil)
        adjust()
    }

    private func end(_ waiter: UInt64, with hint: ResourceClass?) {
        guard let entry = waiters[waiter], !entry.isOver else { return }
        if let continuation = entry.continuation {
            waiters[waiter] = nil
            continuation.resume(returning: hint)
        } else {
            waiters[waiter]?.hint = hint
            waiters[waiter]?.isOver = true
        }
    }

    // MARK: Connection

    private func prepare() throws {
        guard let connection = session.candidate else { return }
        try connection.openChannel(1)
        do throws(BrokerError) {
            try connection.findOrDeclareExchange(1, Topology.wakeupsExchange, type: "direct")
        } catch  where error.code == .refused(replyCode: 403) {
            // An executor may only read; the exchange is the business of those who tell.
            try connection.reopenChannel(1)
        }
        try connection.limitPrefetch(1, to: 1)
    }

    /// Makes sure of a class's queue and of the way to it; false when this user may not.
    ///
    /// Who tells does so even if the queue is there: its maker may not have come to the binding yet.
    private func make(_ resourceClass: ResourceClass) -> Bool {
        if made.contains(resourceClass) { return true }
        let queue = Topology.wakeupQueue(resourceClass)
        let isMade = try? session.use { (connection) throws(BrokerError) -> Bool in
            do throws(BrokerError) {
                try connection.declareQueue(1, queue, arguments: Topology.wakeupArguments)
                try connection.bind(1, queue: queue, exchange: Topology.wakeupsExchange, routingKey: queue)
                return true
            } catch  where error.code == .refused(replyCode: 403) {
                try connection.reopenChannel(1)
                try connection.limitPrefetch(1, to: 1)
                // A channel that is closed takes its consumers with it.
                consumed = []
                return false
            }
        }
        guard isMade == true else { return false }
        made.insert(resourceClass)
        return true
    }

    /// Makes sure of a class's queue for one who hears: an executor may not make it, and waits until somebody has.
    private func find(_ resourceClass: ResourceClass) -> Bool {
        if found.contains(resourceClass) || made.contains(resourceClass) { return true }
        let queue = Topology.wakeupQueue(resourceClass)
        let isThere = try? session.use { (connection) throws(BrokerError) -> Bool in
            do throws(BrokerError) {
                try connection.declareQueue(1, queue, passive: true)
                return true
            } catch  where error.code == .refused(replyCode: 404) {
                try connection.reopenChannel(1)
                try connection.limitPrefetch(1, to: 1)
                consumed = []
                return false
            }
        }
        guard isThere == true || (session.connection != nil && make(resourceClass)) else { return false }
        found.insert(resourceClass)
        return true
    }

    /// Consumes what is waited for.
    private func adjust() {
        guard session.connection != nil else { return }
        let wanted = Set(waiters.values.filter { !$0.isOver }.flatMap(\.classes))
        // First all look-ups, then the consumers: a look-up that is refused closes the channel and ends the consumers on it. So it is not repeated each
        // time that somebody begins to wait, but once a second.
        let now = time.monotonicNanoseconds()
        for resourceClass in wanted where now >= retryAt[resourceClass] ?? 0 {
            retryAt[resourceClass] = find(resourceClass) ? nil : now + UInt64(Self.lookPause / .nanoseconds(1))
        }
        let there = wanted.filter { found.contains($0) || made.contains($0) }
        for resourceClass in there.subtracting(consumed) {
            consumed.insert(resourceClass)
            try? session.use { (connection) throws(BrokerError) in
                try connection.consume(1, queue: Topology.wakeupQueue(resourceClass), tag: resourceClass.rawValue)
            }
        }
    }

    private func take(_ event: WireEvent) {
        switch event {
        case .delivery(let delivery):
            let resourceClass = ResourceClass(rawValue: delivery.consumerTag)
            let waiter = waiters.filter { !$0.value.isOver && resourceClass.map($0.value.classes.contains) == true }.map(\.key).min()
            guard let connection = session.connection else { return }
            do throws(BrokerError) {
                guard let waiter else {
                    // Nobody waits any more: another worker may, and this one must not be handed it again.
                    if let resourceClass, consumed.remove(resourceClass) != nil { try connection.cancel(1, tag: resourceClass.rawValue) }
                    return try connection.giveBack(1, delivery.deliveryTag)
                }
                try connection.acknowledge(1, delivery.deliveryTag)
                end(waiter, with: resourceClass)
            } catch {
                return session.lose(error)
            }
            adjust()
        case .consumerCancelled:
            session.lose(BrokerError(.connectionLost, message: "the queue was deleted"))
        default: break
        }
    }
}
