import Contracts
import Messaging
import Postgres

/// Hears of runs that failed, were refused, began or were recorded late, or did not happen, and keeps them for the signal's provider.
struct IncidentHandler: EventHandler {
    static let consumerName = "incidents"
    static let eventTypes = [JobCompleted.eventType, OccurrenceSettled.eventType, RunRecorded.eventType, RunRejected.eventType]

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
