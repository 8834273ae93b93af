import Contracts
import Messaging
import Postgres
import ServiceRuntime

/// What commands need of the service: the store, without any server.
struct CommandEnvironment: Sendable {
    let pool: PostgresPool
    let store: PostgresSignalsStore
    let settings: SignalsSettings

    static func with<Outcome: Sendable>(_ settings: SignalsSettings, _ body: @escaping @Sendable (CommandEnvironment) async throws -> Outcome)
        async throws
        -> Outcome
    {
        let loop = try EventLoop.start(name: "command")
        let configuration = PostgresConfiguration(
            url: settings.database.url,
            maximumConnections: 2,
            statementTimeout: .seconds(60),
            schema: Migrations.schema,
            applicationName: "auspex-signals-command"
        )
        let pool = PostgresPool(configuration: configuration, loops: [loop])
        try await pool.start()
        let environment = CommandEnvironment(
            pool: pool,
            store: PostgresSignalsStore(pool: pool, outbox: Outbox(schema: Migrations.schema)),
            settings: settings
        )
        let outcome: Result<Outcome, any Error>
        do {
            outcome = .success(try await loop.run { try await body(environment) })
        } catch {
            outcome = .failure(error)
        }
        await pool.stop()
        await loop.stop()
        return try outcome.get()
    }
}
