import Contracts

/// One run of an author's function, complete but for the folders that it needs.
struct RunPlan: Sendable {
    /// `module:function`.
    var entryPoint: String
    /// The manifest's parameters.
    var parameters: JSONValue
    /// What the manifest promises.
    var output: ManifestOutput
    /// The run's point in time.
    var asOf: Timestamp
    /// The manifest's inputs.
    var series: [InputSeries]
    /// What it may use.
    var limits: SandboxLimits
    /// Its interpreter.
    var python: PythonInterpreter

    /// The program to run.
    ///
    /// - Parameters:
    ///   - code: the folder of the author's files.
    ///   - packages: the folder of installed packages, if there are any.
    func command(code: String, runtime: AuthorRuntime, packages: String?, level: SandboxLevel) throws -> SandboxCommand {
        var header: [String: JSONValue] = [
            "entry_point": .string(entryPoint), "parameters": parameters, "as_of_microseconds": .integer(asOf.microseconds),
            "output": try WireJSON.value(of: output),
        ]
        var mounts = [SandboxMount(source: runtime.folder, target: "/sdk"), SandboxMount(source: code, target: "/app")] + python.mounts
        if let packages {
            mounts.append(SandboxMount(source: packages + "/site", target: "/env"))
            header["packages"] = "/env"
        }
        if level == .reduced {
            header["limits"] = ["processes": .integer(Int64(limits.processes)), "address_space_bytes": .integer(Int64(limits.memoryBytes))]
        }
        return SandboxCommand(
            // Isolated, without the system's own packages, and without writing byte code, for which there is no place.
            arguments: [python.path, "-ISB", "-c", AuthorRuntime.program],
            mounts: mounts,
            // One processor: more threads would only wait for each other.
            environment: limits.cpuThousandths > 1000 ? [:] : ["OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"],
            input: try InputFrame(header: header, series: series),
            limits: limits
        )
    }
}
