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
    let versions: VersionQuotas.Limits

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
        versions = VersionQuotas.Limits(
            versionsPerSignal: reader.integer(
                "AUSPEX_VERSIONS_PER_SIGNAL",
                help: "versions that a signal may have",
                default: 1_000,
                range: 1...1_000_000
            ),
            bytesPerAccount: reader.integer(
                "AUSPEX_VERSION_BYTES_PER_ACCOUNT",
                help: "bytes that the files of an account's versions may hold; a file counts once however many versions name it",
                default: 20 << 30,
                range: (1 << 20)...(1 << 50)
            )
        )
    }
}
