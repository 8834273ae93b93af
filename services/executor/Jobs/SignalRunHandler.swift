import Contracts
import FoundationEssentials
import JobWorker
import ServiceRuntime

/// Runs an author's code once: `signal_run` for the record, `dry_run` for the author. Both are the same here; signals knows the difference.
struct SignalRunHandler: JobHandler {
    let inputs: RunInputs
    let code: CodeTree
    let environments: EnvironmentStore
    let pythons: [PythonInterpreter]
    let sandbox: Sandbox
    let runtime: AuthorRuntime
    let cpu: CPUPool

    private static let logger = Logger("runs")

    var kinds: [String] { [JobKind.signalRun.rawValue, JobKind.dryRun.rawValue] }

    func run(_ job: ClaimedJob, progress: @escaping @Sendable (Int) -> Void) async -> JobResult {
        let clock = StageClock()
        do {
            let spec: SignalRunSpec
            do {
                spec = try WireJSON.decode(SignalRunSpec.self, from: job.spec)
            } catch {
                throw RunObstacle(kind: .policy, reason: "the job's specification cannot be read: \(error)")
            }
            return try await clock.stage("total") { try await run(job, spec, clock) }
        } catch is CancellationError {
            return .failed(.infra, "the run was stopped")
        } catch let obstacle as RunObstacle {
            return .failed(obstacle.kind, obstacle.reason)
        } catch let error as EnvironmentError {
            return .failed(error.kind, error.reason)
        } catch let error as RequirementsFile.Problem {
            return .failed(.policy, "\(error)")
        } catch let error as CodeError {
            if case .wrongBytes = error { return .failed(.infra, "\(error)") }
            return .failed(.policy, "\(error)")
        } catch {
            Self.logger.error("a run could not begin", ["job_id": .string("\(job.jobID)"), "error": .string("\(error)")])
            return .failed(.infra, "\(error)")
        }
    }

    private func run(_ job: ClaimedJob, _ spec: SignalRunSpec, _ clock: StageClock) async throws -> JobResult {
        let manifest = spec.manifest
        let python = try interpreter(manifest.python)
        async let bars = clock.stage("bars") { try await inputs.bars(manifest, asOf: spec.asOf, jobToken: job.jobToken) }
        async let prepared = prepare(job, spec, python, clock)
        let (folder, environment) = try await prepared
        let known = try await bars

        // A scheduled run waits in a queue of its own, but is as large as its manifest says.
        let size = job.resourceClass == .signal ? manifest.class : job.resourceClass
        let limits = SandboxLimits.of(size, wallTime: .seconds(max(1, job.timeLimitSeconds)))
        let plan = RunPlan(
            entryPoint: manifest.entryPoint,
            parameters: manifest.parameters,
            output: manifest.output,
            asOf: spec.asOf,
            series: known.series,
            limits: limits,
            python: python
        )
        let command = try plan.command(
            code: folder.folder,
            runtime: runtime,
            packages: environment.packages?.folder,
            level: sandbox.host.level
        )
        let outcome = try await clock.stage("sandbox") { try await sandbox.run(command) }
        withExtendedLifetime((folder, environment)) {}
        try Task.checkCancellation()
        let check = RowCheck(output: manifest.output, asOf: spec.asOf)
        let verdict = RunVerdict(outcome: outcome, limits: limits, level: sandbox.host.level, check: check)
        var result = try self.result(verdict, spec, known, environment, clock)
        result.cpuSeconds = outcome.cpuSeconds
        result.memoryPeakBytes = outcome.memoryPeakBytes
        result.bytesIn = known.bytes
        result.log = outcome.log.text
        result.logTruncated = outcome.log.isTruncated
        return result
    }

    private func interpreter(_ series: String) throws(RunObstacle) -> PythonInterpreter {
        if let python = pythons.first(where: { $0.series == series || $0.version == series }) { return python }
        let known = pythons.map(\.series).joined(separator: ", ")
        throw RunObstacle(kind: .policy, reason: "the manifest asks for Python \(series); this executor has \(known)")
    }

    /// The author's files and the environment that they ask for.
    private func prepare(
        _ job: ClaimedJob,
        _ spec: SignalRunSpec,
        _ python: PythonInterpreter,
        _ clock: StageClock
    ) async throws -> (DiskCache.Lease, PythonEnvironment) {
        let token = job.jobToken
        let inputs = inputs
        let folder = try await clock.stage("code") {
            try await code.folder(of: spec.files) { try await inputs.file($0, jobToken: token) }
        }
        let environment = try await clock.stage("environment") {
            try await environments.environment(
                for: try await requirements(spec, folder.folder),
                python: python,
                within: .seconds(max(1, job.timeLimitSeconds))
            )
        }
        return (folder, environment)
    }

    private func requirements(_ spec: SignalRunSpec, _ folder: String) async throws -> RequirementsFile {
        guard spec.files.contains(where: { $0.path == "requirements.txt" }) else { return .none }
        let path = folder + "/requirements.txt"
        let bytes = try await cpu.run(lane: FileTree.lane) { FileManager.default.contents(atPath: path) ?? Data() }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw RequirementsFile.Problem(reason: "it is not UTF-8 text") }
        return try RequirementsFile(parsing: text)
    }

    private func result(
        _ verdict: RunVerdict,
        _ spec: SignalRunSpec,
        _ bars: RunBars,
        _ environment: PythonEnvironment,
        _ clock: StageClock
    ) throws -> JobResult {
        switch verdict {
        case .failure(let kind, let message): return .failed(kind, message)
        case .rows(let rows, let stages):
            for (name, milliseconds) in stages { clock.set(name, milliseconds) }
            let result = SignalRunResult(
                rows: rows,
                envSHA256: environment.sha256,
                dataSHA256: bars.dataSHA256,
                asOf: spec.asOf,
                referencePrices: bars.referencePrices,
                python: environment.python.version,
                sandboxLevel: sandbox.host.level,
                stagesMs: clock.milliseconds
            )
            return .completed(try WireJSON.value(of: result))
        }
    }
}
