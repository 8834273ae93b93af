internal import Contracts
internal import ServiceRuntime

/// Lists, shows, replays and drops what nobody could handle: the subcommand `dead` of a service.
///
/// For one command at a time; it connects by itself and takes a second or so for thousands of messages.
public actor DeadQueues {
    private nonisolated let thread: DedicatedThread
    /// Runs on a thread of its own, because the library blocks.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
    private let url: BrokerURL
    private let service: String
    private let consumers: [String]
    private static let channel: UInt16 = 1
    private static let patience = Duration.seconds(5)

    /// The dead queues of a service's consumers.
    public init(brokerURL: String, service: String, consumers: [String]) throws {
        url = try BrokerURL(brokerURL)
        self.service = service
        self.consumers = consumers
        thread = try DedicatedThread.start(name: "broker-dead")
    }

    /// One entry per consumer whose queues exist, also when nothing is dead.
    public func list() throws -> [DeadQueueSummary] {
        let connection = try connect()
        defer { connection.close() }
        var summaries: [DeadQueueSummary] = []
        for consumer in consumers {
            let queue = Topology.queue(service: service, consumer: consumer)
            do throws(BrokerError) {
                let count = try connection.declareQueue(Self.channel, Topology.deadQueue(of: queue), passive: true).messages
                summaries.append(DeadQueueSummary(queue: queue, count: count))
            } catch {
                guard error.code == .refused(replyCode: 404) else { throw error }
                try connection.reopenChannel(Self.channel)
            }
        }
        return summaries
    }

    /// The oldest messages of a consumer's dead queue; they stay there.
    public func show(consumer: String, limit: Int = 100) async throws -> [DeadMessage] {
        let connection = try connect()
        // Closing gives everything back.
        defer { connection.close() }
        return try take(connection, consumer: consumer, limit: limit).map { $0.dead }
    }

    /// Puts messages back into the consumer's queue with all tries before them; gives how many.
    ///
    /// Only the named ones when ids are given. The inbox still knows events that were handled: replaying those changes nothing.
    @discardableResult
    public func replay(consumer: String, messageIDs: Set<String>? = nil) async throws -> Int {
        try await settle(consumer: consumer, messageIDs: messageIDs) { (connection, queue, message) throws(BrokerError) in
            var copy = message.delivery.message
            copy.headers = copy.headers.filter { $0.key == MessageHeaders.traceparent }
            try connection.publish(Self.channel, exchange: Topology.queuesExchange(of: self.service), routingKey: queue, mandatory: true, copy)
            try self.waitForConfirm(connection)
        }
    }

    /// Deletes messages for good; gives how many. Only the named ones when ids are given.
    @discardableResult
    public func drop(consumer: String, messageIDs: Set<String>? = nil) async throws -> Int {
        try await settle(consumer: consumer, messageIDs: messageIDs) { (_, _, _) throws(BrokerError) in }
    }

    /// Ends the thread; nothing may be called afterwards.
    public nonisolated func close() async {
        await thread.stop()
    }

    private typealias Taken = (delivery: WireDelivery, dead: DeadMessage)

    private func settle(
        consumer: String,
        messageIDs: Set<String>?,
        _ effect: (WireConnection, String, Taken) throws(BrokerError) -> Void
    ) async throws -> Int {
        let connection = try connect()
        defer { connection.close() }
        let queue = Topology.queue(service: service, consumer: consumer)
        var count = 0
        for message in try take(connection, consumer: consumer, limit: .max) {
            if let messageIDs, !messageIDs.contains(message.dead.messageID) { continue }
            try effect(connection, queue, message)
            try connection.acknowledge(Self.channel, message.delivery.deliveryTag)
            count += 1
        }
        return count
    }

    private func connect() throws -> WireConnection {
        let connection = try WireConnection(to: url, name: "\(service)/dead")
        try connection.openChannel(Self.channel)
        try connection.selectConfirms(Self.channel)
        return connection
    }

    /// Holds the messages that are there now, unanswered.
    ///
    /// The broker's count lags behind what another command has just given back, so it only says when there may be enough.
    private func take(_ connection: WireConnection, consumer: String, limit: Int) throws -> [Taken] {
        let queue = Topology.deadQueue(of: Topology.queue(service: service, consumer: consumer))
        let count = try connection.declareQueue(Self.channel, queue, passive: true).messages
        let most = min(limit, Int(UInt16.max))
        guard most > 0 else { return [] }
        try connection.limitPrefetch(Self.channel, to: UInt16(most))
        try connection.consume(Self.channel, queue: queue, tag: "dead")
        var taken: [Taken] = []
        while taken.count < most {
            let patience = taken.count < count ? Self.patience : .milliseconds(300)
            guard let event = try next(connection, within: patience) else { break }
            if case .delivery(let delivery) = event { taken.append((delivery, Self.dead(delivery.message))) }
        }
        try connection.cancel(Self.channel, tag: "dead")
        return taken
    }

    private func waitForConfirm(_ connection: WireConnection) throws(BrokerError) {
        while let event = try next(connection, within: Self.patience) {
            switch event {
            case .returned(_, let reason): throw BrokerError(.unroutable, message: reason)
            case .refused: throw BrokerError(.refused(replyCode: 0), message: "negative confirm")
            case .acknowledged: return
            default: break
            }
        }
        throw BrokerError(.timeout)
    }

    private func next(_ connection: WireConnection, within patience: Duration) throws(BrokerError) -> WireEvent? {
        let deadline = monotonicNanoseconds() + UInt64(patience.wholeMicroseconds) * 1_000
        while true {
            if let event = try connection.nextEvent() { return event }
            let now = monotonicNanoseconds()
            guard now < deadline else { return nil }
            connection.waitUntilReadable(milliseconds: Int32((deadline - now) / 1_000_000) + 1)
        }
    }

    private static func dead(_ message: WireMessage) -> DeadMessage {
        DeadMessage(
            messageID: message.messageID,
            type: message.type,
            reason: message.headers[MessageHeaders.reason]?.text ?? MessageHeaders.brokerReason(message.headers) ?? "",
            movedAt: message.headers[MessageHeaders.movedAt]?.text ?? "",
            attempts: Int(message.headers[MessageHeaders.attempt]?.integer ?? 0) + 1,
            body: message.body
        )
    }
}
