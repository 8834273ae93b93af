import Contracts
import FoundationEssentials
import JobWorker
import Requirements
import ServiceRuntime

/// Runs an author's code once: `signal_run` for the record, `dry_run` and `backfill_run` for the author. They are the same here; signals knows the difference.
struct SignalRunHandler: JobHandler {
    let inputs: RunInputs
    let code: CodeTree
    let environments: EnvironmentStore
    let pythons: [PythonInterpreter]
    let sandbox: Sandbox
    let runtime: AuthorRuntime
    let cpu: CPUPool
    let pool: WarmPool
    let resources: ResourceManager
    /// Told when a run could not start, which says something about the machine.
    var onTrouble: @Sendable () -> Void = {}

    var kinds: [String] { JobKind.ofRuns.map(\.rawValue) }

    func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult {
        let clock = StageClock()
        let log = RunLog(reporter)
        do {
            let spec: SignalRunSpec
            do {
                spec = try WireJSON.decode(SignalRunSpec.self, from: job.spec)
            } catch {
                throw RunObstacle(kind: .policy, reason: "the job's specification cannot be read: \(error)")
            }
            return try await clock.stage("total") { try await run(job, spec, clock, log, reporter) }
        } catch {
            if error is SandboxError { onTrouble() }
            // What is known of an earlier build was not heard yet.
            if let error = error as? EnvironmentError, !log.hasBuild { log.built(error.log, isCut: error.isLogTruncated) }
            let result = SandboxedFailure.result(of: error, job)
            return log.hasBuild ? log.noted(in: result) : result
        }
    }

    private func run(
        _ job: ClaimedJob,
        _ spec: SignalRunSpec,
        _ clock: StageClock,
        _ log: RunLog,
        _ reporter: JobReporter
    ) async throws -> JobResult {
        let manifest = spec.manifest
        async let bars = clock.stage("bars") { try await inputs.bars(manifest, asOf: spec.asOf, jobToken: job.jobToken) }
        // A scheduled run waits in a queue of its own, but is as large as its manifest says.
        let size = job.resourceClass == .signal ? manifest.class : job.resourceClass
        let limits = SandboxLimits.of(size, wallTime: .seconds(max(1, job.timeLimitSeconds)), classes: resources.classes)
        let key = WarmKey(
            accountID: job.accountID,
            signalID: spec.signalID,
            versionSHA256: spec.versionSHA256,
            files: spec.files,
            resourceClass: size
        )
        let extra = try await resources.takeExtra(for: size, beyond: job.resourceClass)
        defer { resources.giveBack(extra) }
        let gpus = try takeGPUs(resources.classes[size].gpus)
        defer { resources.giveBack(gpus) }
        let gateway = BarsGateway(inputs: inputs, manifest: manifest, asOf: spec.asOf, jobToken: job.jobToken, loop: sandbox.firstLoop, cpu: cpu)
        var started: WarmSandbox
        // What was warmed was warmed for a run of the schedule; a run that its author waits for would only take it away from that.
        let taken = job.kind == .signalRun && gpus.isEmpty ? pool.take(key) : nil
        if let taken { started = taken } else { started = try await startCold(job, spec, key, limits, gpus, clock, log) }
        let known: RunBars
        let frame: InputFrame
        do {
            known = try await bars
            try Task.checkCancellation()
            frame = try await InputFrame.make(of: Int(known.bytes), on: cpu) { try Self.plan(spec, known).frame() }
        } catch {
            await started.sandbox.discard()
            throw error
        }
        var outcome = try await clock.stage("sandbox") { try await follow(started, frame, gateway, limits, log) }
        if taken != nil, outcome.hasBegun {
            clock.set("warm", 1)
        } else if taken != nil {
            // It ended while it waited, under limits that are not the run's: that is nothing to judge it by.
            try Task.checkCancellation()
            started = try await startCold(job, spec, key, limits, gpus, clock, log)
            outcome = try await clock.stage("sandbox") { try await follow(started, frame, gateway, limits, log) }
        }
        warmAgain(job, spec, key, reporter)
        try Task.checkCancellation()
        if let obstacle = await gateway.obstacle { throw obstacle }
        if outcome.killer == .deadline, let delay = await gateway.delay(within: limits.wallTime) { throw delay }
        let check = RowCheck(output: manifest.output, asOf: spec.asOf)
        let verdict = RunVerdict(outcome: outcome, limits: limits, level: sandbox.host.level, check: check)
        var result = try self.result(verdict, spec, known, await gateway.reads, started.environment, clock)
        result.note(outcome)
        result.bytesIn = known.bytes + Int64(await gateway.bytes)
        return log.hasBuild ? log.noted(in: result) : result
    }

    /// Begins the run of a sandbox and waits for its end.
    private func follow(
        _ started: WarmSandbox,
        _ frame: InputFrame,
        _ gateway: BarsGateway,
        _ limits: SandboxLimits,
        _ log: RunLog
    ) async throws -> SandboxOutcome {
        await started.sandbox.begin(frame, gateway, within: limits.wallTime) { log.printed($0) }
        return try await started.sandbox.outcome()
    }

