import HTTPServing
import Postgres
import Redis
import ServiceRuntime

/// How history comes out of the sources.
struct AcquisitionSettings: Sendable {
    /// Whether this replica runs the rules that are due.
    var runsRules = true
    /// Rules at once.
    var rulesAtOnce = 2
    /// Whether what people ask for is fetched first where a rule covers it.
    var fetchesFirst = true
    /// How long they wait for that.
    var patience = Duration.seconds(10)

    init() {}

    init(from reader: inout SettingsReader) {
        runsRules = reader.boolean(
            "AUSPEX_KEEP_RULES",
            help: "whether this replica takes part in keeping instruments up to date out of sources",
            default: runsRules
        )
        rulesAtOnce = reader.integer(
            "AUSPEX_KEEP_RULES_AT_ONCE",
            help: "rules that this replica works on at once",
            default: rulesAtOnce,
            range: 1...64
        )
        fetchesFirst = reader.boolean(
            "AUSPEX_FETCH_FIRST",
            help: "whether bars that somebody reads, a rule covers and nobody has fetched yet are fetched before the answer",
            default: fetchesFirst
        )
        patience = .milliseconds(
            reader.integer(
                "AUSPEX_FETCH_WAIT_MS",
                help: "how long a reader waits for bars that are being fetched; then the answer is of what there is",
                default: 10_000,
                range: 100...60_000
            )
        )
    }
}

/// Everything that brings history out of the sources.
struct Acquisition: Sendable {
    let fetches: Fetches
    let keeper: Keeper
    let fetchFirst: FetchFirst?
    let routes: KeepRoutes
    /// In start order.
    let components: [any Component]

    init(
        _ settings: AcquisitionSettings,
        sources: SourceCatalogue,
        store: PostgresMarketdataStore,
        importer: Importer,
        calendars: Calendars,
        redis: RedisClient,
        time: any TimeSource,
        loop: EventLoop
    ) {
        let rules = KeepStore(pool: store.pool)
        let lock = FetchLock(redis: redis, session: LockSession(configuration: store.pool.configuration, loop: loop), time: time)
        fetches = Fetches(sources: sources, store: rules, importer: importer, calendars: calendars, lock: lock, time: time, loop: loop)
        keeper = Keeper(store: rules, fetches: fetches, time: time, loop: loop, atOnce: settings.rulesAtOnce)
        fetchFirst = settings.fetchesFirst ? FetchFirst(fetches: fetches, calendars: calendars, time: time, patience: settings.patience) : nil
        routes = KeepRoutes(store: store, rules: rules, sources: sources, keeper: keeper, fetchFirst: fetchFirst, time: time)
        components = settings.runsRules ? [fetches, keeper] : [fetches]
    }
}
