import Cryptography
import FoundationEssentials
import HTTPServing
import ServiceRuntime

/// `marketdata iqfeed-keepalive`: keeps DTN's client program running until SIGTERM, as a process of its own.
enum KeepAliveCommand {
    static let subcommand = Subcommand<MarketdataSettings>(
        name: "iqfeed-keepalive",
        help: "keeps DTN's IQFeed client program running; --help lists its settings"
    ) { words, _ in
        guard words.isEmpty else {
            print(help())
            return words == ["--help"] ? 0 : 64
        }
        let environment = ProcessInfo.processInfo.environment
        var reader = SettingsReader(environment: environment)
        let settings = KeepAliveSettings(from: &reader)
        try reader.finish()
        try await run(settings, environment)
        return 0
    }

    /// The object graph and its life.
    private static func run(_ settings: KeepAliveSettings, _ environment: [String: String]) async throws {
        Logger.configure { configuration in
            configuration.service = "iqfeed-keepalive"
            configuration.level = settings.common.logLevel
            // It serves, like a service.
            configuration.sink = Logger.standardOutput
        }
        let loops = try LoopGroup.start(count: 1)
        let readiness = Readiness()
        let connector = IQFeedConnector(
            endpoints: settings.endpoints,
            loop: loops.control,
            time: SystemTimeSource(),
            clientName: "auspex-keepalive"
        )
        let keepAlive = KeepAlive(
            connector: connector,
            login: settings.login,
            command: settings.command,
            environment: KeepAlive.cleaned(environment),
            timing: settings.timing,
            readiness: readiness
        )
        var router = Router()
        OperationalRoutes(readiness: readiness).add(to: &router)
        let verifier = try ServiceTokenVerifier(path: settings.common.servicesJWKSFile)
        KeepAliveRoutes(keepAlive: keepAlive).add(
            to: &router,
            authentication: ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: ["marketdata"])
        )
        let server = HTTPServer(
            name: "internal",
            address: settings.common.listenAddress,
            port: settings.common.internalPort,
            router: router,
            loops: loops.serving,
            limits: HTTPLimits(accessLog: settings.common.accessLog)
        )
        try await Lifecycle(components: [keepAlive, server], control: loops.control, readiness: readiness).run()
    }

    private static func help() -> String {
        var reader = SettingsReader(environment: [:])
        _ = KeepAliveSettings(from: &reader)
        var text = "marketdata iqfeed-keepalive: keeps DTN's IQFeed client program running until SIGTERM\n\n"
        for definition in reader.definitions {
            let state = definition.defaultValue.map { "default \($0.isEmpty ? "empty" : $0)" } ?? (definition.optional ? "optional" : "required")
            text += "  \(definition.key)\(definition.secret ? "[_FILE]" : "")\n      \(definition.help); \(state)\n"
        }
        return text
    }
}
