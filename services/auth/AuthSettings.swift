import Cryptography
import ServiceRuntime

/// What auth is told by its environment.
struct AuthSettings: ServiceSettings {
    let common: CommonSettings
    let database: DatabaseSettings
    let brokerURL: String
    /// The text of the master key file: opens the keys that sign access tokens.
    let masterKey: String
    let bcryptCost: Int
    let registrationOpen: Bool
    let registrationsPerHour: Int
    let signingPeriodDays: Int
    let keyRequestsPerMinute: Int

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        database = DatabaseSettings(from: &reader)
        brokerURL = PeerSettings.broker(from: &reader)
        masterKey = reader.string("AUSPEX_MASTER_KEY", help: "the master key file's text (make it by 'auth keys make-master')", secret: true)
        bcryptCost = reader.integer("AUSPEX_BCRYPT_COST", help: "logarithm of bcrypt's rounds", default: 12, range: 4...16)
        registrationOpen = reader.boolean("AUSPEX_REGISTRATION_OPEN", help: "whether anybody may register", default: true)
        registrationsPerHour = reader.integer(
            "AUSPEX_REGISTRATIONS_PER_HOUR",
            help: "registrations from one address before each has to wait",
            default: 1_000,
            range: 1...1_000_000
        )
        signingPeriodDays = reader.integer("AUSPEX_SIGNING_PERIOD_DAYS", help: "how long a key signs access tokens", default: 30, range: 1...365)
        keyRequestsPerMinute = reader.integer(
            "AUSPEX_KEY_REQUESTS_PER_MINUTE",
            help: "requests a minute for API keys without a limit of their own, 0 for any number",
            default: 0,
            range: 0...KeyBudget.requestsPerMinuteRange.upperBound
        )
    }

    /// The box that the master key opens; one clear error when the text is wrong.
    func masterKeyBox() throws -> MasterKeyBox { MasterKeyBox(try MasterKeyFile(text: masterKey)) }

    /// How registrations from one address are slowed down.
    var registrationPolicy: ThrottlePolicy {
        ThrottlePolicy(freeAttempts: registrationsPerHour, windowSeconds: 3_600, maximumWaitSeconds: 3_600)
    }

    /// What limits keys whose owners set nothing; nil for nothing.
    var defaultRequestsPerMinute: Int? { keyRequestsPerMinute == 0 ? nil : keyRequestsPerMinute }

    /// When token keys change state.
    var rotation: KeyRotation { KeyRotation(signingPeriodSeconds: Int64(signingPeriodDays) * 86_400) }
}
