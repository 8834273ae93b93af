/// An event as it travels: who said what about which subject, when, and because of what.
public struct Envelope: Sendable, Hashable, Codable {
    /// Names this event; a redelivery has the same one.
    public let id: EventID
    /// The event type and routing key.
    public let type: String
    /// The id of what the event is about.
    public let subject: String
    /// Counts the changes of the subject from 1; a read model applies only a higher one. Delivery is unordered.
    public let subjectVersion: Int64
    /// When the thing happened.
    public let occurredAt: Timestamp
    /// When the producer wrote the event down.
    public let recordedAt: Timestamp
    /// The service that said it.
    public let producer: String
    /// Ties together all events that one request or run set off.
    public let correlationID: String?
    /// The id of the event or request that was the immediate cause.
    public let causationID: String?
    /// W3C trace context of the work that said it.
    public let traceparent: String?
    /// The event body, unread.
    public let data: JSONValue

    /// The largest an event may be on the wire; larger data goes to the blob store and travels by hash.
    public static let maximumBytes = 65_536

    /// Takes all fields as they are, as when an envelope is read from a store.
    public init(
        id: EventID,
        type: String,
        subject: String,
        subjectVersion: Int64,
        occurredAt: Timestamp,
        recordedAt: Timestamp,
        producer: String,
        correlationID: String? = nil,
        causationID: String? = nil,
        traceparent: String? = nil,
        data: JSONValue
    ) {
        self.id = id
        self.type = type
        self.subject = subject
        self.subjectVersion = subjectVersion
        self.occurredAt = occurredAt
        self.recordedAt = recordedAt
        self.producer = producer
        self.correlationID = correlationID
        self.causationID = causationID
        self.traceparent = traceparent
        self.data = data
    }

    /// Wraps an event body; type, subject and producer come from it.
    public init<Body: EventBody>(
        _ body: Body,
        subjectVersion: Int64,
        id: EventID = .make(),
        occurredAt: Timestamp,
        recordedAt: Timestamp,
        correlationID: String? = nil,
        causationID: String? = nil,
        traceparent: String? = nil
    ) throws {
        self.init(
            id: id,
            type: Body.eventType,
            subject: body.subject,
            subjectVersion: subjectVersion,
            occurredAt: occurredAt,
            recordedAt: recordedAt,
            producer: Body.producer,
            correlationID: correlationID,
            causationID: causationID,
            traceparent: traceparent,
            data: try WireJSON.value(of: body)
        )
    }

    /// Reads the body as a type; throws `DecodingError` when it does not fit.
    public func body<Body: EventBody>(as type: Body.Type = Body.self) throws -> Body {
        try WireJSON.decode(type, from: data)
    }

    /// The bytes on the wire; throws `EnvelopeError.tooLarge` above `maximumBytes`.
    public func encoded() throws -> [UInt8] {
        let bytes = try WireJSON.encode(self)
        guard bytes.count <= Envelope.maximumBytes else { throw EnvelopeError.tooLarge(type: type, bytes: bytes.count) }
        return bytes
    }

    /// Reads bytes from the wire; throws `EnvelopeError.tooLarge`, `JSONSyntaxError` or `DecodingError`.
    public init(decoding bytes: [UInt8]) throws {
        guard bytes.count <= Envelope.maximumBytes else { throw EnvelopeError.tooLarge(type: "", bytes: bytes.count) }
        self = try WireJSON.decode(Envelope.self, from: bytes)
    }
}

/// Why an envelope cannot travel.
public enum EnvelopeError: Error, Sendable, Hashable, CustomStringConvertible {
    /// More bytes than `Envelope.maximumBytes`.
    case tooLarge(type: String, bytes: Int)

    /// Type and size.
    public var description: String {
        switch self {
        case .tooLarge(let type, let bytes): "event \(type) has \(bytes) bytes, at most \(Envelope.maximumBytes) may travel"
        }
    }
}
