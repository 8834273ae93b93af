import ServiceRuntime

extension Application {
    /// What closes the bars of instruments while they trade: a feed for each source that streams, and what administrators say about it.
    struct Live {
        let routes: LiveRoutes
        let components: [any Component]

        init(
            _ settings: MarketdataSettings,
            _ environment: ServiceEnvironment,
            sources: SourceCatalogue,
            store: PostgresMarketdataStore,
            reader: BarReader,
            calendars: Calendars
        ) {
            let (loops, time) = (environment.loops, environment.time)
            let live = LiveStore(pool: store.pool, outbox: store.outbox)
            let subscriptions = LiveSubscriptionStore(pool: store.pool)
            routes = LiveRoutes(store: store, sources: sources, subscriptions: subscriptions, live: live, calendars: calendars, time: time)
            guard settings.live.runs else {
                components = []
                return
            }
            components = sources.streaming.map { source in
                let parts = LiveSession.Parts(
                    source: source,
                    store: store,
                    live: live,
                    subscriptions: subscriptions,
                    reader: reader,
                    calendars: calendars,
                    time: time,
                    settings: settings.live
                )
                return LiveFeed(parts, loop: loops.control)
            }
        }
    }
}
