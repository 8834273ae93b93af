import Contracts
import Cryptography
import FoundationEssentials
import Glibc
import Requirements
import ServiceRuntime
import Synchronization

/// A Python environment that stays while this lives.
struct PythonEnvironment: Sendable {
    /// Names the exact set of packages, interpreter and platform.
    var sha256: SHA256Digest
    /// The interpreter.
    var python: PythonInterpreter
    /// The folder of installed packages to mount at `/env`; nil for the plain interpreter.
    var packages: DiskCache.Lease?
    /// What the installer said, when it was made for whoever asked.
    var buildLog: String?
}

/// Where the lock of a version lies for all executors and for good: the first one that was kept counts.
struct VersionLock: Sendable {
    /// Names the version among all.
    var name: String
    /// The lock that was kept for a series of Python on a platform.
    var find: @Sendable (_ platform: String) async throws -> String?
    /// Keeps a lock unless there is one; gives the one that counts.
    var keep: @Sendable (_ platform: String, _ lock: String) async throws -> String
}

/// Python environments by the hash of what is in them: resolved once, built once, mounted read-only.
///
/// Two steps with names of their own. *Resolving* turns a requirements file into a lock, a list of exact versions with the hashes of
/// their files. It happens once for a version of a signal: the lock is kept with the version, and every executor builds what it says, for ever.
/// *Building* installs a lock; its key is the hash of lock, interpreter, platform and flags, so two versions with the same lock share an
/// environment. Both run a trusted installer in a sandbox that reaches the package index and nothing else (``PackageProxy``), and may write
/// to the environments' folder; both refuse source packages: their setup would be a stranger's code.
struct EnvironmentStore: Sendable {
    /// The installer's flags; part of the key, because other flags could install other files.
    static let flags = "target no-build require-hashes compile-bytecode 1"
    static let mountPoint = "/env"
    /// All together bound how long one author's requirements can keep others waiting for theirs.
    static let resolvingLimit = Duration.seconds(120)
    static let installingLimit = Duration.seconds(300)
    static let compilingLimit = Duration.seconds(180)

    private let root: String
    private let cache: DiskCache
    private let uv: String?
    private let index: PackageIndex
    private let sandbox: Sandbox
    private let cpu: CPUPool
    private let flights: EnvironmentFlights
    private let discovery: IndexDiscovery
    private let secrets: IndexSecrets
    private let downloads: DownloadFolder
    private let builds: BuildCapacity

    /// A store below `root`; without `uv` only the plain interpreter can be used.
    init(
        root: String,
        capacityBytes: Int,
        uv: String?,
        index: PackageIndex,
        sandbox: Sandbox,
        cpu: CPUPool,
        builds: BuildCapacity = BuildCapacity()
    ) {
        let downloads = DownloadFolder(root: root, capacityBytes: capacityBytes, cpu: cpu)
        flights = EnvironmentFlights(width: builds.atOnce, loop: sandbox.firstLoop) { await downloads.prune() }
        self.downloads = downloads
        self.builds = builds
        self.root = root
        self.uv = uv
        self.index = index
        discovery = IndexDiscovery(
            index: index,
            installerHelp: { try await Self.help(of: uv, in: sandbox, limits: builds.limits(.seconds(30))) },
            page: IndexDiscovery.asking(index, on: sandbox.firstLoop)
        )
        secrets = IndexSecrets(index)
        self.sandbox = sandbox
        self.cpu = cpu
        cache = DiskCache(root: root + "/ready", capacityBytes: capacityBytes, cpu: cpu)
    }

