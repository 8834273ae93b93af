internal import Contracts
public import Postgres
public import ServiceRuntime
internal import Synchronization

/// Settings of a consumer; the defaults are those of production.
public struct ConsumerOptions: Sendable {
    /// How many messages the broker hands over ahead of their answers.
    public var prefetch: UInt16
    /// How many are handled at once; each holds a database connection.
    public var maximumConcurrent: Int
    /// The delays of another try.
    public var ladder: RetryLadder
    /// How long to wait before the first look whether a dependency is back; doubles up to thirty times that.
    public var probeDelay: Duration
    /// Events older than this go to the dead queue: the inbox may have forgotten them.
    public var memory: Duration
    /// How long the queue of a retired consumer has to be without another consumer before it loses its bindings: longer than a replica of the version
    /// before is away when it is started again, and than what it left in its outbox waits there.
    public var retirementPatience: Duration

    /// All settings.
    public init(
        prefetch: UInt16 = 32,
        maximumConcurrent: Int = 4,
        ladder: RetryLadder = .standard,
        probeDelay: Duration = .milliseconds(500),
        memory: Duration = .seconds(30 * 86_400),
        retirementPatience: Duration = .seconds(600)
    ) {
        self.prefetch = prefetch
        self.maximumConcurrent = maximumConcurrent
        self.ladder = ladder
        self.probeDelay = probeDelay
        self.memory = memory
        self.retirementPatience = retirementPatience
    }
}

/// Brings the events of one queue to a handler, each effect once: the inbox row is in the transaction of the effect.
///
/// Replicas of a service share the queue. Events arrive at least once and in any order; see `HandlerOutcome` for what can become of one.
public final class EventConsumer: Component {
    /// The component's name: that of the queue.
    public let name: String
    private let schema: String
    private let handler: any EventHandler
    private let consumerName: String
    private let eventTypes: Set<String>
    private let pool: PostgresPool
    private let loop: EventLoop
    private let options: ConsumerOptions
    private let timeSource: any TimeSource
    private let queue: DeliveryQueue
    private let link: ConsumerLink
    private let away: DependencyBreak
    private let probing = Mutex<Task<Void, Never>?>(nil)
    private let logger = Logger("consumer")
    private let metrics: ConsumerMetrics

    /// A consumer of `service` whose handlers run on `loop`; its inbox is in `schema`, which is the service's name unless told.
    public init<Handler: EventHandler>(
        service: String,
        handler: Handler,
        pool: PostgresPool,
        brokerURL: String,
        loop: EventLoop,
        schema: String? = nil,
        options: ConsumerOptions = ConsumerOptions(),
        timeSource: any TimeSource = SystemTimeSource(),
        readiness: Readiness? = nil
    ) throws {
        let name = Topology.queue(service: service, consumer: Handler.consumerName)
        self.name = name
        self.schema = schema ?? service
        self.handler = handler
        consumerName = Handler.consumerName
        eventTypes = Set(Handler.eventTypes)
        self.pool = pool
        self.loop = loop
        self.options = options
        self.timeSource = timeSource
        metrics = ConsumerMetrics(queue: name)
        away = DependencyBreak(firstDelay: options.probeDelay)
        let queue = DeliveryQueue(maximumWorkers: options.maximumConcurrent)
        self.queue = queue
        let start = WorkerStart()
        link = try ConsumerLink(
            ConsumerLink.Configuration(
                url: try BrokerURL(brokerURL),
                service: service,
                queue: name,
                eventTypes: Handler.eventTypes,
                ladder: options.ladder,
                prefetch: options.prefetch,
                retirement: Handler.isRetired ? QueueRetirement(patience: options.retirementPatience) : nil
            ),
            readiness: readiness?.register("broker \(name)")
        ) { delivery in
            if queue.push(delivery) { start.consumer?.startWorker() }
        }
        start.consumer = self
    }

