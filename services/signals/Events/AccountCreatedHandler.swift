import Contracts
import Messaging
import Postgres

/// Hears of new accounts.
struct AccountCreatedHandler: EventHandler {
    static let consumerName = "accounts"
    static let eventTypes = [AccountCreated.eventType]

    let store: PostgresSignalsStore

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let event = try envelope.body(as: AccountCreated.self)
        try await store.on(connection).apply(
            KnownAccount(id: event.accountID, userID: event.userID, roles: event.roles, version: envelope.subjectVersion)
        )
        return .done
    }
}
