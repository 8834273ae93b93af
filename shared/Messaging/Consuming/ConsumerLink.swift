internal import Contracts
internal import ServiceRuntime
internal import Synchronization

/// A delivery and the connection that it came over: only there can it be answered.
struct HeldDelivery: Sendable {
    let epoch: UInt64
    let delivery: WireDelivery
}

/// A consumer's connection on a thread of its own: one channel to consume, one to move messages with confirms.
///
/// A delivery that is never answered, because the connection went away, comes again by the broker's doing.
actor ConsumerLink {
    struct Configuration: Sendable {
        var url: BrokerURL
        var service: String
        var queue: String
        var eventTypes: [String]
        var ladder: RetryLadder
        var prefetch: UInt16
        /// Of a queue that is to get nothing new.
        var retirement: QueueRetirement?
    }

    private nonisolated let thread: DedicatedThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let configuration: Configuration
    private let session: BrokerSession
    private nonisolated let stopped = Atomic<Bool>(false)
    private let mover: ConfirmedChannel
    private let onDelivery: @Sendable (HeldDelivery) -> Void
    private var epoch: UInt64 = 0
    private var wantsDeliveries = false
    private var isConsuming = false
    private var retirement: QueueRetirement?
    /// Of a queue that is to get nothing new: no other replica of this version has to do with it.
    private var isOnDuty = false
    private static let consumingChannel: UInt16 = 1
    /// Of its own, as the broker ends the channel of who asks for a duty that another has.
    private static let dutyChannel: UInt16 = 3
    private static let tag = "auspex"

    init(_ configuration: Configuration, readiness: ReadinessCheck?, onDelivery: @escaping @Sendable (HeldDelivery) -> Void) throws {
        self.configuration = configuration
        retirement = configuration.retirement
        self.onDelivery = onDelivery
        let thread = try DedicatedThread.start(name: "broker-consume")
        self.thread = thread
        session = BrokerSession(url: configuration.url, name: configuration.queue, thread: thread, readiness: readiness)
        mover = ConfirmedChannel(channel: 2, session: session)
    }

    func start() {
        session.onConnected = { [unowned self] in try prepare() }
        session.onEvent = { [unowned self] event in take(event) }
        session.onLost = { [mover] error in mover.lost(error) }
        session.onTick = { [unowned self] in
            mover.checkPatience()
            lookIfDue()
        }
        wantsDeliveries = true
        session.start()
    }

    /// Stops deliveries; what was delivered stays with us.
    func pause() {
        guard wantsDeliveries else { return }
        wantsDeliveries = false
        followWish()
    }

    func resume() {
        guard !wantsDeliveries else { return }
        wantsDeliveries = true
        retirement?.hurry()
        followWish()
    }

    func acknowledge(_ held: HeldDelivery) {
        guard held.epoch == epoch else { return }
        try? session.use { (connection) throws(BrokerError) in try connection.acknowledge(held.delivery.channel, held.delivery.deliveryTag) }
    }

    /// Gives a message back to the broker, which counts that as a delivery.
    func giveBack(_ held: HeldDelivery) {
        guard held.epoch == epoch else { return }
        try? session.use { (connection) throws(BrokerError) in try connection.giveBack(held.delivery.channel, held.delivery.deliveryTag) }
    }

    /// Puts messages with changed headers into queues of the service and answers them once the broker has the copies safe.
    ///
    /// A crash in between leaves two of a message, which the inbox tells apart by its id.
    func move(_ moves: [(held: HeldDelivery, queue: String, headers: [String: HeaderValue])]) async {
        let current = moves.filter { $0.held.epoch == epoch }
        let copies = current.map { move in
            var message = move.held.delivery.message
            message.headers = move.headers
            return OutgoingMessage(exchange: Topology.queuesExchange(of: configuration.service), routingKey: move.queue, message: message)
        }
        let outcomes = await withUnsafeContinuation { mover.publish(copies, $0) }
        for (move, outcome) in zip(current, outcomes) {
            if let error = outcome.error {
                Logger("broker").warning(
                    "a message could not be moved; it stays where it was",
                    ["queue": .string(move.queue), "reason": .string(error.debugDescription)]
                )
                giveBack(move.held)
            } else {
                acknowledge(move.held)
            }
        }
    }

    nonisolated func stop() async {
        guard !stopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
        await disconnect()
        await thread.stop()
    }

    private func disconnect() {
        mover.lost(BrokerError(.stopped))
        session.stop()
    }

    private func prepare() throws {
        guard let connection = session.candidate else { return }
        epoch += 1
        (isConsuming, isOnDuty) = (false, false)
        try connection.openChannel(Self.consumingChannel)
        if retirement != nil { try connection.openChannel(Self.dutyChannel) }
        try connection.declareConsumer(
            Self.consumingChannel,
            queue: configuration.queue,
            service: configuration.service,
            ladder: configuration.ladder,
            eventTypes: retirement == nil ? configuration.eventTypes : []
        )
        try mover.open(connection)
        try connection.limitPrefetch(Self.consumingChannel, to: configuration.prefetch)
        // What went on while there was no connection nobody saw.
        retirement = configuration.retirement
        try follow(connection)
    }

    private func followWish() {
        guard session.connection != nil else { return }
        try? session.use { (connection) throws(BrokerError) in try follow(connection) }
    }

    private func lookIfDue() {
        guard let retirement, wantsDeliveries, monotonicNanoseconds() >= retirement.nextLook else { return }
        followWish()
    }

    /// Consumes, or does not, as is wanted.
    private func follow(_ connection: WireConnection) throws(BrokerError) {
        guard wantsDeliveries, retirement != nil else { return try consume(connection, wantsDeliveries) }
        guard try takesDuty(connection) else {
            retirement?.leave(now: monotonicNanoseconds())
            return
        }
        let standing = try connection.declareQueue(Self.consumingChannel, configuration.queue, passive: true)
        let others = standing.consumers - (isConsuming ? 1 : 0)
        guard let step = retirement?.look(messages: standing.messages, others: others, now: monotonicNanoseconds()) else { return }
        if step.unbinds { try connection.unbindConsumer(Self.consumingChannel, queue: configuration.queue, eventTypes: configuration.eventTypes) }
        try consume(connection, step.consumes)
    }

    /// The duty is a queue that belongs to the connection which made it, and goes with it.
    private func takesDuty(_ connection: WireConnection) throws(BrokerError) -> Bool {
        if isOnDuty { return true }
        do throws(BrokerError) {
            let name = Topology.dutyQueue(of: configuration.queue)
            try connection.declareQueue(Self.dutyChannel, name, durable: false, exclusive: true)
            isOnDuty = true
        } catch  where error.code == .refused(replyCode: 405) {
            try connection.reopenChannel(Self.dutyChannel)
        }
        return isOnDuty
    }

    private func consume(_ connection: WireConnection, _ wanted: Bool) throws(BrokerError) {
        guard wanted != isConsuming else { return }
        if wanted {
            try connection.consume(Self.consumingChannel, queue: configuration.queue, tag: Self.tag)
        } else {
            try connection.cancel(Self.consumingChannel, tag: Self.tag)
        }
        isConsuming = wanted
    }

    private func take(_ event: WireEvent) {
        if mover.take(event) { return }
        switch event {
        case .delivery(let delivery): onDelivery(HeldDelivery(epoch: epoch, delivery: delivery))
        case .consumerCancelled: session.lose(BrokerError(.connectionLost, message: "the queue was deleted"))
        default: break
        }
    }
}
