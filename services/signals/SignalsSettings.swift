import KeyLimits
import ServiceRuntime

/// What signals is told by its environment.
struct SignalsSettings: ServiceSettings {
    let common: CommonSettings
    let database: DatabaseSettings
    let brokerURL: String
    let keyLimits: KeyLimitSettings
    let blobRoot: String
    let authURLs: [String]
    let schedulerURLs: [String]
    let marketdataURLs: [String]
    let settlementSlots: Int
    let dryRuns: DryRunLimits

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        database = DatabaseSettings(from: &reader)
        brokerURL = PeerSettings.broker(from: &reader)
        keyLimits = KeyLimitSettings(from: &reader)
        blobRoot = PeerSettings.blobRoot(from: &reader)
        authURLs = PeerSettings.service("auth", from: &reader)
        schedulerURLs = PeerSettings.service("scheduler", from: &reader)
        marketdataURLs = PeerSettings.service("marketdata", from: &reader)
        settlementSlots = reader.integer("AUSPEX_SETTLEMENT_SLOTS", help: "settlement jobs at once", default: 2, range: 1...64)
        dryRuns = DryRunLimits(
            open: reader.integer("AUSPEX_DRY_RUNS_OPEN", help: "dry runs that an account may have under way", default: 3, range: 1...1_000),
            perMinute: reader.integer(
                "AUSPEX_DRY_RUNS_PER_MINUTE",
                help: "dry runs that an account may begin in a minute",
                default: 10,
                range: 1...1_000
            )
        )
    }
}
