public import Contracts
public import ServiceRuntime
internal import Synchronization

/// Brings events to every replica, for caches and streams: what is missed while the connection is away is not made up for.
///
/// Each instance has a queue of its own that ends with its connection. There is no inbox and no second try: `onSubscribed` runs on every
/// (re)subscription, before any event that comes after it, and is the moment to drop or reload what was cached. `onUnsubscribed` runs again and again for as
/// long as there is no subscription, from the start on: the word of a subscription may arrive after its end.
public final class EventBroadcast: Component {
    /// The component's name.
    public let name: String
    private let link: BroadcastLink
    private let inbox: BroadcastInbox
    private let loop: EventLoop
    private let time: any TimeSource
    private let onUnsubscribed: @Sendable () -> Void
    private let work = BackgroundTask()

    /// A listener of `service`; `listener` names it among the service's. The callbacks run one after another on `loop`.
    ///
    /// - Parameter onEvent: an event that it throws at is logged and passed over.
    public init(
        service: String,
        listener: String,
        eventTypes: [String],
        brokerURL: String,
        loop: EventLoop,
        readiness: Readiness? = nil,
        time: any TimeSource = SystemTimeSource(),
        onSubscribed: @escaping @Sendable () async -> Void,
        onUnsubscribed: @escaping @Sendable () -> Void = {},
        onEvent: @escaping @Sendable (Envelope) async throws -> Void
    ) throws {
        name = "\(service).\(listener)"
        self.loop = loop
        self.time = time
        self.onUnsubscribed = onUnsubscribed
        let inbox = BroadcastInbox(loop: loop, name: name, onSubscribed: onSubscribed, onEvent: onEvent)
        self.inbox = inbox
        let suffix = EventID.make().description
        link = try BroadcastLink(
            url: try BrokerURL(brokerURL),
            queue: "\(service).\(listener).\(suffix)",
            eventTypes: eventTypes,
            readiness: readiness?.register("broker \(service).\(listener)"),
            inbox: inbox
        )
    }

    /// Whether events arrive just now; while they do not, what is cached may be stale without our knowing.
    public var isSubscribed: Bool { inbox.isSubscribed }

    /// Begins to connect; does not fail when the broker is away.
    public func start() async throws {
        await link.start()
        work.start(on: loop, every: .milliseconds(100), time: time) { [self] in
            if !isSubscribed { onUnsubscribed() }
        }
    }

    /// Ends the subscription.
    public func stop() async {
        await work.stop()
        await link.stop()
    }
}

/// The connection of a broadcast, on a thread of its own.
private actor BroadcastLink {
    private nonisolated let thread: DedicatedThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
    private let session: BrokerSession
    private nonisolated let stopped = Atomic<Bool>(false)
    private let queue: String
    private let eventTypes: [String]
    private let inbox: BroadcastInbox

    init(url: BrokerURL, queue: String, eventTypes: [String], readiness: ReadinessCheck?, inbox: BroadcastInbox) throws {
        let thread = try DedicatedThread.start(name: "broker-listen")
        self.thread = thread
        self.queue = queue
        self.eventTypes = eventTypes
        self.inbox = inbox
        session = BrokerSession(url: url, name: queue, thread: thread, readiness: readiness)
    }

    func start() {
        session.onConnected = { [queue, eventTypes, inbox, session] in
            guard let connection = session.candidate else { return }
            try connection.openChannel(1)
            try connection.declareEventsExchange(1)
            try connection.declareQueue(1, queue, durable: false, exclusive: true, arguments: ["x-max-length": .integer(10_000)])
            for eventType in eventTypes { try connection.bind(1, queue: queue, exchange: Topology.eventsExchange, routingKey: eventType) }
            // What was said before this moment is not heard; what is said from now on is.
            inbox.push(.subscribed)
            try connection.consume(1, queue: queue, tag: "auspex", noAcknowledgement: true, exclusive: true)
        }
        session.onEvent = { [session, inbox] event in
            switch event {
            case .delivery(let delivery): inbox.push(.event(delivery.message.body, routingKey: delivery.routingKey))
            case .consumerCancelled: session.lose(BrokerError(.connectionLost, message: "the queue was deleted"))
            default: break
            }
        }
        session.onLost = { [inbox] _ in inbox.lost() }
        session.start()
    }

    nonisolated func stop() async {
        guard !stopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
        await disconnect()
        await thread.stop()
    }

    private func disconnect() {
        session.stop()
        inbox.lost()
    }
}

/// What a broadcast has heard and not told yet, in order.
private final class BroadcastInbox: Sendable {
    enum Item {
        case subscribed
        case event([UInt8], routingKey: String)
    }

    private struct State {
        var items: [Item] = []
        var isTelling = false
        var isSubscribed = false
    }

    private let state = Mutex(State())
    private let loop: EventLoop
    private let name: String
    private let onSubscribed: @Sendable () async -> Void
    private let onEvent: @Sendable (Envelope) async throws -> Void
    private static let limit = 10_000

    init(
        loop: EventLoop,
        name: String,
        onSubscribed: @escaping @Sendable () async -> Void,
        onEvent: @escaping @Sendable (Envelope) async throws -> Void
    ) {
        self.loop = loop
        self.name = name
        self.onSubscribed = onSubscribed
        self.onEvent = onEvent
    }

    var isSubscribed: Bool { state.withLock { $0.isSubscribed } }

    func lost() { state.withLock { $0.isSubscribed = false } }

    func push(_ item: Item) {
        let mustStart = state.withLock { state -> Bool in
            if case .subscribed = item { state.isSubscribed = true }
            // Nobody can keep up with so much: forget it and start over as after a new subscription.
            if state.items.count >= Self.limit { state.items = [.subscribed] } else { state.items.append(item) }
            defer { state.isTelling = true }
            return !state.isTelling
        }
        guard mustStart else { return }
        Task(on: loop) { [self] in await tell() }
    }

    private func tell() async {
        while let items = take() {
            for item in items {
                switch item {
                case .subscribed: await onSubscribed()
                case .event(let bytes, let routingKey):
                    do {
                        try await onEvent(try Envelope(received: bytes, routingKey: routingKey))
                    } catch {
                        Logger("broadcast").error(
                            "an event could not be read",
                            ["listener": .string(name), "type": .string(routingKey), "reason": .string("\(error)")]
                        )
                    }
                }
            }
        }
    }

    private func take() -> [Item]? {
        state.withLock { state in
            guard !state.items.isEmpty else {
                state.isTelling = false
                return nil
            }
            defer { state.items = [] }
            return state.items
        }
    }
}
