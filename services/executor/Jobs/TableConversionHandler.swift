import Contracts
import Cryptography
import FoundationEssentials
import JobWorker
import ServiceRuntime

/// Turns an uploaded file of a foreign format into text: a program of ours in Python, which reads a stranger's file, and so in the sandbox of strangers' code.
struct TableConversionHandler: SandboxedHandler {
    let files: ConversionFiles
    let environments: EnvironmentStore
    let pythons: [PythonInterpreter]
    let sandbox: Sandbox
    let runtime: AuthorRuntime
    let cpu: CPUPool
    var classes = ResourceClasses.standard

    /// What an upload may have at most.
    static let maximumFileBytes: Int64 = 512 << 20
    private static let mountPoint = "/env"

    var kinds: [String] { [JobKind.tableConversion.rawValue] }

    func refusal(of spec: TableConversionSpec) -> String? {
        let isPlausible = (1...Self.maximumFileBytes).contains(spec.bytes) && (1...max(1, Int(clamping: spec.bytes))).contains(spec.parts)
        return isPlausible ? nil : "the job's specification cannot be read"
    }

    func prepare(_ job: ClaimedJob, _ spec: TableConversionSpec, _ reporter: JobReporter) async throws -> (SandboxCommand, PythonEnvironment) {
        guard let python = pythons.last(where: { Self.isKnown($0.series) }) else {
            throw RunObstacle(kind: .infra, reason: "this executor has no Python that conversions can use")
        }
        let limit = Duration.seconds(max(1, job.timeLimitSeconds))
        let input = try await fetch(spec, job.jobToken) { reporter.progress($0 * 30 / 100) }
        let environment = try await environments.environment(lock: runtime.converterLock, python: python, account: "platform", within: limit)
        guard let packages = environment.packages else { throw RunObstacle(kind: .infra, reason: "the converter's packages are not there") }
        reporter.progress(35)
        return (try command(spec, python, packages.folder, input, limits(job, spec)), environment)
    }

    func result(
        of outcome: SandboxOutcome,
        _ job: ClaimedJob,
        _ spec: TableConversionSpec,
        _: PythonEnvironment,
        _ reporter: JobReporter
    ) async throws -> JobResult {
        reporter.progress(80)
        return try await result(of: ConversionVerdict(outcome: outcome, limits: limits(job, spec)), spec, job.jobToken)
    }

    private func limits(_ job: ClaimedJob, _ spec: TableConversionSpec) -> SandboxLimits {
        var limits = SandboxLimits.of(.standard, wallTime: .seconds(max(1, job.timeLimitSeconds)), classes: classes)
        limits.resultBytes = Int(spec.maximumPackedBytes) + (1 << 20)
        return limits
    }

    func failure(of error: any Error) -> JobResult? {
        switch error {
        case is CancellationError: .failed(.infra, "the conversion was stopped")
        // The lock is ours, and so is what goes wrong with it.
        case let error as EnvironmentError: .failed(.infra, error.reason)
        default: nil
        }
    }

    /// The series for which the lock has packages.
    private static func isKnown(_ series: String) -> Bool {
        let parts = series.split(separator: ".").compactMap { Int($0) }
        return parts.count == 2 && parts[0] == 3 && (11...14).contains(parts[1])
    }

    /// The whole file in memory that the sandbox maps: nothing of it lies on this machine's disk.
    private func fetch(_ spec: TableConversionSpec, _ jobToken: String, _ progress: @Sendable (Int) -> Void) async throws -> InputFrame {
        let input = try InputFrame(bytes: Int(spec.bytes))
        var at = 0
        var hasher = SHA256.Hasher()
        for number in 1...spec.parts {
            try Task.checkCancellation()
            guard let part = try await files.part(number, of: spec.uploadID, jobToken: jobToken) else {
                throw RunObstacle(kind: .exception, reason: "marketdata has no part \(number) of the file any more")
            }
            guard at + part.count <= spec.bytes else { break }
            let offset = at
            try await cpu.run(lane: FileTree.lane) { try input.write(part, at: offset) }
            hasher.update(part)
            at += part.count
            progress(number * 100 / spec.parts)
        }
        guard at == Int(spec.bytes), hasher.finalize() == spec.fileSHA256 else {
            throw RunObstacle(kind: .exception, reason: "the parts that marketdata has are not those of the file")
        }
        try input.seal()
        return input
    }

    private func command(
        _ spec: TableConversionSpec,
        _ python: PythonInterpreter,
        _ packages: String,
        _ input: InputFrame,
        _ limits: SandboxLimits
    ) throws -> SandboxCommand {
        var orders: [String: JSONValue] = [
            "packages": .string(Self.mountPoint), "most_plain_bytes": .integer(spec.maximumTextBytes),
            "most_packed_bytes": .integer(spec.maximumPackedBytes),
        ]
        if sandbox.host.level == .reduced {
            orders["limits"] = ["processes": .integer(Int64(limits.processes)), "address_space_bytes": .integer(Int64(limits.memoryBytes))]
        }
        return SandboxCommand(
            arguments: [
                python.path, "-ISB", "-c", AuthorRuntime.conversionProgram, String(decoding: WireJSON.encode(.object(orders)), as: UTF8.self),
            ],
            mounts: [
                SandboxMount(source: runtime.converterFolder, target: "/sdk"), SandboxMount(source: packages + "/site", target: Self.mountPoint),
            ] + python.mounts,
            // The other allocators of Arrow reserve more than a bounded address space has.
            environment: ["ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"],
            input: input,
            limits: limits
        )
    }

    private func result(of verdict: ConversionVerdict, _ spec: TableConversionSpec, _ jobToken: String) async throws -> JobResult {
        switch verdict {
        case .failure(let reason): return .failed(.infra, reason)
        case .refused(let refusal): return .completed(try WireJSON.value(of: TableConversionResult(refused: refusal)))
        case .table(var table, let text):
            var at = text.startIndex
            while at < text.endIndex {
                let end = min(at + ConversionFiles.partBytes, text.endIndex)
                let part = Array(text[at..<end])
                let digest = try await files.keep(part, of: spec.uploadID, jobToken: jobToken)
                guard digest == SHA256.digest(part) else { throw RunObstacle(kind: .infra, reason: "marketdata kept other bytes than it was sent") }
                table.parts.append(digest)
                at = end
            }
            return .completed(try WireJSON.value(of: TableConversionResult(table: table)))
        }
    }
}