    /// Begins to connect and to consume; does not fail when the broker is away.
    public func start() async throws {
        await link.start()
    }

    /// Stops deliveries, finishes what handlers hold, gives back what they have not begun.
    public func stop() async {
        _ = queue.pause()
        probing.withLock { $0 }?.cancel()
        await link.pause()
        await queue.idle()
        for delivery in queue.takeWaiting() { await link.giveBack(delivery) }
        await link.stop()
    }

    private func startWorker() {
        Task(on: loop) { [self] in
            while let held = queue.next() { await process(held) }
        }
    }

    private func process(_ held: HeldDelivery) async {
        let message = held.delivery.message
        let trace = message.headers[MessageHeaders.traceparent]?.text.flatMap { TraceContext(traceparent: $0) }?.child() ?? .make()
        // Also for what is logged of a message that is no event.
        await RequestContext.$current.withValue(RequestContextValue(requestID: message.messageID, trace: trace)) {
            let startedAt = timeSource.monotonicNanoseconds()
            let outcome = await evaluate(held.delivery)
            metrics.handled(outcome, seconds: Double(timeSource.monotonicNanoseconds() - startedAt) / 1e9)
            await settle(held, outcome)
        }
    }

    private func settle(_ held: HeldDelivery, _ outcome: HandlerOutcome) async {
        switch outcome {
        case .done:
            away.succeeded()
            await link.acknowledge(held)
        case .retry(let reason): await tryLater(held, reason)
        case .deadLetter(let reason): await bury(held, reason)
        case .dependencyAway(let reason): await breakOff(held, reason)
        }
    }

    // MARK: Handling

    private func evaluate(_ delivery: WireDelivery) async -> HandlerOutcome {
        let message = delivery.message
        let envelope: Envelope
        do {
            // What came back to this queue was checked the first time, and its routing key is the queue's name.
            let isFirst = delivery.exchange == Topology.eventsExchange
            envelope = try Envelope(received: message.body, routingKey: isFirst ? delivery.routingKey : nil)
        } catch {
            return .deadLetter(reason: "not an event: \(error)")
        }
        // A binding that an older version of the service made.
        guard eventTypes.contains(envelope.type) else { return .done }
        if let saidAt = UUIDv7.moment(of: envelope.id.uuid), timeSource.now() - saidAt > options.memory {
            return .deadLetter(reason: "said at \(saidAt), which is longer ago than the inbox remembers")
        }
        let context = EventContext(envelope)
        let traceparent = message.headers[MessageHeaders.traceparent]?.text ?? envelope.traceparent
        let trace = traceparent.flatMap { TraceContext(traceparent: $0) }?.child() ?? .make()
        return await EventContext.$current.withValue(context) {
            await RequestContext.$current.withValue(RequestContextValue(requestID: context.correlationID, trace: trace)) {
                await apply(envelope)
            }
        }
    }

    private func apply(_ envelope: Envelope) async -> HandlerOutcome {
        let signal = OutboxSignal.of(schema: schema)
        let appendedBefore = signal.appended
        do {
            guard try handler.concerns(envelope) else { return .done }
            // No other service is asked while a transaction holds its locks.
            let handler: any EventHandler = try await handler.prepared(for: envelope)
            try await pool.withTransaction { connection in
                let inserted = try await connection.execute(
                    """
                    INSERT INTO \(identifier: schema).inbox (consumer, event_id) VALUES (\(consumerName), \(envelope.id))
                    ON CONFLICT DO NOTHING
                    """
                )
                guard inserted == 1 else { return metrics.duplicate() }
                let outcome = try await handler.handle(envelope, on: connection)
                if outcome != .done { throw RolledBack(outcome: outcome) }
            }
        } catch let rolledBack as RolledBack {
            return rolledBack.outcome
        } catch let error as DecodingError {
            return .deadLetter(reason: "its data does not fit: \(error.briefly)")
        } catch let error as PostgresError where error.isUnavailable {
            return .dependencyAway(reason: error.description)
        } catch {
            logger.warning("a handler failed", ["queue": .string(name), "event": .string(envelope.id.description), "error": .string("\(error)")])
            return .retry(reason: "\(error)")
        }
        if signal.appended != appendedBefore { signal.poke() }
        return .done
    }

