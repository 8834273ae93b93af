/// What one kind of event says: a type that owns its permanent name.
public protocol EventBody: Codable, Sendable {
    /// `<service>.<subject>.<what happened>.v<number>`, which is also the routing key; a change of meaning is a new number.
    static var eventType: String { get }
    /// Whether an event that no queue takes is kept until one does. Only news that nobody has to act on says no.
    static var mustBeHeard: Bool { get }
    /// The id of what the event is about, as text; versions count per subject.
    var subject: String { get }
}

extension EventBody {
    /// Events are kept until somebody hears them.
    public static var mustBeHeard: Bool { true }

    /// The service that says it: the part of the name before the first dot.
    public static var producer: String {
        String(eventType.prefix(while: { $0 != "." }))
    }
}
