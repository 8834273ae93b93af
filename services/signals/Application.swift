import BlobStore
import Contracts
import Cryptography
import HTTPServing
import JobWorker
import KeyLimits
import Messaging
import Postgres
import PostgresIdempotency
import ServiceRuntime

/// The whole object graph of the service, in start order.
enum Application {
    /// Brings the schema up to date as its owner; gives the names of what it applied.
    static func migrate(_ settings: SignalsSettings) async throws -> [String] {
        guard let url = settings.database.migrationURL else {
            throw CommandError(message: "AUSPEX_MIGRATION_DATABASE_URL is not set: migrations run as the role signals_owner")
        }
        return try await Migrator(databaseURL: url, schema: Migrations.schema, catalogue: try Migrations.catalogue()).run().map(\.name)
    }

    static func build(_ settings: SignalsSettings, _ environment: ServiceEnvironment) async throws -> [any Component] {
        let (loops, time, readiness) = (environment.loops, environment.time, environment.readiness)
        let common = settings.common
        let signingKey = try SigningKey(pem: String(decoding: SecretFile.read(common.serviceKeyFile), as: UTF8.self))

        // The store, and what it says to the other services.
        let configuration = PostgresConfiguration(
            url: settings.database.url,
            maximumConnections: settings.database.maximumConnections,
            schema: Migrations.schema,
            applicationName: "auspex-signals"
        )
        let pool = PostgresPool(configuration: configuration, loops: loops.all, readiness: readiness)
        let outbox = Outbox(schema: Migrations.schema, timeSource: time)
        let publisher = try BrokerPublisher(brokerURL: settings.brokerURL, service: "signals", readiness: readiness)
        let relay = OutboxRelay(pool: pool, publisher: publisher, schema: Migrations.schema, loop: loops.control)
        let store = PostgresSignalsStore(pool: pool, outbox: outbox, cpu: environment.cpu)
        let blobs = try FolderBlobStore(root: settings.blobRoot, service: "signals", pool: environment.cpu)

        // The other services.
        let http = HTTPClient()
        let tokens = ServiceTokenSource(service: "signals", key: signingKey)
        func client(_ urls: [String], _ name: String) -> ServiceClient {
            ServiceClient(baseURLs: urls, audience: name, tokens: tokens, http: http, time: time)
        }
        let auth = client(settings.authURLs, "auth")
        let scheduler = client(settings.schedulerURLs, "scheduler")
        let market = MarketDataClient(marketdata: client(settings.marketdataURLs, "marketdata"))
        let jobs = SchedulerJobs(scheduler: scheduler)

        let pythons = PythonDirectory(scheduler: scheduler, time: time)

        // Who asks.
        let tokenKeys = TokenKeyCache(auth: auth, control: loops.control, readiness: readiness, time: time)
        let denied = DenySet()
        let accessTokens = AccessTokenVerifier(keys: tokenKeys, denied: denied, time: time)
        let apiKeys = CachingAPIKeyVerifier(source: ServiceAPIKeyVerifier(auth: auth), control: loops.control, time: time)
        let limiter = try KeyLimiter.make(settings.keyLimits, auth: auth, loops: loops, time: time)

        // What is kept in memory, and what keeps it right.
        let hub = ChangeHub(time: time)
        let reader = PredictionReader(store: store, time: time, cpu: environment.cpu)
        let entitlements = EntitlementCache(store: store, time: time)
        let watch = RevisionWatch(store: store, reader: reader, hub: hub, time: time, loop: loops.control)
        let credentials = CredentialNews(keys: apiKeys, denied: denied, auth: auth, loop: loops.control, readiness: readiness, time: time)
        let news = try NewsListener.make(
            brokerURL: settings.brokerURL,
            audience: .init(credentials: credentials, entitlements: entitlements, predictions: watch, hub: hub),
            loop: loops.control,
            readiness: readiness,
            time: time
        )

        // What is heard and done in the background.
        let versions = VersionCache(store: store)
        let knowledge = KnowledgeLookup(market: market, time: time)
        let runs = RunCompletedHandler(store: store, versions: versions, jobs: jobs, knowledge: knowledge, time: time)
        let consumers = try [
            consumer(runs, pool, settings, environment),
            consumer(OccurrenceSettledHandler(store: store), pool, settings, environment),
            consumer(AccountCreatedHandler(store: store), pool, settings, environment),
            consumer(InstrumentChangedHandler(store: store), pool, settings, environment),
            consumer(IncidentHandler(), pool, settings, environment),
            consumer(CadenceSettledHandler(), pool, settings, environment),
        ]
        let incidents = IncidentStore(pool: pool)
        let door = StreamDoor(keys: apiKeys, denied: denied, time: time)
        let incidentStreams = IncidentStreams(incidents: incidents, door: door, time: time, loop: loops.control)
        let idempotency = PostgresIdempotencyStore(pool: pool, time: time) { outbox.poke() }
        let sealer = Sealer(store: store, signer: LedgerSigner(key: signingKey), time: time, loop: loops.control)
        let settler = Settler(store: store, versions: versions, market: market, time: time)
        let wakeups = try Wakeups(brokerURL: settings.brokerURL, service: "signals", loop: loops.control, readiness: readiness)
        let background: [any Component] = [
            sealer, SettlementPlanner(store: store, jobs: jobs, time: time, loop: loops.control),
            wakeups,
            settlementWorker(settler, settings, environment, scheduler: scheduler, wakeups: wakeups),
            Housekeeping(store: store, blobs: blobs, idempotency: idempotency, time: time, loop: loops.control) { try await incidents.cleanUp() },
            incidentStreams,
        ]

        // The doors.
        let routes = SignalsRoutes(
            store: store,
            effects: PostgresEffects(store: store, idempotency: idempotency),
            blobs: blobs,
            drafts: VersionDrafts(store: store, blobs: blobs, time: time) { await pythons.present(for: $0) },
            reader: reader,
            entitlements: entitlements,
            hub: hub,
            market: InstrumentDirectory(store: store, market: market),
            jobs: jobs,
            dryRuns: settings.dryRuns,
            exports: LedgerExports(store: store),
            signingKey: signingKey,
            cpu: environment.cpu,
            time: time,
            incidentDoors: IncidentDoors(store: incidents, streams: incidentStreams),
            cadenceDays: CadenceDayStore(pool: pool),
            versionQuotas: VersionQuotas(usage: VersionUsage(pool: pool), limits: settings.versions)
        )
        let limits = HTTPLimits(accessLog: common.accessLog)
        let publicServer = HTTPServer(
            name: "public",
            address: common.listenAddress,
            port: common.port,
            router: routes.publicRouter(
                known: UserAuthentication(tokens: accessTokens, apiKeys: apiKeys, limiter: limiter),
                anybody: UserAuthentication(tokens: accessTokens, apiKeys: apiKeys, limiter: limiter, isRequired: false)
            ),
            loops: loops.serving,
            limits: limits
        )
        let internalServer = HTTPServer(
            name: "internal",
            address: common.listenAddress,
            port: common.internalPort,
            router: try internalRouter(routes, LockRoutes(locks: EnvironmentLocks(pool: pool), time: time), common: common, readiness: readiness),
            loops: loops.serving,
            limits: limits
        )

        return [pool, publisher, relay, tokenKeys, limiter, credentials, news, watch] + consumers + background + [
            internalServer, publicServer, WaitingReaders(hub: hub),
        ]
    }