    private struct RolledBack: Error { let outcome: HandlerOutcome }

    // MARK: When it is not done

    private func tryLater(_ held: HeldDelivery, _ reason: String) async {
        let headers = held.delivery.message.headers
        let attempt = Int(headers[MessageHeaders.attempt]?.integer ?? 0)
        guard attempt < options.ladder.rungs.count else { return await bury(held, "given up after \(attempt + 1) attempts: \(reason)") }
        let target = Topology.retryQueue(of: name, rung: options.ladder.rungs[attempt])
        await link.move([(held, target, MessageHeaders.forCopy(of: headers, attempt: attempt + 1, reason: reason, now: timeSource.now()))])
    }

    private func bury(_ held: HeldDelivery, _ reason: String) async {
        let message = held.delivery.message
        let attempt = Int(message.headers[MessageHeaders.attempt]?.integer ?? 0)
        let now = timeSource.now()
        logger.error("an event is dead", ["queue": .string(name), "message": .string(message.messageID), "reason": .string(reason)])
        // The queue holds the message itself; the note is for people, so that a database that is away does not keep it from its place.
        _ = try? await pool.execute(
            """
            INSERT INTO \(identifier: schema).dead_letters (id, queue, message_id, event_type, attempts, reason, died_at)
            VALUES (\(ID<DeadLetterTag>.make()), \(name), \(message.messageID), \(message.type), \(attempt + 1), \(reason), \(now))
            """
        )
        await link.move([
            (held, Topology.deadQueue(of: name), MessageHeaders.forCopy(of: message.headers, attempt: attempt, reason: reason, now: now))
        ])
    }

    /// Cancels, puts everything back unchanged and looks from time to time whether what was away is back.
    private func breakOff(_ held: HeldDelivery, _ reason: String) async {
        let isFirst = queue.pause()
        if isFirst {
            logger.warning("a dependency is away; consuming pauses", ["queue": .string(name), "reason": .string(reason)])
            await link.pause()
        }
        let returned = [held] + (isFirst ? queue.takeWaiting() : [])
        // A copy at the end of the queue instead of a return: a return would count as a delivery, and twenty of those are the end.
        await link.move(
            returned.map { ($0, name, $0.delivery.message.headers.filter { !$0.key.hasPrefix("x-death") && !$0.key.hasPrefix("x-first") }) }
        )
        guard isFirst else { return }
        probing.withLock { probing in
            probing = Task(on: loop) { [self] in await waitForDependency() }
        }
    }

    private func waitForDependency() async {
        while true {
            guard (try? await timeSource.sleep(for: away.nextDelay())) != nil else { return }
            guard (try? await pool.query("SELECT 1")) != nil, await handler.dependencyIsBack() else { continue }
            guard !Task.isCancelled else { return }
            logger.notice("consuming goes on", ["queue": .string(name)])
            for _ in 0..<queue.resume() { startWorker() }
            return await link.resume()
        }
    }
}

/// Tags a note on a dead message.
enum DeadLetterTag {}

/// Lets the connection's callback find the consumer that is made after it.
private final class WorkerStart: @unchecked Sendable {
    // Unchecked because it is set once, before the connection is started, and only read afterwards.
    weak var consumer: EventConsumer?
}

extension DecodingError {
    /// The field and what was expected of it.
    var briefly: String {
        let context: Context? =
            switch self {
            case .keyNotFound(_, let context), .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context): context
            @unknown default: nil
            }
        guard let context else { return "unreadable" }
        return "\(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
    }
}
