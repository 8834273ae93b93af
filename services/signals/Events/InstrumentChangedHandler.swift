import Contracts
import Messaging
import Postgres

/// Hears of instruments, so that publishing works while marketdata is away.
struct InstrumentChangedHandler: EventHandler {
    static let consumerName = "instruments"
    static let eventTypes = [InstrumentChanged.eventType]

    let store: PostgresSignalsStore

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let event = try envelope.body(as: InstrumentChanged.self)
        try await store.on(connection).apply(
            KnownInstrument(
                id: event.instrumentID,
                symbol: event.symbol,
                assetClass: event.assetClass,
                feed: event.feed,
                active: event.active,
                version: envelope.subjectVersion
            )
        )
        return .done
    }
}
