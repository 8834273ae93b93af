import KeyLimits
import ServiceRuntime

/// What marketdata is told by its environment.
struct MarketdataSettings: ServiceSettings {
    let common: CommonSettings
    let database: DatabaseSettings
    let brokerURL: String
    let keyLimits: KeyLimitSettings
    let redisCacheURL: String
    let authURLs: [String]
    let schedulerURLs: [String]
    let blobRoot: String
    let runsReplays: Bool
    let reads: ReadLimits
    let replays: ReplayLimits
    let web: WebSettings
    let iqfeed: IQFeedSettings
    let live: LiveFeedSettings
    let charts: ChartLimits
    let resampling: ResampleSettings
    let streams: StreamSettings
    let acquisition: AcquisitionSettings

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        database = DatabaseSettings(from: &reader)
        brokerURL = PeerSettings.broker(from: &reader)
        keyLimits = KeyLimitSettings(from: &reader)
        redisCacheURL = PeerSettings.redisCache(from: &reader)
        authURLs = PeerSettings.service("auth", from: &reader)
        schedulerURLs = PeerSettings.service("scheduler", from: &reader)
        blobRoot = PeerSettings.blobRoot(from: &reader)
        runsReplays = reader.boolean("AUSPEX_RUN_REPLAYS", help: "whether this replica takes part in running replays", default: true)
        var reads = ReadLimits()
        reads.baseRows = reader.integer(
            "AUSPEX_BARS_BASE_ROWS",
            help: "stored bars that one request for bars may read at most",
            default: reads.baseRows,
            range: 100_000...1_000_000_000
        )
        reads.heavyReads = reader.integer(
            "AUSPEX_BARS_HEAVY_READS",
            help: "long requests for bars (three days of seconds) at once; others wait, then get 429; runs and replays have as many places",
            default: reads.heavyReads,
            range: 1...64
        )
        reads.decodedBytes =
            reader.integer(
                "AUSPEX_BARS_MEMORY_MIB",
                help: "memory for days of bars that are kept decoded; a day of seconds takes 0.8 MiB",
                default: reads.decodedBytes >> 20,
                range: 1...1_048_576
            ) << 20
        self.reads = reads
        var replays = ReplayLimits()
        replays.perAccount = reader.integer(
            "AUSPEX_REPLAYS_PER_ACCOUNT",
            help: "replays of one account that may run at once",
            default: replays.perAccount,
            range: 1...10_000
        )
        replays.total = reader.integer(
            "AUSPEX_REPLAYS",
            help: "replays of all accounts that may run at once",
            default: replays.total,
            range: 1...10_000
        )
        self.replays = replays
        web = WebSettings(from: &reader)
        iqfeed = IQFeedSettings(from: &reader)
        live = LiveFeedSettings(from: &reader)
        charts = ChartLimits(from: &reader)
        resampling = ResampleSettings(from: &reader)
        streams = StreamSettings(from: &reader)
        acquisition = AcquisitionSettings(from: &reader)
    }
}