    private static func settlementWorker(
        _ settler: Settler,
        _ settings: SignalsSettings,
        _ environment: ServiceEnvironment,
        scheduler: ServiceClient,
        wakeups: Wakeups
    ) -> any Component {
        JobWorker(
            worker: "signals-\(EventID.make())",
            scheduler: scheduler,
            classes: [.signals: settings.settlementSlots],
            handlers: [SettlementHandler(settler: settler)],
            wakeups: wakeups,
            timeSource: environment.time,
            control: environment.loops.control,
            loops: environment.loops.serving,
            readiness: environment.readiness.register("jobs")
        )
    }

    private static func consumer<Handler: EventHandler>(
        _ handler: Handler,
        _ pool: PostgresPool,
        _ settings: SignalsSettings,
        _ environment: ServiceEnvironment
    ) throws -> any Component {
        try EventConsumer(
            service: "signals",
            handler: handler,
            pool: pool,
            brokerURL: settings.brokerURL,
            loop: environment.loops.control,
            timeSource: environment.time,
            readiness: environment.readiness
        )
    }

    private static func internalRouter(_ routes: SignalsRoutes, _ locks: LockRoutes, common: CommonSettings, readiness: Readiness) throws -> Router {
        let verifier = try ServiceTokenVerifier(path: common.servicesJWKSFile)
        let services: ([String]) -> any Middleware = { ServiceAuthentication(verifier: verifier, audience: "signals", allowedCallers: $0) }
        let jobTokens = try JobTokenVerifier(path: common.servicesJWKSFile)
        var router = Router(problemOf: SignalsRoutes.problem)
        routes.addInternalRoutes(
            to: &router,
            authenticating: services,
            jobTokens: jobTokens
        )
        locks.add(to: &router, authenticating: services, jobTokens: jobTokens)
        OperationalRoutes(readiness: readiness).add(to: &router)
        return router
    }
}
