import Contracts

/// One run of an author's function, as the function sees it.
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

    /// What the program gets when its run begins.
    func frame() throws -> InputFrame {
        let header: [String: JSONValue] = [
            "entry_point": .string(entryPoint), "parameters": parameters, "as_of_microseconds": .integer(asOf.microseconds),
            "output": try WireJSON.value(of: output),
        ]
        return try InputFrame(header: header, series: series)
    }
}

/// The program of an author's function, which can be started before anything about a run is known but that there will be one.
struct RunProgram: Sendable {
    /// `module:function`.
    var entryPoint: String
    /// What it may use.
    var limits: SandboxLimits
    /// Its interpreter.
    var python: PythonInterpreter

    /// The program to start.
    ///
    /// - Parameters:
    ///   - code: the folder of the author's files.
    ///   - packages: the folder of installed packages, if there are any.
    ///   - isAhead: whether it says when it has nothing to do before its run.
    func command(code: String, runtime: AuthorRuntime, packages: String?, level: SandboxLevel, isAhead: Bool = false) -> SandboxCommand {
        var known: [String: JSONValue] = ["entry_point": .string(entryPoint)]
        if isAhead { known["ahead"] = true }
        var mounts = [SandboxMount(source: runtime.folder, target: "/sdk"), SandboxMount(source: code, target: "/app")] + python.mounts
        if let packages {
            mounts.append(SandboxMount(source: packages + "/site", target: "/env"))
            known["packages"] = "/env"
        }
        if level == .reduced {
            known["limits"] = ["processes": .integer(Int64(limits.processes)), "address_space_bytes": .integer(Int64(limits.memoryBytes))]
        }
        return SandboxCommand(
            // Isolated, without the system's own packages, and without writing byte code, for which there is no place.
            arguments: [python.path, "-ISB", "-c", AuthorRuntime.program],
            mounts: mounts,
            // One processor: more threads would only wait for each other.
            environment: limits.cpuThousandths > 1000 ? [:] : ["OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"],
            preparation: WireJSON.encode(.object(known)),
            limits: limits
        )
    }
}
