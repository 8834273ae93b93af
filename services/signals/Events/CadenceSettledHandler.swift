import Contracts
import Messaging
import Postgres

/// Hears how a schedule did on a day that is over, so that subscribers can see when a signal did not run.
struct CadenceSettledHandler: EventHandler {
    static let consumerName = "cadence-days"
    static let eventTypes = [CadenceSettled.eventType]

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        try await CadenceDayStore.apply(try envelope.body(as: CadenceSettled.self), version: envelope.subjectVersion, on: connection)
        return .done
    }
}
