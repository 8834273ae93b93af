import Bars
import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import Synchronization
import Testing

@testable import executor

/// A real sandbox for tests: the launcher that was built beside the test program, the SDK of this checkout.
struct SandboxFixture: Sendable {
    let loops: LoopGroup
    let cpu: CPUPool
    let sandbox: Sandbox
    let report: SandboxDetection.Report
    let runtime: AuthorRuntime
    let root: String

    static let asOf = Timestamp(microseconds: 1_475_928_060_000_000)

    /// One for all tests of the process; nil, with the reason in the log, where no sandbox works at all.
    static let shared = Lazy()

    actor Lazy {
        private var made: Task<SandboxFixture, any Error>?

        func get() async throws -> SandboxFixture {
            if let made { return try await made.value }
            let loop = try EventLoop.start(name: "fixture")
            let task = Task(on: loop) { try await SandboxFixture.make(level: nil) }
            made = task
            return try await task.value
        }
    }

    static var buildFolder: String {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return String(program[..<(program.lastIndex(of: "/") ?? program.endIndex)])
    }

    static var packageRoot: String { "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") }

    static var sdkFolder: String { packageRoot + "/sdk/python" }

    /// A folder that goes with the process, if nobody removes it before.
    static var temporaryFolder: String {
        let folder = "/tmp/auspex-executor-tests-\(getpid())-\(UUID().uuidString.prefix(8))"
        mkdir(folder, 0o755)
        let isFirst = folders.withLock { folders in
            folders.append(folder)
            return folders.count == 1
        }
        if isFirst { atexit { for folder in SandboxFixture.folders.withLock({ $0 }) { FileTree.remove(folder) } } }
        return folder
    }

    private static let folders = Mutex<[String]>([])

    static func make(level: SandboxLevel?, cgroupName: String = "auspex-tests", firstUserID: UInt32 = 200_001) async throws -> SandboxFixture {
        let loops = try LoopGroup.start(count: 1)
        let cpu = try CPUPool()
        let configuration = SandboxConfiguration(
            launcher: buildFolder + "/sandbox-launch",
            leastLevel: .reduced,
            systemRoot: "/",
            firstUserID: firstUserID,
            cgroupName: cgroupName
        )
        let report = await SandboxDetection(configuration: configuration, loops: loops.serving, cpu: cpu).examine()
        var host = try #require(report.host, "no sandbox works here: \(report.lines.joined(separator: "; "))")
        if let level {
            host.level = level
            if level == .reduced { host.cgroups = [] }
        }
        let root = temporaryFolder
        let pythons = ["/usr/bin/python3", "/usr/bin/pypy3"].filter { FileManager.default.isExecutableFile(atPath: $0) }
        let runtime = try AuthorRuntime.install(from: sdkFolder, below: root, pythons: pythons)
        return SandboxFixture(
            loops: loops,
            cpu: cpu,
            sandbox: Sandbox(host: host, loops: loops.serving, cpu: cpu),
            report: report,
            runtime: runtime,
            root: root
        )
    }

    static let output = ManifestOutput(kind: .direction, instrument: "BTCUSD", horizonSeconds: 60, maximumRows: 2)

    /// Two hundred rising bars, as market data would send them.
    static func series(rows: Int = 200, hasVolume: Bool = true) throws -> InputSeries {
        let starts = (0..<rows).map { asOf.microseconds - Int64(rows - $0) * 15_000_000 }
        func column(_ shift: Int64) -> ScaledColumn { ScaledColumn(.integers((0..<rows).map { 60_000 + Int64($0) * 25 + shift }, scale: 2)) }
        let bars = try BarSeries(
            starts: starts,
            ends: starts.map { $0 + 15_000_000 },
            open: column(0),
            high: column(100),
            low: column(-100),
            close: column(0),
            volume: hasVolume ? ScaledColumn(.integers([Int64](repeating: 25, count: rows), scale: 1)) : nil
        )
        let bytes = BinaryBars.encode(bars, intervalSeconds: 15, dataDigest: [UInt8](repeating: 7, count: 32))
        return InputSeries(instrument: "BTCUSD", interval: "15s", bars: try BarsBody(bytes))
    }

    /// A run that gets no more bars than its inputs.
    struct ClosedGateway: RunGateway {
        func answer(_ message: [UInt8]) async -> GatewayAnswer { .refusal(GatewayAnswer.refused("closed", "there are no more bars")) }
    }

    /// A folder with an author's files, as it is mounted.
    static func folder(_ app: String, _ files: [String: String] = [:]) throws -> String {
        let folder = temporaryFolder
        for (name, text) in files.merging(["app.py": app], uniquingKeysWith: { $1 }) {
            try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)"))
            chmod("\(folder)/\(name)", 0o644)
        }
        return folder
    }

    static let python = PythonInterpreter(series: "3", version: "3", path: "/usr/bin/python3")

    /// What the program of a run gets.
    static func frame(output: ManifestOutput = output, asOf: Timestamp = asOf) throws -> InputFrame {
        try RunPlan(entryPoint: "app:predict", parameters: ["window": 3], output: output, asOf: asOf, series: [try series()]).frame()
    }

    /// The program of an author's `app.py`.
    func program(
        _ folder: String,
        _ limits: SandboxLimits,
        environment: PythonEnvironment? = nil,
        isAhead: Bool = false
    ) -> SandboxCommand {
        RunProgram(entryPoint: "app:predict", limits: limits, python: environment?.python ?? Self.python)
            .command(
                code: folder,
                runtime: runtime,
                packages: environment?.packages?.folder,
                level: sandbox.host.level,
                isAhead: isAhead
            )
    }

    /// What came of a run.
    func verdict(_ outcome: SandboxOutcome, _ limits: SandboxLimits, output: ManifestOutput = output) -> RunVerdict {
        RunVerdict(outcome: outcome, limits: limits, level: sandbox.host.level, check: RowCheck(output: output, asOf: Self.asOf))
    }

    /// Runs an author's `app.py` as the service would, started cold.
    func run(
        _ app: String,
        files: [String: String] = [:],
        environment: PythonEnvironment? = nil,
        output: ManifestOutput = output,
        gateway: any RunGateway = ClosedGateway(),
        change: (inout SandboxLimits) -> Void = { _ in }
    ) async throws -> (verdict: RunVerdict, outcome: SandboxOutcome) {
        let folder = try Self.folder(app, files)
        defer { FileTree.remove(folder) }
        var limits = SandboxLimits.of(.small, wallTime: .seconds(60))
        change(&limits)
        let started = try await sandbox.start(
            program(folder, limits, environment: environment),
            waiting: WaitingLimits(time: .seconds(120), processorSeconds: 0)
        )
        await started.begin(try Self.frame(output: output), gateway, within: limits.wallTime)
        let outcome = try await started.outcome()
        return (verdict(outcome, limits, output: output), outcome)
    }
}

extension RunVerdict {
    var failureKind: FailureKind? {
        if case .failure(let kind, _) = self { kind } else { nil }
    }

    var message: String {
        if case .failure(_, let message) = self { message } else { "" }
    }

    var values: [String] {
        guard case .rows(let rows, _) = self else { return [] }
        return rows.map { row in if case .single(let value) = row.value { value.text } else { "quantiles" } }
    }
}
