import Contracts
import Messaging
import Postgres

/// Handles what is left in a queue that gets nothing new: runs that failed, were refused or recorded late, or did not happen.
///
/// Up to the version before every run of a signal came here as well, though few concern a provider. Now whoever hears the event anyway notes the incident
/// in the same transaction (``RunCompletedHandler``, ``OccurrenceSettledHandler``), and the store does where it says that a run was recorded or refused.
///
/// In an upgrade a replica of the version before may take an event from those consumers and leave the incident to this queue: it keeps its bindings for as
/// long as one is there, and when one that was started again binds it anew. What comes both ways is one incident, as ``IncidentStore/note(_:on:)`` takes
/// the same word twice for one.
struct IncidentHandler: EventHandler {
    static let consumerName = "incidents"
    static let eventTypes = [JobCompleted.eventType, OccurrenceSettled.eventType, RunRecorded.eventType, RunRejected.eventType]
    static let isRetired = true

    /// Most runs end well: those cost no transaction.
    func concerns(_ envelope: Envelope) throws -> Bool {
        switch envelope.type {
        case JobCompleted.eventType: Trouble(try envelope.body(as: JobCompleted.self)) != nil
        case OccurrenceSettled.eventType: Trouble(try envelope.body(as: OccurrenceSettled.self)) != nil
        case RunRecorded.eventType: try envelope.body(as: RunRecorded.self).late
        default: true
        }
    }

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let trouble: Trouble?
        switch envelope.type {
        case JobCompleted.eventType: trouble = Trouble(try envelope.body(as: JobCompleted.self))
        case OccurrenceSettled.eventType: trouble = Trouble(try envelope.body(as: OccurrenceSettled.self))
        case RunRecorded.eventType:
            let event = try envelope.body(as: RunRecorded.self)
            trouble = Trouble(event, dueAt: try await IncidentStore.dueTime(of: event.jobID, on: connection) ?? envelope.occurredAt)
        default:
            let event = try envelope.body(as: RunRejected.self)
            trouble = Trouble(event, dueAt: try await IncidentStore.dueTime(of: event.jobID, on: connection) ?? envelope.occurredAt)
        }
        if let trouble { try await IncidentStore.note(trouble, on: connection) }
        return .done
    }
}
