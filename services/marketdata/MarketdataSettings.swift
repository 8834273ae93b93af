import ServiceRuntime

/// What marketdata is told by its environment.
struct MarketdataSettings: ServiceSettings {
    let common: CommonSettings
    let database: DatabaseSettings
    let brokerURL: String
    let redisCacheURL: String
    let authURLs: [String]
    let runsReplays: Bool

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        database = DatabaseSettings(from: &reader)
        brokerURL = PeerSettings.broker(from: &reader)
        redisCacheURL = PeerSettings.redisCache(from: &reader)
        authURLs = PeerSettings.service("auth", from: &reader)
        runsReplays = reader.boolean("AUSPEX_RUN_REPLAYS", help: "whether this replica takes part in running replays", default: true)
    }
}
