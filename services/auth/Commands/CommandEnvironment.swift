import Messaging
import Postgres
import ServiceRuntime

/// What a subcommand needs of the service: its store and what works on it, without servers and relays.
///
/// Events that a subcommand says wait in the outbox for the relay of a running service.
struct CommandEnvironment: Sendable {
    let registrations: Registrations
    let profiles: Profiles
    let tokenKeys: TokenKeyRing

    static func with<Outcome: Sendable>(
        _ settings: AuthSettings,
        _ body: @Sendable (CommandEnvironment) async throws -> Outcome
    ) async throws -> Outcome {
        let loops = try LoopGroup.start(count: 1)
        let configuration = PostgresConfiguration(
            url: settings.database.url,
            maximumConnections: 2,
            waitTimeout: .seconds(10),
            schema: PostgresAuthStore.schema,
            applicationName: "auspex-auth-command"
        )
        let pool = PostgresPool(configuration: configuration, loops: loops.serving)
        try await pool.start()
        let cpu = try CPUPool(threads: 1)
        let outcome: Result<Outcome, any Error>
        do {
            let store = PostgresAuthStore(pool: pool, outbox: Outbox(schema: PostgresAuthStore.schema))
            let time = SystemTimeSource()
            let passwords = try await PasswordHasher(pool: cpu, cost: settings.bcryptCost)
            let throttling = Throttling(store: store, time: time)
            let environment = CommandEnvironment(
                registrations: Registrations(
                    store: store,
                    passwords: passwords,
                    throttling: throttling,
                    time: time,
                    isOpen: true,
                    policy: settings.registrationPolicy
                ),
                profiles: Profiles(store: store, passwords: passwords, throttling: throttling, time: time),
                tokenKeys: TokenKeyRing(store: store, box: try settings.masterKeyBox(), rotation: settings.rotation, time: time)
            )
            outcome = .success(try await body(environment))
        } catch {
            outcome = .failure(error)
        }
        await pool.stop()
        cpu.stop()
        await loops.stop()
        return try outcome.get()
    }
}
