public import Contracts
public import ServiceRuntime
internal import Synchronization

/// Publishes events and waits until the broker has them safe.
///
/// One connection on a thread of its own. Without a connection every call fails at once: the outbox keeps what it could not send.
public actor BrokerPublisher: Component {
    /// The component's name.
    public nonisolated let name = "broker-publisher"
    private nonisolated let thread: DedicatedThread
    /// The publisher runs on its thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let session: BrokerSession
    private let channel: ConfirmedChannel
    private var connectionWaiters: [UnsafeContinuation<Void, Never>] = []
    private nonisolated let up = Atomic<Bool>(false)
    private nonisolated let stopped = Atomic<Bool>(false)

    /// A publisher for a service; throws when the URL is not one or no thread can be had.
    public init(brokerURL: String, service: String, readiness: Readiness? = nil) throws {
        let url = try BrokerURL(brokerURL)
        let thread = try DedicatedThread.start(name: "broker-publish")
        self.thread = thread
        session = BrokerSession(url: url, name: "\(service)/publisher", thread: thread, readiness: readiness?.register("broker"))
        channel = ConfirmedChannel(channel: 1, session: session)
    }

    /// Begins to connect; does not fail when the broker is away.
    public func start() async throws {
        session.onConnected = { [channel, session] in
            guard let connection = session.candidate else { return }
            // On a channel of its own: a refused look-up closes its channel, and a channel that is opened again does not confirm.
            try connection.openChannel(2)
            try connection.declareEventsExchange(2)
            try channel.open(connection)
        }
        session.onEvent = { [channel] event in _ = channel.take(event) }
        session.onLost = { [unowned self] error in
            up.store(false, ordering: .releasing)
            channel.lost(error)
        }
        session.onTick = { [unowned self] in
            channel.checkPatience()
            guard session.connection != nil else { return }
            up.store(true, ordering: .releasing)
            resumeWaiters()
        }
        session.start()
    }

    /// Ends the connection; what is unconfirmed fails.
    public nonisolated func stop() async {
        // Not on the actor: nothing could come back to a thread that has ended.
        guard stopped.exchange(true, ordering: .acquiringAndReleasing) == false else { return }
        await disconnect()
        await thread.stop()
    }

    /// Publishes an event past the outbox, for what is not bound to a transaction; returns when the broker has it safe.
    public nonisolated func publish(_ envelope: Envelope) async throws {
        let bytes = try envelope.encoded()
        let message = OutgoingMessage.event(id: envelope.id, type: envelope.type, bytes: bytes, traceparent: envelope.traceparent)
        if let error = await publish([message])[0].error { throw error }
    }

    /// Whether there is a connection just now.
    public nonisolated var isConnected: Bool { up.load(ordering: .acquiring) }

    /// Returns once there is a connection, or the publisher was stopped.
    public nonisolated func connected() async {
        guard !stopped.load(ordering: .acquiring) else { return }
        await waitForConnection()
    }

    /// One outcome per message, in order.
    nonisolated func publish(_ messages: [OutgoingMessage]) async -> [PublishOutcome] {
        guard !stopped.load(ordering: .acquiring) else { return messages.map { _ in .failed(BrokerError(.stopped)) } }
        return await send(messages)
    }

    private func send(_ messages: [OutgoingMessage]) async -> [PublishOutcome] {
        await withUnsafeContinuation { channel.publish(messages, $0) }
    }

    private func waitForConnection() async {
        guard session.connection == nil, !stopped.load(ordering: .acquiring) else { return }
        await withUnsafeContinuation { connectionWaiters.append($0) }
    }

    private func disconnect() {
        up.store(false, ordering: .releasing)
        channel.lost(BrokerError(.stopped))
        session.stop()
        resumeWaiters()
    }

    private func resumeWaiters() {
        let waiters = connectionWaiters
        connectionWaiters = []
        for waiter in waiters { waiter.resume() }
    }
}

extension OutgoingMessage {
    /// An event for the topic exchange; its bytes are those that the outbox holds.
    static func event(id: EventID, type: String, bytes: [UInt8], traceparent: String?) -> OutgoingMessage {
        var message = WireMessage(body: bytes)
        message.messageID = id.description
        message.type = type
        if let traceparent { message.headers["traceparent"] = .text(traceparent) }
        let mustBeHeard = EventCatalogue.body(ofType: type)?.mustBeHeard ?? true
        return OutgoingMessage(exchange: Topology.eventsExchange, routingKey: type, message: message, isMandatory: mustBeHeard)
    }
}
