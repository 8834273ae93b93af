import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime

/// The executor's folder: environments, code, and the SDK for runs. All of it can be fetched or built again.
final class ExecutorStorage: Component {
    let name = "storage"
    /// Python environments.
    let environments: EnvironmentStore
    /// Authors' files.
    let code: CodeTree

    private let codeCache: DiskCache
    private let settings: ExecutorSettings
    private let cpu: CPUPool

    init(settings: ExecutorSettings, builds: BuildCapacity, sandbox: Sandbox, cpu: CPUPool) {
        self.settings = settings
        self.cpu = cpu
        let index = PackageIndex(environment: ProcessInfo.processInfo.environment, choice: settings.packages) { path in
            FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
        }
        environments = EnvironmentStore(
            root: settings.root + "/environments",
            capacityBytes: settings.environmentCacheBytes,
            uv: settings.uv,
            index: index,
            sandbox: sandbox,
            cpu: cpu,
            builds: builds
        )
        codeCache = DiskCache(root: settings.root + "/code", capacityBytes: settings.codeCacheBytes, cpu: cpu)
        code = CodeTree(cache: codeCache, cpu: cpu)
    }

    /// Makes the folders, removes what a crash left, and installs the SDK for runs.
    func prepare(for pythons: [PythonInterpreter]) async throws -> AuthorRuntime {
        guard let source = settings.sdkFolder else {
            throw SandboxError.refused("the Python package auspex was not found beside this program: AUSPEX_SDK_PATH names its folder")
        }
        let (root, environments, codeCache, systemRoot) = (settings.root, environments, codeCache, settings.sandbox.systemRoot)
        return try await cpu.run {
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
            try environments.prepare()
            try codeCache.prepare()
            AuthorRuntime.removeOrphans(below: root)
            return try AuthorRuntime.install(
                from: source,
                below: root,
                pythons: pythons.map { $0.hostPath(systemRoot: systemRoot) }
            )
        }
    }

    func start() async throws {}

    func stop() async {
        let root = settings.root
        try? await cpu.run { AuthorRuntime.removeOwnCopy(below: root) }
    }
}
