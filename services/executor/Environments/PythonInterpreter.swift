import Contracts
import FoundationEssentials

/// A Python of the system that runs see.
struct PythonInterpreter: Sendable, Hashable {
    /// What a manifest asks for, such as `3.11`.
    let series: String
    /// The whole version, such as `3.11.2`.
    let version: String
    /// The path inside the sandbox.
    let path: String

    /// As the scheduler is told.
    var reported: WorkerPython {
        WorkerPython(implementation: series.hasPrefix("pypy") ? "pypy" : "cpython", series: series, version: version)
    }

    /// Finds the interpreters below the system's root by asking each in a sandbox.
    static func discover(in sandbox: Sandbox) async throws -> [PythonInterpreter] {
        let folder = sandbox.host.systemRoot == "/" ? "/usr/bin" : sandbox.host.systemRoot + "/usr/bin"
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { name in
            name.hasPrefix("python3.") && name.dropFirst("python3.".count).allSatisfy(\.isNumber) && name.count > "python3.".count
        }
        var found: [PythonInterpreter] = []
        for name in names.sorted() {
            let limits = SandboxLimits.of(.small, wallTime: .seconds(20))
            let program = "import os, platform; os.write(3, platform.python_version().encode()); os._exit(0)"
            let outcome = try await sandbox.run(SandboxCommand(arguments: ["/usr/bin/\(name)", "-ISB", "-c", program], limits: limits))
            let version = String(decoding: outcome.result, as: UTF8.self)
            guard outcome.exitCode == 0, version.hasPrefix("3.") else { continue }
            found.append(PythonInterpreter(series: String(name.dropFirst("python".count)), version: version, path: "/usr/bin/\(name)"))
        }
        return found
    }
}
