import HTTPServing
import Postgres
import ServiceRuntime

extension Application {
    /// Streams of bars: what hears the database, and the route.
    static func streams(
        _ settings: MarketdataSettings,
        _ environment: ServiceEnvironment,
        pool: PostgresPool,
        store: any MarketdataStore,
        reader: BarReader,
        keys: any APIKeyVerifier,
        denied: DenySet
    ) -> BarStreams {
        BarStreams(
            topics: TopicReader(store: store, reader: reader, knowledge: KnowledgeStore(pool: pool), maximumBars: settings.streams.bars),
            admission: StreamAdmission(keys: keys, denied: denied, time: environment.time),
            loop: environment.loops.serving[0],
            time: environment.time,
            settings: settings.streams
        )
    }
}