    /// Makes the folders. Blocks.
    func prepare() throws {
        for folder in [root, root + "/ready", root + "/locks", root + "/downloads"] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            _ = chmod(folder, 0o755)
        }
        // Executors may share the folder: whoever came first decided whose the downloads are.
        if let first = sandbox.host.firstUserID, builder == nil { _ = chown(root + "/downloads", first, first) }
        try cache.prepare()
    }

    /// The user that builds: the owner of the downloads; nil when the executor is not root or nothing has been prepared. Blocks.
    private var builder: UInt32? {
        var found = stat()
        guard sandbox.host.firstUserID != nil, stat(root + "/downloads", &found) == 0, found.st_uid != 0 else { return nil }
        return found.st_uid
    }

    /// The environment of these requirements for this interpreter; built if it is not there, and waited for no longer than `limit`.
    ///
    /// - Parameters:
    ///   - account: in whose turn it is built.
    ///   - onLog: hears what the build says, if there is one.
    func environment(
        for requirements: RequirementsFile,
        python: PythonInterpreter,
        version: VersionLock? = nil,
        account: String? = nil,
        within limit: Duration = .seconds(600),
        onLog: BuildLog.Listener? = nil
    ) async throws -> PythonEnvironment {
        let platform = Self.platform(python)
        if requirements.requirements.isEmpty {
            return PythonEnvironment(sha256: SHA256.digest(utf8: "plain \(platform)"), python: python, packages: nil)
        }
        // What is here already waits for nobody's build.
        let name = Self.lockName(requirements, python, version)
        if let ready = try await ready(name, python, platform) { return ready }
        let log = BuildLog(secrets: secrets)
        return try await flights.environment("\(name) \(python.version)", account: account, within: limit, log: log, onLog: onLog) { [self] log in
            do {
                let lock = try await lock(of: requirements, python, version, log)
                return try await build(lock, python, log)
            } catch var error as EnvironmentError {
                (error.log, error.isLogTruncated) = (log.text, log.isTruncated)
                throw error
            }
        }
    }

    /// The environment of a lock that ships with the executor, with the hashes of what may be installed.
    func environment(
        lock: String,
        python: PythonInterpreter,
        account: String? = nil,
        within limit: Duration = .seconds(600)
    ) async throws -> PythonEnvironment {
        let key = Self.key(lock, Self.platform(python))
        if let lease = try await cache.known(key.hex) { return PythonEnvironment(sha256: key, python: python, packages: lease) }
        return try await flights.environment(key.hex, account: account, within: limit, log: BuildLog(secrets: secrets)) { [self] log in
            log.noteKeptLock()
            return try await build(lock, python, log)
        }
    }

    private func build(_ lock: String, _ python: PythonInterpreter, _ log: BuildLog) async throws -> PythonEnvironment {
        let key = Self.key(lock, Self.platform(python))
        let lease = try await cache.entry(key.hex) { folder in try await install(lock, python, into: folder, log) }
        return PythonEnvironment(sha256: key, python: python, packages: lease, buildLog: log.text.isEmpty ? nil : log.text)
    }

    private static func platform(_ python: PythonInterpreter) -> String { "\(python.version) linux-\(machine) \(flags)" }

    /// What a lock is for: other builds of the same series on the same kind of machine install the same files.
    static func lockPlatform(_ python: PythonInterpreter) -> String { "\(python.series)-linux-\(machine)" }

    private func ready(_ name: String, _ python: PythonInterpreter, _ platform: String) async throws -> PythonEnvironment? {
        let path = lockPath(name)
        guard let lock = try await cpu.run(lane: FileTree.lane, { Self.read(path) }) else { return nil }
        let key = Self.key(lock, platform)
        return try await cache.known(key.hex).map { PythonEnvironment(sha256: key, python: python, packages: $0) }
    }

    private static func key(_ lock: String, _ platform: String) -> SHA256Digest { SHA256.digest(utf8: "\(platform)\n\(lock)") }

    private static func lockName(_ requirements: RequirementsFile, _ python: PythonInterpreter, _ version: VersionLock?) -> String {
        SHA256.digest(utf8: "\(lockPlatform(python))\n\(version?.name ?? "")\n\(requirements.text)").hex
    }

    private func lockPath(_ name: String) -> String { "\(root)/locks/\(name).txt" }

    private static let machine: String = {
        var names = utsname()
        uname(&names)
        return withUnsafeBytes(of: names.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }()

    private static let noInstaller = EnvironmentError(
        kind: .infra,
        reason: "this executor has no uv and cannot install packages: AUSPEX_UV names it"
    )

    // MARK: Resolving

    /// The lock of a version: the one on this disk, the one that was kept for it, or a new one.
    private func lock(
        of requirements: RequirementsFile,
        _ python: PythonInterpreter,
        _ version: VersionLock?,
        _ log: BuildLog
    ) async throws -> String {
        let path = lockPath(Self.lockName(requirements, python, version))
        if let known = try await cpu.run(lane: FileTree.lane, { Self.read(path) }) {
            if version != nil { log.noteKeptLock() }
            return known
        }
        guard let version else { return try await store(try await resolve(requirements, python, log), at: path) }
        let platform = Self.lockPlatform(python)
        if let kept = try await version.find(platform) {
            log.noteKeptLock()
            return try await store(kept, at: path)
        }
        // What the same requirements were resolved to on this disk is as good an answer as a new one, and costs nothing.
        let lock = try await lock(of: requirements, python, nil, log)
        return try await store(try await version.keep(platform, lock), at: path)
    }

    /// Writes a lock whole or not at all; of two executors that resolved at once the first one's stays.
    private func store(_ lock: String, at path: String) async throws -> String {
        try await cpu.run(lane: FileTree.lane) {
            let temporary = "\(path).\(getpid()).\(UUID().uuidString.prefix(8))"
            defer { unlink(temporary) }
            try Data(lock.utf8).write(to: URL(filePath: temporary))
            if link(temporary, path) != 0, errno != EEXIST { throw SandboxError.system(call: "link", code: errno) }
            return Self.read(path) ?? lock
        }
    }

    private func resolve(_ requirements: RequirementsFile, _ python: PythonInterpreter, _ log: BuildLog) async throws -> String {
        guard uv != nil else { throw Self.noInstaller }
        let use = try await downloads.use()
        defer { withExtendedLifetime(use) {} }
        let work = try await workFolder()
        do {
            let lock = try await resolve(requirements, python, work: work, log)
            try? await cpu.run(lane: FileTree.lane) { FileTree.remove(work) }
            return lock
        } catch {
            try? await cpu.run(lane: FileTree.lane) { FileTree.remove(work) }
            throw error
        }
    }

    private func resolve(_ requirements: RequirementsFile, _ python: PythonInterpreter, work: String, _ log: BuildLog) async throws -> String {
        try await cpu.run(lane: FileTree.lane) { try Data(requirements.text.utf8).write(to: URL(filePath: work + "/requirements.in")) }
        try await installer(
            .resolving,
            [
                "pip", "compile", "/build/work/requirements.in", "-o", "/build/work/lock.txt", "--generate-hashes", "--no-header", "--no-annotate",
                "--quiet",
            ],
            python,
            work: work,
            log
        )
        guard let lock = try await cpu.run(lane: FileTree.lane, { Self.read(work + "/lock.txt") }) else {
            throw EnvironmentError(kind: .infra, reason: "the installer wrote no lock")
        }
        return lock
    }

    // MARK: Building

    private func install(_ lock: String, _ python: PythonInterpreter, into folder: String, _ log: BuildLog) async throws {
        guard uv != nil else { throw Self.noInstaller }
        let use = try await downloads.use()
        defer { withExtendedLifetime(use) {} }
        try await cpu.run(lane: FileTree.lane) {
            try Data(lock.utf8).write(to: URL(filePath: folder + "/lock.txt"))
            if let owner = builder, chown(folder, owner, owner) != 0 { throw SandboxError.system(call: "chown", code: errno) }
        }
        try await installer(
            .installing,
            ["pip", "install", "-r", "/build/work/lock.txt", "--require-hashes", "--no-deps", "--target", "/build/work/site"],
            python,
            work: folder,
            log
        )
        try await compile(python, work: folder, log)
        let text = log.text
        try await cpu.run(lane: FileTree.lane) { try Data(text.utf8).write(to: URL(filePath: folder + "/build.log")) }
    }

    private func workFolder() async throws -> String {
        let folder = "\(root)/ready/tmp.\(getpid()).\(UUID().uuidString.prefix(8))"
        try await cpu.run(lane: FileTree.lane) {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            if let owner = builder, chown(folder, owner, owner) != 0 { throw SandboxError.system(call: "chown", code: errno) }
        }
        return folder
    }

    /// A regular file of bounded size, without following a link that somebody could have put there.
    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var found = stat()
        guard fstat(descriptor, &found) == 0, found.st_mode & S_IFMT == S_IFREG, found.st_size <= 4 << 20 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(found.st_size))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + done, $0.count - done) }
            guard count > 0 else { return nil }
            done += count
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The two steps of a build.
    enum Step: String {
        case resolving, installing, compiling

        var limit: Duration {
            switch self {
            case .resolving: EnvironmentStore.resolvingLimit
            case .installing: EnvironmentStore.installingLimit
            case .compiling: EnvironmentStore.compilingLimit
            }
        }
    }

    /// Runs uv in the build sandbox; throws with the reason when it did not succeed.
    private func installer(_ step: Step, _ arguments: [String], _ python: PythonInterpreter, work: String, _ log: BuildLog) async throws {
        guard let uv else { throw Self.noInstaller }
        // Work and downloads under one mount: a hard link from the one to the other cannot cross two mounts.
        var mounts = [SandboxMount(source: root, target: "/build-root", writable: true), SandboxMount(source: uv, target: "/opt/uv")] + python.mounts
        var environment = [
            "UV_CACHE_DIR": "/build-root/downloads", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1",
            "UV_LINK_MODE": "hardlink", "HTTP_PROXY": BuildDoor.address, "HTTPS_PROXY": BuildDoor.address,
        ]
        if let certificates = index.certificates {
            mounts.append(SandboxMount(source: certificates, target: "/etc/certificates.pem"))
            environment["SSL_CERT_FILE"] = "/etc/certificates.pem"
        }
        if let url = index.url { environment["UV_DEFAULT_INDEX"] = url }
        if !index.extraURLs.isEmpty { environment["UV_INDEX"] = index.extraURLs.joined(separator: " ") }
        let inside = "/build-root" + work.dropFirst(root.count)
        let routes = try await discovery.routes()
        let door = try BuildDoor()
        let command = SandboxCommand(
            // Said as a flag: the variable of the same name is not heard by every command, and then a source package's setup would run.
            arguments: BuildDoor.launch + ["/opt/uv"]
                + arguments.map { $0.hasPrefix("/build/work") ? inside + $0.dropFirst("/build/work".count) : $0 } + [
                    "--no-build", "--python", python.path,
                ],
            mounts: mounts,
            environment: environment,
            door: door,
            purpose: .build(userID: try await cpu.run(lane: FileTree.lane) { builder }),
            limits: builds.limits(step.limit)
        )
        let proxy = PackageProxy(routes: routes, loop: sandbox.firstLoop)
        await proxy.serve(door)
        let result: Result<SandboxOutcome, any Error>
        do { result = .success(try await run(step, command, work, log)) } catch { result = .failure(error) }
        let (refused, unreached) = await (proxy.refused, proxy.unreached)
        await proxy.close()
        let outcome = try result.get()
        guard outcome.exitCode == 0 else {
            throw EnvironmentError.from(step: step.rawValue, outcome: outcome, secrets: secrets, refused: refused, unreached: unreached)
        }
    }

    /// What the installer says of its options.
    private static func help(of uv: String?, in sandbox: Sandbox, limits: SandboxLimits) async throws -> String {
        guard let uv else { throw noInstaller }
        let mounts = [SandboxMount(source: uv, target: "/opt/uv")]
        return try await sandbox.run(SandboxCommand(arguments: ["/opt/uv", "pip", "compile", "--help"], mounts: mounts, limits: limits)).log.text
    }

    /// Compiles what was installed, in a build sandbox without any way out.
    private func compile(_ python: PythonInterpreter, work: String, _ log: BuildLog) async throws {
        let site = "/build-root" + work.dropFirst(root.count) + "/site"
        let limits = builds.limits(Step.compiling.limit)
        let command = SandboxCommand(
            arguments: [python.path, "-ISB", "-c", ByteCode.program, "/build-root/downloads", site, "\(max(1, limits.cpuThousandths / 1000))"],
            mounts: [SandboxMount(source: root, target: "/build-root", writable: true)] + python.mounts,
            purpose: .build(userID: try await cpu.run(lane: FileTree.lane) { builder }),
            limits: limits
        )
        let outcome = try await run(.compiling, command, work, log)
        guard outcome.exitCode == 0 else { throw EnvironmentError.from(step: Step.compiling.rawValue, outcome: outcome, secrets: secrets) }
    }

    /// Runs a step within its bounds; the log hears what it says while it says it.
    private func run(_ step: Step, _ command: SandboxCommand, _ work: String, _ log: BuildLog) async throws -> SandboxOutcome {
        defer { log.endStep() }
        return try await downloads.bounded(work, step.rawValue) { [sandbox] in try await sandbox.run(command) { log.append($0) } }
    }
}