    /// The graphics processors of a run. Its slot says that they are there; if they are not, it must not begin without them.
    private func takeGPUs(_ count: Int) throws(RunObstacle) -> [GPUDevice] {
        guard let gpus = resources.takeGPUs(count) else {
            throw RunObstacle(kind: .infra, reason: "the run needs \(count) graphics processors, and fewer are free")
        }
        return gpus
    }

    /// Starts the sandbox while the bars are still on their way: it imports what it needs meanwhile.
    private func startCold(
        _ job: ClaimedJob,
        _ spec: SignalRunSpec,
        _ key: WarmKey,
        _ limits: SandboxLimits,
        _ gpus: [GPUDevice],
        _ clock: StageClock,
        _ log: RunLog
    ) async throws -> WarmSandbox {
        let request = WarmRequest(key: key, dueAt: spec.dueAt, files: spec.files, manifest: spec.manifest, jobToken: job.jobToken)
        let (folder, environment) = try await prepare(request, attempt: job.attempt, within: limits.wallTime, clock, log)
        // The run begins when its bars are here, which may take as long as market data lets it wait.
        let waiting = WaitingLimits(time: limits.wallTime + .seconds(120), processorSeconds: 0)
        return try await clock.stage("start") {
            try await start(spec.manifest, folder, environment, limits, waiting, gpus, isAhead: false, lane: .general)
        }
    }

    /// Starts a sandbox of a run, for one that is due or ahead of one.
    func start(
        _ manifest: Manifest,
        _ folder: DiskCache.Lease,
        _ environment: PythonEnvironment,
        _ limits: SandboxLimits,
        _ waiting: WaitingLimits,
        _ gpus: [GPUDevice],
        isAhead: Bool,
        lane: CPULane
    ) async throws -> WarmSandbox {
        let program = RunProgram(entryPoint: manifest.entryPoint, limits: limits, python: environment.python)
        let packages = environment.packages?.folder
        var command = program.command(code: folder.folder, runtime: runtime, packages: packages, level: sandbox.host.level, isAhead: isAhead)
        command.devices = GPUDevice.files(of: gpus)
        return WarmSandbox(sandbox: try await sandbox.start(command, waiting: waiting, lane: lane), folder: folder, environment: environment)
    }

    private static func plan(_ spec: SignalRunSpec, _ known: RunBars) -> RunPlan {
        RunPlan(
            entryPoint: spec.manifest.entryPoint,
            parameters: (try? DeclaredParameters.values(of: spec.manifest.parameters)) ?? spec.manifest.parameters,
            output: spec.manifest.output,
            asOf: spec.asOf,
            series: known.series
        )
    }

    /// The last attempt that blames the platform for a Python that is not here.
    private static let attemptsElsewhere = 2

    private func interpreter(_ series: String, attempt: Int) throws(RunObstacle) -> PythonInterpreter {
        if let python = pythons.first(where: { $0.reported.answers(to: series) }) { return python }
        let known = pythons.map(\.series).joined(separator: ", ")
        // Another executor may have what can be a Python, and it was there when the version was uploaded, unless no executor was up to be asked. So the
        // run is tried again, but not for ever: what the third attempt does not find either is the version's fault, which counts towards the pause of its schedule.
        let kind: FailureKind = WorkerPython.isName(series) && attempt <= Self.attemptsElsewhere ? .infra : .policy
        throw RunObstacle(kind: kind, reason: "the manifest asks for Python \(series); this executor has \(known)")
    }

    /// The author's files and the environment that they ask for.
    func prepare(
        _ request: WarmRequest,
        attempt: Int,
        within limit: Duration,
        _ clock: StageClock,
        _ log: RunLog?
    ) async throws -> (DiskCache.Lease, PythonEnvironment) {
        let (files, token) = (request.files, request.jobToken)
        let python = try interpreter(request.manifest.python, attempt: attempt)
        let inputs = inputs
        let folder = try await clock.stage("code") {
            try await code.folder(of: files) { try await inputs.file($0, jobToken: token) }
        }
        let environment = try await clock.stage("environment") {
            try await environments.environment(
                for: try await requirements(files, folder.folder),
                python: python,
                version: inputs.lock(of: request.signalID, request.key.versionSHA256, jobToken: token),
                account: "\(request.key.accountID)",
                within: limit,
                onLog: log?.listener
            )
        }
        return (folder, environment)
    }

    private func requirements(_ files: [CodeFile], _ folder: String) async throws -> RequirementsFile {
        guard files.contains(where: { $0.path == "requirements.txt" }) else { return .none }
        let path = folder + "/requirements.txt"
        let bytes = try await cpu.run(lane: FileTree.lane) { FileManager.default.contents(atPath: path) ?? Data() }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw RequirementsFile.Problem(reason: "it is not UTF-8 text") }
        return try RequirementsFile(parsing: text)
    }

    private func result(
        _ verdict: RunVerdict,
        _ spec: SignalRunSpec,
        _ bars: RunBars,
        _ reads: [BarsRead],
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
                dataSHA256: RunInputs.combined(bars.dataSHA256, with: reads.map(\.dataSHA256)),
                asOf: spec.asOf,
                referencePrices: bars.referencePrices,
                python: environment.python.version,
                sandboxLevel: sandbox.host.level,
                stagesMs: clock.milliseconds,
                reads: reads.isEmpty ? nil : reads
            )
            return .completed(try WireJSON.value(of: result))
        }
    }
}
