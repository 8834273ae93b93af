import Contracts
import Messaging
import Postgres

/// Hears what became of a due time, so that subscribers can tell "no news" from "did not run".
struct OccurrenceSettledHandler: EventHandler {
    static let consumerName = "cadence"
    static let eventTypes = [OccurrenceSettled.eventType]

    let store: PostgresSignalsStore

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let event = try envelope.body(as: OccurrenceSettled.self)
        let record = CadenceRecord(
            lastDueAt: event.dueAt,
            lastOutcome: event.outcome,
            lastReason: event.reason,
            nextDueAt: event.nextDueAt,
            version: envelope.subjectVersion
        )
        _ = try await store.on(connection).apply(record, to: event.signalID)
        return .done
    }
}
