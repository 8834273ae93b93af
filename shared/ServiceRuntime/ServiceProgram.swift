import FoundationEssentials
internal import Glibc

/// What a service is built from: the parts of the runtime that its object graph shares.
public struct ServiceEnvironment: Sendable {
    /// The service's name.
    public let name: String
    /// The loops.
    public let loops: LoopGroup
    /// Threads for what computes or blocks.
    public let cpu: CPUPool
    /// What `/readyz` says.
    public let readiness: Readiness
    /// The clocks.
    public let time: any TimeSource

    /// An environment, for the program and for tests.
    public init(name: String, loops: LoopGroup, cpu: CPUPool, readiness: Readiness = Readiness(), time: any TimeSource = SystemTimeSource()) {
        self.name = name
        self.loops = loops
        self.cpu = cpu
        self.readiness = readiness
        self.time = time
    }
}

/// A word on the command line besides `serve`: `auth admin create`, `signals verify-ledger`.
public struct Subcommand<Settings: ServiceSettings>: Sendable {
    /// The first word after the program's name.
    public let name: String
    /// One line of what it does.
    public let help: String
    /// Runs with the words that follow; gives the exit code. Settings are read only when asked for. What is logged goes to the standard error.
    public let run: @Sendable ([String], () throws -> Settings) async throws -> Int32

    /// A subcommand.
    public init(name: String, help: String, run: @escaping @Sendable ([String], () throws -> Settings) async throws -> Int32) {
        self.name = name
        self.help = help
        self.run = run
    }
}

/// The command line of a service: `SERVICE [serve]`, `migrate`, `healthcheck`, `--help`, `--version` and its own subcommands.
public struct ServiceProgram<Settings: ServiceSettings>: Sendable {
    /// The version of all services, which are released together.
    public static var version: String { AuspexVersion.current }

    private let name: String
    private let summary: String
    private let subcommands: [Subcommand<Settings>]
    private let migrate: (@Sendable (Settings) async throws -> [String])?
    private let build: @Sendable (Settings, ServiceEnvironment) async throws -> [any Component]

    /// A service's program.
    ///
    /// - Parameters:
    ///   - migrate: brings the schema up to date and names what it applied; nil for a service without tables.
    ///   - build: makes the components, in start order.
    public init(
        name: String,
        summary: String,
        subcommands: [Subcommand<Settings>] = [],
        migrate: (@Sendable (Settings) async throws -> [String])? = nil,
        build: @escaping @Sendable (Settings, ServiceEnvironment) async throws -> [any Component]
    ) {
        self.name = name
        self.summary = summary
        self.subcommands = subcommands
        self.migrate = migrate
        self.build = build
    }

    /// Does what the command line says, then ends the process.
    public func run(arguments: [String] = Array(CommandLine.arguments.dropFirst())) async -> Never {
        let code: Int32
        do {
            code = try await dispatch(arguments)
        } catch let error as SettingsError {
            for problem in error.problems { complain(problem) }
            code = 78
        } catch {
            complain("\(error)")
            code = 1
        }
        exit(code)
    }

    private func dispatch(_ arguments: [String]) async throws -> Int32 {
        switch arguments.first {
        case nil, "serve": return try await serve()
        case "--help", "-h", "help":
            print(help())
            return 0
        case "--version":
            print("\(name) \(Self.version)")
            return 0
        case "healthcheck": return try healthcheck()
        case "migrate" where migrate != nil:
            let applied = try await migrate?(settings()) ?? []
            print(applied.isEmpty ? "\(name): the schema is up to date" : "\(name): applied \(applied.joined(separator: ", "))")
            return 0
        case .some(let word):
            if let subcommand = subcommands.first(where: { $0.name == word }) {
                Logger.configure { configuration in
                    configuration.service = name
                    configuration.sink = Logger.standardError
                }
                return try await subcommand.run(Array(arguments.dropFirst()), { try settings() })
            }
            let known = ["serve", "healthcheck"] + (migrate == nil ? [] : ["migrate"]) + subcommands.map(\.name)
            complain("unknown command '\(word)'; one of: \(known.joined(separator: ", ")), --help, --version")
            return 64
        }
    }

    private func settings() throws -> Settings {
        var reader = SettingsReader(environment: ProcessInfo.processInfo.environment)
        let settings = Settings(from: &reader)
        try reader.finish()
        return settings
    }

    private func serve() async throws -> Int32 {
        let settings = try settings()
        Logger.configure { configuration in
            configuration.service = name
            configuration.level = settings.common.logLevel
        }
        let environment = ServiceEnvironment(name: name, loops: try LoopGroup.start(count: settings.common.loops), cpu: try CPUPool())
        Metrics.shared.gauge("auspex_build_info", help: "Always 1.", labels: ["service": name, "version": Self.version]).set(1)
        let components = try await build(settings, environment)
        try await Lifecycle(
            components: components,
            control: environment.loops.control,
            readiness: environment.readiness,
            drainTimeout: settings.drainTimeout
        ).run()
        return 0
    }

    private func healthcheck() throws -> Int32 {
        var reader = SettingsReader(environment: ProcessInfo.processInfo.environment)
        let address = reader.string("AUSPEX_LISTEN", help: "", default: "127.0.0.1")
        let port = reader.integer("AUSPEX_INTERNAL_PORT", help: "port of /readyz", range: 1...65535)
        try reader.finish()
        let (status, body) = try HealthProbe.get(address: address == "0.0.0.0" ? "127.0.0.1" : address, port: port, path: "/readyz")
        print(body)
        return status == 200 ? 0 : 1
    }

    private func help() -> String {
        var reader = SettingsReader(environment: [:])
        _ = Settings(from: &reader)
        var text = "\(name) \(Self.version): \(summary)\n\n"
        var commands = [("[serve]", "serve until SIGTERM")]
        if migrate != nil { commands.append(("migrate", "bring the schema up to date")) }
        commands.append(("healthcheck", "ask the running service whether it is ready; exit code 0 or 1"))
        commands += subcommands.map { ($0.name, $0.help) }
        let width = commands.map(\.0.count).max() ?? 0
        for (command, help) in commands { text += "  \(name) \(command)\(String(repeating: " ", count: width - command.count))   \(help)\n" }
        text += "\nSettings, from the environment (a secret one also as KEY_FILE, the path of a file that holds it):\n\n"
        for definition in reader.definitions {
            let state = definition.defaultValue.map { "default \($0.isEmpty ? "empty" : $0)" } ?? (definition.optional ? "optional" : "required")
            text += "  \(definition.key)\(definition.secret ? "[_FILE]" : "")\n      \(definition.help); \(state)\n"
        }
        return text
    }

    private func complain(_ line: String) {
        FileHandleError.write("\(name): \(line)\n")
    }
}

/// The version that all parts of Auspex share.
public enum AuspexVersion {
    /// Semantic version.
    public static let current = "0.1.0"
}

enum FileHandleError {
    static func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
