public import Contracts

/// The names of everything at the broker, in one place; a change of arguments needs new names, because the broker refuses to redeclare.
///
///     auspex.events (topic) ──event type──▶ <service>.<consumer> ──limit of deliveries──▶ <service>.<consumer>.dead
///                                            ▲            │ a handler wants to try again
///               <service>.queues (direct) ───┴── <service>.<consumer>.retry.<delay> (no consumer; its time to live is the delay)
///     auspex.jobs (direct) ──class──▶ jobs.<class>
///
/// What goes back to one queue travels over the service's own direct exchange by the queue's name: over the topic exchange others would hear it
/// again, and the right to write to the default exchange would be the right to write to everybody's queues.
public enum Topology {
    /// Where all events are published; the routing key is the event type.
    public static let eventsExchange = "auspex.events"
    /// Where wake-ups are published; the routing key is the queue's name.
    public static let wakeupsExchange = "auspex.jobs"

    /// The exchange that leads to each queue of a service by the queue's name.
    public static func queuesExchange(of service: String) -> String { "\(service).queues" }

    /// The queue of a consumer; all replicas of the service share it.
    public static func queue(service: String, consumer: String) -> String { "\(service).\(consumer)" }

    /// Where messages of a queue wait out a delay before they come back to it.
    public static func retryQueue(of queue: String, rung: RetryLadder.Rung) -> String { "\(queue).retry.\(rung.name)" }

    /// Where messages of a queue end that nobody could handle.
    public static func deadQueue(of queue: String) -> String { "\(queue).dead" }

    /// Belongs to the one replica that has to do with a queue which is to get nothing new.
    static func dutyQueue(of queue: String) -> String { "\(queue).duty" }

    /// The queue of hints that there is work of a class.
    public static func wakeupQueue(_ resourceClass: ResourceClass) -> String { "jobs.\(resourceClass.rawValue)" }

    /// After this many deliveries without an answer (crashes, lost connections) the broker moves a message to the dead queue by itself.
    static let deliveryLimit: Int64 = 20

    /// What every queue of events has: replicated, and full rather than lossy.
    private static let durable: [String: HeaderValue] = ["x-queue-type": .text("quorum"), "x-overflow": .text("reject-publish")]

    static func deadArguments() -> [String: HeaderValue] { durable }

    static func queueArguments(of queue: String, service: String) -> [String: HeaderValue] {
        leading(to: deadQueue(of: queue), service: service).merging(["x-delivery-limit": .integer(deliveryLimit)]) { $1 }
    }

    static func retryArguments(of queue: String, service: String, rung: RetryLadder.Rung) -> [String: HeaderValue] {
        leading(to: queue, service: service).merging(["x-message-ttl": .integer(rung.delay.wholeMicroseconds / 1_000)]) { $1 }
    }

    static let wakeupArguments: [String: HeaderValue] = [
        "x-max-length": .integer(1_000), "x-overflow": .text("drop-head"), "x-message-ttl": .integer(30_000),
    ]

    /// A message leaves its queue only when the next one has it.
    private static func leading(to queue: String, service: String) -> [String: HeaderValue] {
        durable.merging([
            "x-dead-letter-exchange": .text(queuesExchange(of: service)), "x-dead-letter-routing-key": .text(queue),
            "x-dead-letter-strategy": .text("at-least-once"),
        ]) { $1 }
    }
}

/// The delays after which a message that could not be handled comes back; after the last one it is dead.
public struct RetryLadder: Sendable, Hashable {
    /// One delay.
    public struct Rung: Sendable, Hashable {
        /// As it stands in the queue's name.
        public let name: String
        /// How long a message waits.
        public let delay: Duration

        /// Both.
        public init(name: String, delay: Duration) {
            self.name = name
            self.delay = delay
        }
    }

    /// From the first delay to the last.
    public let rungs: [Rung]

    /// Any ladder; other delays need other names.
    public init(rungs: [Rung]) {
        self.rungs = rungs
    }

    /// 5 s, 30 s, 5 min.
    public static let standard = RetryLadder(rungs: [
        Rung(name: "5s", delay: .seconds(5)), Rung(name: "30s", delay: .seconds(30)), Rung(name: "5m", delay: .seconds(300)),
    ])
}
