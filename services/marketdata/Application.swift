import BlobStore
import Cryptography
import HTTPServing
import KeyLimits
import Messaging
import Postgres
import Redis
import ServiceRuntime

/// The whole object graph of the service, in start order.
enum Application {
    /// Brings the schema up to date as its owner; gives the names of what it applied.
    static func migrate(_ settings: MarketdataSettings) async throws -> [String] {
        guard let url = settings.database.migrationURL else {
            throw CommandError(message: "AUSPEX_MIGRATION_DATABASE_URL is not set: migrations run as the role marketdata_owner")
        }
        return try await Migrator(databaseURL: url, schema: PostgresMarketdataStore.schema, catalogue: try Migrations.catalogue()).run().map(\.name)
    }

    static func build(_ settings: MarketdataSettings, _ environment: ServiceEnvironment) async throws -> [any Component] {
        // A month of seconds is columns by the hundred: most of the time of reading them went into mapping and unmapping their pages.
        FreedMemory.keep(bytes: 32 << 20)
        let (loops, time, readiness) = (environment.loops, environment.time, environment.readiness)
        let common = settings.common
        let signingKey = try SigningKey(pem: String(decoding: SecretFile.read(common.serviceKeyFile), as: UTF8.self))

        // The store, and what it says to the other services.
        let configuration = PostgresConfiguration(
            url: settings.database.url,
            maximumConnections: settings.database.maximumConnections,
            schema: PostgresMarketdataStore.schema,
            applicationName: "auspex-marketdata"
        )
        let pool = PostgresPool(configuration: configuration, loops: loops.all, readiness: readiness)
        let outbox = Outbox(schema: PostgresMarketdataStore.schema, timeSource: time)
        let publisher = try BrokerPublisher(brokerURL: settings.brokerURL, service: "marketdata", readiness: readiness)
        let relay = OutboxRelay(pool: pool, publisher: publisher, schema: PostgresMarketdataStore.schema, loop: loops.control)
        let store = PostgresMarketdataStore(pool: pool, outbox: outbox, cpu: environment.cpu)
        let redis = try RedisClient(url: settings.redisCacheURL, loops: loops.all, role: .cache)

        // Who asks.
        let tokens = ServiceTokenSource(service: "marketdata", key: signingKey)
        let auth = ServiceClient(baseURLs: settings.authURLs, audience: "auth", tokens: tokens, http: HTTPClient(), time: time)
        let tokenKeys = TokenKeyCache(control: loops.control, readiness: readiness, time: time) { try await auth.get("/.well-known/jwks.json") }
        let denied = DenySet()
        let accessTokens = AccessTokenVerifier(keys: tokenKeys, denied: denied, time: time)
        let apiKeys = CachingAPIKeyVerifier(source: ServiceAPIKeyVerifier(auth: auth), control: loops.control, time: time)
        let limiter = try KeyLimiter.make(settings.keyLimits, auth: auth, loops: loops, time: time)
        let credentials = CredentialNews(keys: apiKeys, denied: denied, auth: auth, loop: loops.control, readiness: readiness, time: time)
        let news = try News.listener(
            brokerURL: settings.brokerURL,
            credentials: credentials,
            loop: loops.control,
            readiness: readiness,
            time: time
        )

        // What works on the store.
        let calendars = Calendars(store: store, time: time)
        let reader = BarReader(
            store: store,
            calendars: calendars,
            results: RedisResultCache(redis: redis),
            chunkBytes: RedisChunkCache(redis: redis),
            cpu: environment.cpu,
            time: time,
            limits: settings.reads
        )
        let feed = settings.runsReplays ? ReplayFeed(store: store, reader: reader, time: time, control: loops.control) : nil
        let importer = Importer(store: store, cpu: environment.cpu, time: time)
        let uploads = UploadStore(pool: pool)
        let blobs = try FolderBlobStore(root: settings.blobRoot, service: "marketdata", pool: environment.cpu)
        let conversions = UploadConversions(
            store: ConversionStore(pool: pool),
            blobs: blobs,
            jobs: SchedulerJobs(
                scheduler: ServiceClient(baseURLs: settings.schedulerURLs, audience: "scheduler", tokens: tokens, http: HTTPClient(), time: time)
            )
        )
        let uploadImports = UploadImports(
            uploads: uploads,
            blobs: blobs,
            importer: importer,
            conversions: conversions,
            time: time,
            loop: loops.control
        )
        let iqfeed = try settings.iqfeed.source(tokens: tokens, cpu: environment.cpu, time: time)
        let webSources = try settings.web.entries(cpu: environment.cpu, time: time)
        let catalogue = SourceCatalogue(entries: OwnSources(uses: SourceUseStore(pool: pool)).entries + [IQFeedSettings.entry(iqfeed)] + webSources)
        let acquisition = Acquisition(
            settings.acquisition,
            sources: catalogue,
            store: store,
            importer: importer,
            calendars: calendars,
            redis: redis,
            time: time,
            loop: loops.control
        )
        var routes = MarketdataRoutes(
            store: store,
            reader: reader,
            importer: importer,
            replays: Replays(store: store, reader: reader, time: time, limits: settings.replays, feed: feed),
            effects: PostgresEffects(store: store),
            calendars: calendars,
            quality: QualityReader(store: store, calendars: calendars, cpu: environment.cpu, time: time, limits: settings.reads),
            time: time
        )

        routes.fetchFirst = acquisition.fetchFirst
        let sources = SourceRoutes(sources: catalogue)
        let live = Live(settings, environment, sources: catalogue, store: store, reader: reader, calendars: calendars)
        // Charts.
        let chartStore = ChartStore(pool: pool)
        let sessions = ChartSessions(store: chartStore, keys: apiKeys, denied: denied, time: time, limits: settings.charts)
        let bodies = ChartBodies(maximumBytes: settings.charts.cachedBytes)
        let resampling = try Resampling(settings, environment, store: store, reader: reader, tokens: tokens)
        let charts = Charts(
            store: chartStore,
            reader: reader,
            marks: ChartMarks(store: store, calendars: calendars, time: time),
            bodies: bodies,
            cpu: environment.cpu,
            time: time,
            limits: settings.charts,
            orders: resampling?.orders
        )
        let retention = RetentionStore(pool: pool)
        let datafeed = Datafeed(store: store, reader: reader, calendars: calendars, time: time)
        var chartRoutes = ChartRoutes(sessions: sessions, charts: charts, datafeed: datafeed, time: time)
        chartRoutes.fetchFirst = acquisition.fetchFirst
        let streams = streams(settings, environment, pool: pool, store: store, reader: reader, keys: apiKeys, denied: denied)

        // The doors.
        let limits = HTTPLimits(accessLog: common.accessLog)
        var publicRouter = Router(problemOf: MarketdataRoutes.problem)
        let people = UserAuthentication(tokens: accessTokens, apiKeys: apiKeys, limiter: limiter)
        routes.addPublicRoutes(to: &publicRouter, authentication: people)
        UploadRoutes(uploads: uploads, blobs: blobs, imports: uploadImports, time: time)
            .addPublicRoutes(to: &publicRouter, authentication: people)
        sources.add(to: &publicRouter, authentication: people)
        live.routes.add(to: &publicRouter, authentication: people)
        acquisition.routes.add(to: &publicRouter, authentication: people)
        RetentionRoutes(store: store, rules: retention).add(to: &publicRouter, authentication: people)
        chartRoutes.add(to: &publicRouter, authentication: people)
        StreamRoutes(streams: streams).add(to: &publicRouter, authentication: people)
        let verifier = try ServiceTokenVerifier(path: common.servicesJWKSFile)
        var internalRouter = Router(problemOf: MarketdataRoutes.problem)
        routes.addInternalRoutes(to: &internalRouter, jobTokens: try JobTokenVerifier(path: common.servicesJWKSFile)) { callers in
            ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: callers)
        }
        ConversionRoutes(store: conversions.store, blobs: blobs, jobTokens: try JobTokenVerifier(path: common.servicesJWKSFile), time: time).add(
            to: &internalRouter,
            authentication: ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: ["executor"])
        )
        ExpectedCloseRoutes(store: store, subscriptions: LiveSubscriptionStore(pool: pool), reader: reader, time: time).add(
            to: &internalRouter,
            authentication: ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: ["scheduler"])
        )
        OperationalRoutes(readiness: readiness).add(to: &internalRouter)
        var publicLimits = limits
        publicLimits.secretPathPrefixes = ChartRoutes.secretPathPrefixes
        let publicServer = HTTPServer(
            name: "public",
            address: common.listenAddress,
            port: common.port,
            router: publicRouter,
            loops: loops.serving,
            limits: publicLimits
        )
        let internalServer = HTTPServer(
            name: "internal",
            address: common.listenAddress,
            port: common.internalPort,
            router: internalRouter,
            loops: loops.serving,
            limits: limits
        )

        var components: [any Component] = [pool, redis, publisher, relay, tokenKeys, limiter, credentials, news]
        components.append(WarmUp(store: store, calendars: calendars, loops: loops.serving))
        components.append(ChartSweeper(sessions: sessions, bodies: bodies, time: time, loop: loops.control))
        components.append(Retention(store: retention, time: time, loop: loops.control))
        components.append(
            LiveSealing(seals: LiveSeals(pool: pool, cpu: environment.cpu), calendars: calendars, time: time, loop: loops.control)
        )
        if let feed { components.append(feed) }
        if let iqfeed { components.append(iqfeed) }
        components += live.components
        components += acquisition.components
        if let resampling { components += resampling.components }
        return components + [uploadImports, streams, internalServer, publicServer]
    }
}
