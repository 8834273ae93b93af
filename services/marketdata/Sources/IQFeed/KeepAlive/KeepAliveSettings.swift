import ServiceRuntime

/// What the watchdog is told by its environment.
struct KeepAliveSettings: ServiceSettings {
    let common: CommonSettings
    let endpoints: IQFeedEndpoints
    let login: IQFeedLogin
    /// The client program and its arguments; empty where somebody else starts it.
    let command: [String]
    let timing: KeepAliveTiming

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        endpoints = IQFeedEndpoints(
            host: reader.string("AUSPEX_DTN_HOST", help: "host of DTN's IQFeed client program", default: "127.0.0.1"),
            ports: IQFeedSettings.ports(from: &reader)
        )
        login = IQFeedLogin(
            product: reader.string("AUSPEX_DTN_PRODUCT_ID", help: "product id that DTN gave", secret: true),
            login: reader.string("AUSPEX_DTN_LOGIN", help: "login of the DTN account", secret: true),
            password: reader.string("AUSPEX_DTN_PASSWORD", help: "password of the DTN account", secret: true)
        )
        let secrets = [("PRODUCT_ID", login.product), ("LOGIN", login.login), ("PASSWORD", login.password)]
        for (key, value) in secrets where value.utf8.contains(where: { $0 < 0x20 || $0 == 0x2C }) {
            reader.report("AUSPEX_DTN_\(key) must hold neither commas nor control characters: IQFeed's commands could not say it")
        }
        let text = reader.optionalString(
            "AUSPEX_DTN_COMMAND",
            help: "the client program with its arguments, between blanks, such as `wine iqconnect.exe`; without it only a running one is watched"
        )
        command = (text ?? "").split(separator: " ").map(String.init)
        timing = KeepAliveTiming(
            silence: reader.seconds("AUSPEX_DTN_SILENCE", help: "silence of a door after which the client program hangs", default: 5, range: 2...12),
            startLimit: reader.seconds("AUSPEX_DTN_START_LIMIT", help: "how long the client program may take to start", default: 60, range: 5...600)
        )
    }
}

/// Who logs in. Never in a log, an argument or an environment of another process.
struct IQFeedLogin: Sendable, CustomStringConvertible {
    let product: String
    let login: String
    let password: String

    /// Nothing of it, wherever somebody prints it.
    var description: String { "IQFeedLogin" }
}

/// How patient the watchdog is.
struct KeepAliveTiming: Sendable, Equatable {
    /// Silence of a door after which the client program hangs.
    var silence = Duration.seconds(5)
    /// How long the client program may take until its doors are open.
    var startLimit = Duration.seconds(60)
    /// How long level 1 may refuse connections although the vendor's servers are reached.
    var opening = Duration.seconds(8)
    /// Between two tries of that.
    var openingPause = Duration.seconds(1)
    /// Between two looks at a door that is not open yet.
    var pause = Duration.milliseconds(500)
    /// A client that worked for so long is restarted as if it had never failed.
    var healthyAfter = Duration.seconds(60)
    /// How long after a login the next is tried, when the vendor's servers are not reached; it doubles.
    var loginPause = Duration.seconds(20)
    var firstRestart = Duration.seconds(1)
    var longestRestart = Duration.seconds(60)
}
