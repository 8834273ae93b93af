import Messaging
import Postgres
import ServiceRuntime

/// Lends the store to a command that runs without the service.
enum CommandStore {
    static func run<Value: Sendable>(
        _ settings: MarketdataSettings,
        name: String,
        _ body: @escaping @Sendable (PostgresMarketdataStore, CPUPool) async throws -> Value
    ) async throws -> Value {
        let loop = try EventLoop.start(name: name)
        let cpu = try CPUPool()
        let configuration = PostgresConfiguration(
            url: settings.database.url,
            maximumConnections: 2,
            waitTimeout: .seconds(10),
            statementTimeout: .seconds(60),
            schema: PostgresMarketdataStore.schema,
            applicationName: "auspex-marketdata-\(name)"
        )
        let pool = PostgresPool(configuration: configuration, loops: [loop])
        try await pool.start()
        let store = PostgresMarketdataStore(pool: pool, outbox: Outbox(schema: PostgresMarketdataStore.schema), cpu: cpu)
        let outcome: Result<Value, any Error>
        do { outcome = .success(try await loop.run { try await body(store, cpu) }) } catch { outcome = .failure(error) }
        await pool.stop()
        cpu.stop()
        await loop.stop()
        return try outcome.get()
    }
}
