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
    let accountLimits: AccountLimits
    /// Nil keeps archives for ever.
    let archiveMonths: Int?

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
        let defaults = AccountLimits()
        accountLimits = AccountLimits(
            runningInClass: reader.integer(
                "AUSPEX_ACCOUNT_RUNNING_IN_CLASS",
                help: "jobs of one class that an account may run at once",
                default: defaults.runningInClass,
                range: 1...100_000
            ),
            running: reader.integer(
                "AUSPEX_ACCOUNT_RUNNING",
                help: "jobs of all classes but signal together that an account may run at once",
                default: defaults.running,
                range: 1...100_000
            ),
            open: reader.integer(
                "AUSPEX_ACCOUNT_OPEN_JOBS",
                help: "jobs of an account that may wait or run; more are refused",
                default: defaults.open,
                range: 1...10_000_000
            )
        )
        let months = reader.integer(
            "AUSPEX_JOB_ARCHIVE_MONTHS",
            help: "whole months for which jobs that ended, and their logs, are kept; 0 keeps them for ever",
            default: 0,
            range: 0...1_200
        )
        archiveMonths = months == 0 ? nil : months
    }
}
