import BlobStore
import Contracts
import Cryptography
import HTTPServing
import KeyLimits
import Messaging
import Postgres
import ServiceRuntime

/// The whole object graph of the service, in start order.
enum Application {
    /// Brings the schema up to date as its owner; gives the names of what it applied.
    static func migrate(_ settings: SchedulerSettings) async throws -> [String] {
        guard let url = settings.database.migrationURL else {
            throw CommandError(message: "AUSPEX_MIGRATION_DATABASE_URL is not set: migrations run as the role scheduler_owner")
        }
        return try await Migrator(databaseURL: url, schema: Migrations.schema, catalogue: try Migrations.catalogue()).run().map(\.name)
    }

    static func build(_ settings: SchedulerSettings, _ environment: ServiceEnvironment) async throws -> [any Component] {
        let (loops, time, readiness) = (environment.loops, environment.time, environment.readiness)
        let common = settings.common
        let signingKey = try SigningKey(pem: String(decoding: SecretFile.read(common.serviceKeyFile), as: UTF8.self))

        // The store, and what it says to the other services.
        let configuration = PostgresSchedulerStore.configuration(
            url: settings.database.url,
            maximumConnections: settings.database.maximumConnections
        )
        let pool = PostgresPool(configuration: configuration, loops: loops.all, readiness: readiness)
        let outbox = Outbox(schema: Migrations.schema, timeSource: time)
        let publisher = try BrokerPublisher(brokerURL: settings.brokerURL, service: "scheduler", readiness: readiness)
        let relay = OutboxRelay(pool: pool, publisher: publisher, schema: Migrations.schema, loop: loops.control)
        let wakeups = try Wakeups(brokerURL: settings.brokerURL, service: "scheduler", loop: loops.control, readiness: readiness)
        let hint: @Sendable (ResourceClass) -> Void = { wakeups.hint($0) }
        let notices = JobNotices(pool: pool, loop: loops.control)
        let durations = DurationBook(store: DurationStore(pool: pool), time: time, loop: loops.control)
        let news = JobNews(changed: { notices.note($0) }, ended: { durations.note($0) }, estimate: { durations.estimate($0) })
        let store = PostgresSchedulerStore(pool: pool, outbox: outbox, limits: settings.accountLimits, news: news, hint: hint)
        let blobs = try FolderBlobStore(root: settings.blobRoot, service: "scheduler", pool: environment.cpu)

        // The other services.
        let http = HTTPClient()
        let tokens = ServiceTokenSource(service: "scheduler", key: signingKey)
        func client(_ urls: [String], _ name: String) -> ServiceClient {
            ServiceClient(baseURLs: urls, audience: name, tokens: tokens, http: http, time: time)
        }
        let auth = client(settings.authURLs, "auth")
        let signals = client(settings.signalsURLs, "signals")
        let marketdata = client(settings.marketdataURLs, "marketdata")

        // Who asks.
        let tokenKeys = TokenKeyCache(auth: auth, control: loops.control, readiness: readiness, time: time)
        let denied = DenySet()
        let apiKeys = CachingAPIKeyVerifier(source: ServiceAPIKeyVerifier(auth: auth), control: loops.control, time: time)
        let limiter = try KeyLimiter.make(settings.keyLimits, auth: auth, loops: loops, time: time)
        let accessTokens = AccessTokenVerifier(keys: tokenKeys, denied: denied, time: time)
        let people = UserAuthentication(tokens: accessTokens, apiKeys: apiKeys, limiter: limiter)
        let credentials = CredentialNews(keys: apiKeys, denied: denied, auth: auth, loop: loops.control, readiness: readiness, time: time)
        let credentialNews = try EventBroadcast(
            service: "scheduler",
            listener: "news",
            eventTypes: CredentialNews.eventTypes,
            brokerURL: settings.brokerURL,
            loop: loops.control,
            readiness: readiness,
            time: time,
            onSubscribed: { credentials.subscriptionChanged(isSubscribed: true) },
            onUnsubscribed: { credentials.subscriptionChanged(isSubscribed: false) },
            onEvent: { try credentials.hear($0) }
        )

        // What is heard and done in the background.
        let door = StreamDoor(keys: apiKeys, denied: denied, time: time)
        let feeds = JobFeeds(store: store, door: door, loop: loops.control, time: time)
        let announcer = WatchAnnouncer(store: store, marketdata: marketdata, time: time, loop: loops.control)
        func consumer<Handler: EventHandler>(_ handler: Handler) throws -> any Component {
            try EventConsumer(
                service: "scheduler",
                handler: handler,
                pool: pool,
                brokerURL: settings.brokerURL,
                loop: loops.control,
                timeSource: time,
                readiness: readiness
            )
        }
        let consumers = try [
            consumer(SignalHandler(outbox: outbox, time: time, onBarsAwaited: { announcer.poke() })),
            consumer(BarsClosedHandler(outbox: outbox, time: time, hint: hint, news: news)),
            consumer(RunHandler(outbox: outbox)),
        ]
        let workers = WorkerBook(pool: pool)
        let waitingStore = WaitingStore(pool: pool)
        let waiting = WaitingGauge(count: { try await waitingStore.loads() }, time: time, loop: loops.control)
        let backfillKeeper = BackfillKeeper(store: BackfillStore(store: store), time: time, loop: loops.control, hint: hint)
        let cadenceKeeper = CadenceKeeper(
            cadence: CadenceStore(store: store),
            archive: OccurrenceArchive(store: store),
            time: time,
            loop: loops.control
        )
        let background: [any Component] = [
            waiting, PythonGauge(workers: { try await workers.present() }, time: time, loop: loops.control), backfillKeeper, cadenceKeeper,
            Ticker(store: store, time: time, loop: loops.control, hint: hint), Sweeper(store: store, time: time, loop: loops.control, hint: hint),
            durations, feeds,
            announcer, CalendarKeeper(store: store, marketdata: marketdata, time: time, loop: loops.control),
            CloseDeadlines(store: CloseDeadlineStore(pool: pool, outbox: outbox), marketdata: marketdata, time: time, loop: loops.control),
            ResultCleaner(store: store, blobs: blobs, time: time, loop: loops.control),
            JobArchiver(store: store, keptMonths: settings.archiveMonths, time: time, loop: loops.control),
            ReadModelRebuilder(store: store, time: time, loop: loops.control) { try await signals.get("/internal/v1/published") },
        ]

        // Logs of running jobs.
        let logs = LogStore(pool: pool, bytesPerDay: settings.logBytesPerDay)
        let logNews = LogNews(logs: logs, reads: LogReads(logs, store, loop: loops.serving[0]), time: time, loop: loops.control)

        // The doors.
        let routes = SchedulerRoutes(
            store: store,
            intake: JobIntake(store: store, time: time, loop: loops.control, hint: hint),
            desk: ClaimDesk(store: store, blobs: blobs, signingKey: signingKey, time: time, classes: settings.classes, hint: hint),
            blobs: blobs,
            acts: ActRoutes.make(
                store,
                signingKey: signingKey,
                time: time,
                markets: PastMarkets(marketdata: marketdata),
                hint: hint,
                onBackfill: { backfillKeeper.poke() }
            ),
            logDoors: LogDoors(logs: logs, news: logNews, door: door),
            jobDoors: JobDoors(store: store, feeds: feeds, time: time)
        )
        let limits = HTTPLimits(accessLog: common.accessLog)
        let verifier = try ServiceTokenVerifier(path: common.servicesJWKSFile)
        var internalRouter = Router(problemOf: SchedulerRoutes.problem)
        let services: ([String]) -> any Middleware = { ServiceAuthentication(verifier: verifier, audience: "scheduler", allowedCallers: $0) }
        routes.addInternalRoutes(to: &internalRouter, authenticating: services)
        WorkerRoutes(book: workers).add(to: &internalRouter, authenticating: services)
        WaitingRoutes(gauge: waiting).add(to: &internalRouter, authenticating: services)
        OperationalRoutes(readiness: readiness).add(to: &internalRouter)
        let publicServer = HTTPServer(
            name: "public",
            address: common.listenAddress,
            port: common.port,
            router: routes.publicRouter(people),
            loops: loops.serving,
            limits: limits
        )
        let internalServer = HTTPServer(
            name: "internal",
            address: common.listenAddress,
            port: common.internalPort,
            router: internalRouter,
            loops: loops.serving,
            limits: limits
        )

        return [pool, publisher, relay, wakeups, tokenKeys, limiter, credentials, credentialNews, logNews] + consumers + background + [
            internalServer, publicServer,
        ]
    }
}
