import Contracts
import KeyLimits
import ServiceRuntime

/// What the scheduler is told by its environment.
struct SchedulerSettings: ServiceSettings {
    let common: CommonSettings
    let database: DatabaseSettings
    let brokerURL: String
    let keyLimits: KeyLimitSettings
    let blobRoot: String
    /// How long jobs of each class may run; executors read the same settings for the rest.
    let classes: ResourceClasses
    let logBytesPerDay: Int
    let authURLs: [String]
    let signalsURLs: [String]
    let marketdataURLs: [String]

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        database = DatabaseSettings(from: &reader)
        brokerURL = PeerSettings.broker(from: &reader)
        keyLimits = KeyLimitSettings(from: &reader)
        classes = reader.resourceClasses()
        blobRoot = PeerSettings.blobRoot(from: &reader)
        logBytesPerDay = reader.integer(
            "AUSPEX_LOG_BYTES_PER_DAY",
            help: "what an account's jobs may leave in logs on one day (UTC), in bytes; later logs of the day are cut",
            default: 256 << 20,
            range: (1 << 10)...(1 << 40)
        )
        authURLs = PeerSettings.service("auth", from: &reader)
        signalsURLs = PeerSettings.service("signals", from: &reader)
        marketdataURLs = PeerSettings.service("marketdata", from: &reader)
    }
}
