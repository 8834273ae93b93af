import Contracts
import FoundationEssentials
import Glibc

/// A Python that runs can have, seen working in the sandbox.
struct PythonInterpreter: Sendable, Hashable {
    /// What a manifest asks for: `3.11`, `pypy3.9`.
    let series: String
    /// The whole version, such as `3.11.2` or `pypy3.9.16`; a manifest may ask for that as well.
    let version: String
    /// The path inside the sandbox.
    let path: String
    /// Its folder on this machine when it lies elsewhere than in the system that runs see; shown to them at ``mountPoint``.
    var folder: String?

    /// Where the folder of a Python of an operator's own is shown.
    static let mountPoint = "/python"

    /// As the scheduler is told.
    var reported: WorkerPython {
        WorkerPython(implementation: isPyPy ? "pypy" : "cpython", series: series, version: version)
    }

    var isPyPy: Bool { series.hasPrefix("pypy") }

    /// What a sandbox has to show for it to work there.
    var mounts: [SandboxMount] { folder.map { [SandboxMount(source: $0, target: Self.mountPoint)] } ?? [] }

    /// Its path on this machine, whose root the sandboxes' system may not be.
    func hostPath(systemRoot: String) -> String {
        if let folder { return folder + path.dropFirst(Self.mountPoint.count) }
        return systemRoot == "/" ? path : systemRoot + path
    }

    /// Finds the interpreters of the system that runs see, and those in an operator's `folders` (each the `bin` of an installation), by
    /// asking each in a sandbox. Of two of one series the first found stays, the system's before others.
    static func discover(in sandbox: Sandbox, folders: [String] = []) async throws -> [PythonInterpreter] {
        let system = sandbox.host.systemRoot == "/" ? "/usr/bin" : sandbox.host.systemRoot + "/usr/bin"
        var candidates = names(in: system).map { (path: "/usr/bin/\($0)", folder: String?.none) }
        for folder in folders {
            guard let (root, inside) = installation(folder) else { continue }
            candidates += names(in: folder).map { (path: "\(mountPoint)/\(inside)/\($0)", folder: root) }
        }
        var found: [PythonInterpreter] = []
        for candidate in candidates {
            guard let python = try await ask(candidate.path, candidate.folder, in: sandbox) else { continue }
            if !found.contains(where: { $0.series == python.series }) { found.append(python) }
        }
        return found.sorted { ($0.isPyPy ? 1 : 0, $0.minor) < ($1.isPyPy ? 1 : 0, $1.minor) }
    }

    private var minor: Int { Int(series.split(separator: ".").last ?? "") ?? 0 }

    /// The names that interpreters have, the plain `pypy3` after those with a version.
    private static func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { name in
            for prefix in ["python3.", "pypy3."] where name.hasPrefix(prefix) {
                let rest = name.dropFirst(prefix.count)
                return !rest.isEmpty && rest.allSatisfy { $0.isASCII && $0.isNumber }
            }
            return name == "pypy3"
        }.sorted().reversed()
    }

    /// The folder above a `bin`, without links, and the name of the `bin` in it.
    private static func installation(_ folder: String) -> (root: String, inside: String)? {
        guard let resolved = realpath(folder, nil) else { return nil }
        defer { free(resolved) }
        let path = String(cString: resolved)
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return nil }
        return (String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    private static func ask(_ path: String, _ folder: String?, in sandbox: Sandbox) async throws -> PythonInterpreter? {
        // What a manifest can name has a final version of three numbers; an interpreter that says anything else is none for us.
        let program =
            "import os, sys; v = sys.version_info; os.write(3, ('%s %d.%d.%d' % ((sys.implementation.name,) + v[:3])).encode()); os._exit(0)"
        let mounts = folder.map { [SandboxMount(source: $0, target: mountPoint)] } ?? []
        let command = SandboxCommand(
            arguments: [path, "-ISB", "-c", program],
            mounts: mounts,
            limits: SandboxLimits.of(.small, wallTime: .seconds(20))
        )
        let outcome = try await sandbox.run(command)
        let words = String(decoding: outcome.result, as: UTF8.self).split(separator: " ")
        guard outcome.exitCode == 0, words.count == 2, words[0] == "cpython" || words[0] == "pypy" else { return nil }
        let numbers = words[1].split(separator: ".").compactMap { Int($0) }
        guard numbers.count == 3, numbers[0] == 3, numbers[1] >= WorkerPython.leastMinor else { return nil }
        let prefix = words[0] == "pypy" ? "pypy" : ""
        return PythonInterpreter(series: "\(prefix)3.\(numbers[1])", version: prefix + words[1], path: path, folder: folder)
    }
}
