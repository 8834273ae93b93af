public import Contracts
public import Postgres
public import ServiceRuntime

/// Says events in the transaction of what they are about: both happen or neither.
public struct Outbox: Sendable {
    private let schema: String
    private let timeSource: any TimeSource
    private let signal: OutboxSignal

    /// The outbox of a schema whose migrations include `MessagingSchema`.
    public init(schema: String, timeSource: any TimeSource = SystemTimeSource()) {
        self.schema = schema
        self.timeSource = timeSource
        signal = OutboxSignal.of(schema: schema)
    }

    /// Adds an event to the transaction that `connection` is in; raise `subjectVersion` under the subject's row lock.
    ///
    /// Correlation, cause and trace come from the request or event that the task is serving unless they are given. Throws
    /// `EnvelopeError.tooLarge` above 64 KiB. After the commit call ``poke()``, or use ``transaction(on:_:)``, which does.
    @discardableResult
    public func append<Body: EventBody>(
        _ event: Body,
        subjectVersion: Int64,
        on connection: PostgresConnection,
        occurredAt: Timestamp? = nil,
        correlationID: String? = nil,
        causationID: String? = nil
    ) async throws -> EventID {
        let envelope = try envelope(
            of: event,
            subjectVersion: subjectVersion,
            occurredAt: occurredAt,
            correlationID: correlationID,
            causationID: causationID
        )
        try await append(envelope, on: connection)
        return envelope.id
    }

    /// Adds any number of events of one kind in one statement, each with the version of its subject.
    public func append<Body: EventBody>(_ events: [(event: Body, subjectVersion: Int64)], on connection: PostgresConnection) async throws {
        if events.isEmpty { return }
        try await connection.execute(try insertion(of: events.map { ($0.event, $0.subjectVersion) }))
    }

    /// The statement that adds events of any kinds, in their order, for who sends it along with others: it belongs into the transaction of what they
    /// are about, as with ``append(_:on:)``.
    public func insertion(of events: [(event: any EventBody, subjectVersion: Int64)]) throws -> SQL {
        var envelopes: [Envelope] = []
        for (event, subjectVersion) in events { envelopes.append(try envelope(of: event, subjectVersion: subjectVersion)) }
        let bytes = try envelopes.map { try $0.encoded() }
        for _ in envelopes { signal.noteAppend() }
        return """
            INSERT INTO \(identifier: schema).outbox (id, shard, type, traceparent, envelope)
            SELECT * FROM unnest(\(envelopes.map(\.id)), \(envelopes.map { Self.shard(of: $0.subject) }), \(envelopes.map(\.type)),
                \(envelopes.map(\.traceparent)), \(bytes))
            """
    }

    private func envelope<Body: EventBody>(
        of event: Body,
        subjectVersion: Int64,
        occurredAt: Timestamp? = nil,
        correlationID: String? = nil,
        causationID: String? = nil
    ) throws -> Envelope {
        let now = timeSource.now()
        let handled = EventContext.current
        let request = RequestContext.current
        return try Envelope(
            event,
            subjectVersion: subjectVersion,
            occurredAt: occurredAt ?? now,
            recordedAt: now,
            correlationID: correlationID ?? handled?.correlationID ?? request?.requestID,
            causationID: causationID ?? handled?.eventID.description ?? request?.requestID,
            traceparent: request?.trace.traceparent
        )
    }

    /// Adds an envelope as it is.
    public func append(_ envelope: Envelope, on connection: PostgresConnection) async throws {
        let bytes = try envelope.encoded()
        try await connection.execute(
            """
            INSERT INTO \(identifier: schema).outbox (id, shard, type, traceparent, envelope)
            VALUES (\(envelope.id), \(Self.shard(of: envelope.subject)), \(envelope.type), \(envelope.traceparent), \(bytes))
            """
        )
        signal.noteAppend()
    }

    /// Tells the relay that a transaction with events has been committed; costs nothing, and forgetting it costs 200 ms.
    public func poke() {
        signal.poke()
    }

    /// Runs `body` in a transaction of the pool and wakes the relay after the commit, if there may be something to send.
    public func transaction<Outcome>(
        on pool: PostgresPool,
        caller: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> Outcome
    ) async throws -> Outcome {
        let appendedBefore = signal.appended
        let outcome = try await pool.withTransaction { try await body($0) }
        if signal.appended != appendedBefore { signal.poke() }
        return outcome
    }

    /// How many parts an outbox can be split into.
    static let shardCount = 16

    /// FNV-1a of the subject: all replicas must agree on it for as long as there are rows.
    static func shard(of subject: String) -> Int16 {
        var hash: UInt32 = 0x811c_9dc5
        for byte in subject.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return Int16((hash >> 16 ^ hash) % UInt32(shardCount))
    }
}
