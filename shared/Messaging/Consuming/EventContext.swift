public import Contracts

/// The event that a task is handling, from which events that it says in turn take their correlation and their cause.
public struct EventContext: Sendable {
    /// The event's id.
    public let eventID: EventID
    /// What ties together all that one request or run set off.
    public let correlationID: String

    /// The context of the current task, if it handles an event.
    @TaskLocal public static var current: EventContext?

    /// Begins the correlation with the event itself if nobody did before.
    public init(_ envelope: Envelope) {
        eventID = envelope.id
        correlationID = envelope.correlationID ?? envelope.id.description
    }
}
