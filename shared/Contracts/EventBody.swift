/// What one kind of event says: a type that owns its permanent name.
public protocol EventBody: Codable, Sendable {
    /// `<service>.<subject>.<what happened>.v<number>`, which is also the routing key; a change of meaning is a new number.
    static var eventType: String { get }
    /// The id of what the event is about, as text; versions count per subject.
    var subject: String { get }
}

extension EventBody {
    /// The service that says it: the part of the name before the first dot.
    public static var producer: String {
        String(eventType.prefix(while: { $0 != "." }))
    }
}
