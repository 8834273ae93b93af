import Contracts
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport

/// An event of the tests.
struct ThingChanged: EventBody, Hashable {
    static let eventType = "test.thing.changed.v1"
    var thing: String
    var value: Int
    var subject: String { thing }
}

/// Hands events to a closure.
struct ProbeHandler: EventHandler {
    static let consumerName = "probe"
    static let eventTypes = [ThingChanged.eventType]
    var isBack: @Sendable () async -> Bool = { true }
    var isConcerned: @Sendable (Envelope) throws -> Bool = { _ in true }
    let body: @Sendable (Envelope, PostgresConnection) async throws -> HandlerOutcome

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome { try await body(envelope, connection) }
    func concerns(_ envelope: Envelope) throws -> Bool { try isConcerned(envelope) }
    func dependencyIsBack() async -> Bool { await isBack() }
}

/// What a messaging test stands on: a database with outbox and inbox, a virtual host, a publisher and a relay.
struct MessagingFixture: Sendable {
    let database: TestDatabase
    let broker: TestBroker
    let pool: PostgresPool
    let publisher: BrokerPublisher
    let outbox: Outbox
    let loop: EventLoop

    static let service = "test"
    static let queue = "test.probe"
    static let quickLadder = RetryLadder(rungs: [
        .init(name: "20ms", delay: .milliseconds(20)), .init(name: "40ms", delay: .milliseconds(40)), .init(name: "60ms", delay: .milliseconds(60)),
    ])

    static func migrations() throws -> [Migration] {
        let messaging = MessagingSchema.migration(version: 1, schema: service)
        return [
            try Migration(named: messaging.name, sql: String(decoding: messaging.bytes, as: UTF8.self)),
            try Migration(
                named: "v002_effects",
                sql: """
                    CREATE TABLE effects (event_id uuid NOT NULL, thing text NOT NULL, value int8 NOT NULL);
                    GRANT SELECT, INSERT ON effects TO test_app;
                    CREATE TABLE things (thing text PRIMARY KEY, version int8 NOT NULL, value int8 NOT NULL);
                    GRANT SELECT, INSERT, UPDATE ON things TO test_app;
                    """
            ),
        ]
    }

    func consumer(
        ladder: RetryLadder = quickLadder,
        prefetch: UInt16 = 32,
        probeDelay: Duration = .milliseconds(20),
        isBack: @escaping @Sendable () async -> Bool = { true },
        isConcerned: @escaping @Sendable (Envelope) throws -> Bool = { _ in true },
        _ body: @escaping @Sendable (Envelope, PostgresConnection) async throws -> HandlerOutcome
    ) throws -> EventConsumer {
        try EventConsumer(
            service: Self.service,
            handler: ProbeHandler(isBack: isBack, isConcerned: isConcerned, body: body),
            pool: pool,
            brokerURL: broker.url,
            loop: loop,
            options: ConsumerOptions(prefetch: prefetch, ladder: ladder, probeDelay: probeDelay)
        )
    }

    /// A consumer whose effect is a row, so that a doubled effect shows.
    func recordingConsumer() throws -> EventConsumer {
        try consumer { envelope, connection in
            let thing = try envelope.body(as: ThingChanged.self)
            try await connection.execute("INSERT INTO effects (event_id, thing, value) VALUES (\(envelope.id), \(thing.thing), \(thing.value))")
            return .done
        }
    }

    func relay(sweepInterval: Duration = .milliseconds(200)) -> OutboxRelay {
        OutboxRelay(pool: pool, publisher: publisher, schema: Self.service, loop: loop, sweepInterval: sweepInterval)
    }

    @discardableResult
    func say(_ thing: String, _ value: Int, version: Int64 = 1) async throws -> EventID {
        try await outbox.transaction(on: pool) {
            try await outbox.append(ThingChanged(thing: thing, value: value), subjectVersion: version, on: $0)
        }
    }

    /// Ends all connections once the broker's management knows that there are so many: it learns of new ones with a delay.
    func killConnections(atLeast count: Int) async throws {
        try await eventually("\(count) connections") {
            try WireJSON.parse(try await broker.manage("GET", "vhosts/\(broker.virtualHost)/connections")).array?.count ?? 0 >= count
        }
        try await broker.dropConnections()
    }

    func count(_ sql: SQL) async throws -> Int { try await pool.query(sql)[0].column(0, as: Int.self) }
}

/// Starts components in order and stops them in reverse, whatever happens in between.
func running(_ components: [any Component], _ body: () async throws -> Void) async throws {
    for component in components { try await component.start() }
    do {
        try await body()
    } catch {
        for component in components.reversed() { await component.stop() }
        throw error
    }
    for component in components.reversed() { await component.stop() }
}

func withMessaging(_ body: @escaping @Sendable (MessagingFixture) async throws -> Void) async throws {
    try await withLoop { loop in
        try await withVirtualHost { broker in
            try await withDatabase(service: MessagingFixture.service, migrations: try MessagingFixture.migrations()) { database in
                try await database.withPool(maximumConnections: 6, loop: loop) { pool in
                    let publisher = try BrokerPublisher(brokerURL: broker.url, service: MessagingFixture.service)
                    try await running([publisher]) {
                        try await body(
                            MessagingFixture(
                                database: database,
                                broker: broker,
                                pool: pool,
                                publisher: publisher,
                                outbox: Outbox(schema: MessagingFixture.service),
                                loop: loop
                            )
                        )
                    }
                }
            }
        }
    }
}

/// A counter that handlers of several tasks share.
final class Tally: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    @discardableResult
    func add(_ name: String) -> Int {
        counts.withLock { counts in
            counts[name, default: 0] += 1
            return counts[name] ?? 0
        }
    }

    subscript(name: String) -> Int { counts.withLock { $0[name] ?? 0 } }
}
