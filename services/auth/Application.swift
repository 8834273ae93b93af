import Cryptography
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime

/// The whole object graph of the service, in start order.
enum Application {
    /// Brings the schema up to date as its owner; gives the names of what it applied.
    static func migrate(_ settings: AuthSettings) async throws -> [String] {
        guard let url = settings.database.migrationURL else {
            throw CommandError.refused("AUSPEX_MIGRATION_DATABASE_URL is not set: migrations run as the role auth_owner")
        }
        return try await Migrator(databaseURL: url, schema: PostgresAuthStore.schema, catalogue: try Migrations.catalogue()).run().map(\.name)
    }

    static func build(_ settings: AuthSettings, _ environment: ServiceEnvironment) async throws -> [any Component] {
        let (loops, time, readiness) = (environment.loops, environment.time, environment.readiness)
        let common = settings.common

        // The store, and what it says to the other services.
        let configuration = PostgresConfiguration(
            url: settings.database.url,
            maximumConnections: settings.database.maximumConnections,
            schema: PostgresAuthStore.schema,
            applicationName: "auspex-auth"
        )
        let pool = PostgresPool(configuration: configuration, loops: loops.all, readiness: readiness)
        let outbox = Outbox(schema: PostgresAuthStore.schema)
        let publisher = try BrokerPublisher(brokerURL: settings.brokerURL, service: "auth", readiness: readiness)
        let relay = OutboxRelay(pool: pool, publisher: publisher, schema: PostgresAuthStore.schema, loop: loops.control)
        let store = PostgresAuthStore(pool: pool, outbox: outbox)

        // What works on the store.
        let tokenKeys = TokenKeyRing(
            store: store,
            box: try settings.masterKeyBox(),
            rotation: settings.rotation,
            time: time,
            control: loops.control,
            readiness: readiness
        )
        let usage = KeyUsage(store: store, time: time, control: loops.control)
        let routes = AuthRoutes(
            store: store,
            passwords: try await PasswordHasher(pool: environment.cpu, cost: settings.bcryptCost),
            tokenKeys: tokenKeys,
            usage: usage,
            time: time,
            registrationOpen: settings.registrationOpen,
            registrationPolicy: settings.registrationPolicy,
            defaultRequestsPerMinute: settings.defaultRequestsPerMinute
        )

        // The doors.
        let verifier = try ServiceTokenVerifier(path: common.servicesJWKSFile)
        var internalRouter = Router(problemOf: AuthRoutes.problem)
        routes.addInternalRoutes(to: &internalRouter) { callers in
            ServiceAuthentication(verifier: verifier, audience: "auth", allowedCallers: callers)
        }
        OperationalRoutes(readiness: readiness).add(to: &internalRouter)
        let publicServer = HTTPServer(
            name: "public",
            address: common.listenAddress,
            port: common.port,
            router: routes.publicRouter(),
            loops: loops.serving,
            limits: HTTPLimits(accessLog: common.accessLog)
        )
        let internalServer = HTTPServer(
            name: "internal",
            address: common.listenAddress,
            port: common.internalPort,
            router: internalRouter,
            loops: loops.serving,
            limits: HTTPLimits(accessLog: common.accessLog)
        )

        return [
            pool, publisher, relay, tokenKeys, usage, Housekeeping(store: store, time: time, control: loops.control), internalServer, publicServer,
        ]
    }
}
