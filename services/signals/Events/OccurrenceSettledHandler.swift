import Contracts
import Messaging
import Postgres

/// Hears what became of a due time, and that a schedule was paused or goes on, so that subscribers can tell "no news" from "did not run", and the provider
/// sees what went wrong.
struct OccurrenceSettledHandler: EventHandler {
    static let consumerName = "cadence"
    static let eventTypes = [OccurrenceSettled.eventType, ScheduleChanged.eventType]

    let store: PostgresSignalsStore

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        if envelope.type == ScheduleChanged.eventType {
            // In a pause nothing is due next, and that is known before the next due time is skipped.
            let event = try envelope.body(as: ScheduleChanged.self)
            let record = CadenceRecord(
                lastDueAt: nil,
                lastOutcome: nil,
                lastReason: nil,
                nextDueAt: event.nextDueAt,
                version: envelope.subjectVersion
            )
            _ = try await store.on(connection).apply(record, to: event.signalID)
            return .done
        }
        let event = try envelope.body(as: OccurrenceSettled.self)
        let record = CadenceRecord(
            lastDueAt: event.rangeTo ?? event.dueAt,
            lastOutcome: event.outcome,
            lastReason: event.reason,
            nextDueAt: event.nextDueAt,
            version: envelope.subjectVersion
        )
        _ = try await store.on(connection).apply(record, to: event.signalID)
        if let trouble = Trouble(event) { try await IncidentStore.note(trouble, on: connection) }
        return .done
    }
}
