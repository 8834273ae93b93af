import Contracts
import Cryptography
import FoundationEssentials
import Glibc
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
}

/// Python environments by the hash of what is in them: resolved once, built once, mounted read-only.
///
/// Two steps with names of their own. *Resolving* turns a requirements file into a lock, a list of exact versions with the hashes of
/// their files; the lock is kept by the hash of the requirements. *Building* installs a lock; its key is the hash of lock, interpreter,
/// platform and flags, so two files that resolve to the same lock share an environment. Both run a trusted installer in a sandbox that
/// has the network and may write to the environments' folder, and both refuse source packages: their setup would be a stranger's code.
struct EnvironmentStore: Sendable {
    /// The installer's flags; part of the key, because other flags could install other files.
    static let flags = "target no-build require-hashes compile-bytecode 1"
    static let mountPoint = "/env"

    private let root: String
    private let cache: DiskCache
    private let uv: String?
    private let index: PackageIndex
    private let sandbox: Sandbox
    private let cpu: CPUPool

    /// A store below `root`; without `uv` only the plain interpreter can be used.
    init(root: String, capacityBytes: Int, uv: String?, index: PackageIndex, sandbox: Sandbox, cpu: CPUPool) {
        self.root = root
        self.uv = uv
        self.index = index
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

    /// The environment of these requirements for this interpreter; built if it is not there.
    func environment(for requirements: RequirementsFile, python: PythonInterpreter) async throws -> PythonEnvironment {
        let platform = "\(python.version) linux-\(Self.machine) \(Self.flags)"
        if requirements.requirements.isEmpty {
            return PythonEnvironment(sha256: SHA256.digest(utf8: "plain \(platform)"), python: python, packages: nil)
        }
        let lock = try await lock(of: requirements, python, platform)
        let key = SHA256.digest(utf8: "\(platform)\n\(lock)")
        let lease = try await cache.entry(key.hex) { folder in try await install(lock, python, into: folder) }
        return PythonEnvironment(sha256: key, python: python, packages: lease)
    }

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

    private func lock(of requirements: RequirementsFile, _ python: PythonInterpreter, _ platform: String) async throws -> String {
        let path = "\(root)/locks/\(SHA256.digest(utf8: "\(platform)\n\(requirements.text)").hex).txt"
        if let known = try await cpu.run({ Self.read(path) }) { return known }
        guard uv != nil else { throw Self.noInstaller }
        let work = try await workFolder()
        defer { FileTree.remove(work) }
        try await cpu.run { try Data(requirements.text.utf8).write(to: URL(filePath: work + "/requirements.in")) }
        let outcome = try await installer(
            ["pip", "compile", "/build/work/requirements.in", "-o", "/build/work/lock.txt", "--generate-hashes", "--no-header", "--no-annotate"],
            python,
            work: work
        )
        guard outcome.exitCode == 0, let lock = try await cpu.run({ Self.read(work + "/lock.txt") }) else {
            throw EnvironmentError.from(step: "resolving", outcome: outcome)
        }
        // Written whole or not at all; of two executors that resolved at once the first one's answer stays.
        return try await cpu.run {
            let temporary = "\(path).\(getpid())"
            try Data(lock.utf8).write(to: URL(filePath: temporary))
            if link(temporary, path) != 0, errno != EEXIST { throw SandboxError.system(call: "link", code: errno) }
            unlink(temporary)
            return Self.read(path) ?? lock
        }
    }

    // MARK: Building

    private func install(_ lock: String, _ python: PythonInterpreter, into folder: String) async throws {
        try await cpu.run {
            try Data(lock.utf8).write(to: URL(filePath: folder + "/lock.txt"))
            if let owner = builder, chown(folder, owner, owner) != 0 { throw SandboxError.system(call: "chown", code: errno) }
        }
        let outcome = try await installer(
            [
                "pip", "install", "-r", "/build/work/lock.txt", "--require-hashes", "--no-deps", "--target", "/build/work/site",
                "--compile-bytecode",
            ],
            python,
            work: folder
        )
        guard outcome.exitCode == 0 else { throw EnvironmentError.from(step: "installing", outcome: outcome) }
    }

    private func workFolder() async throws -> String {
        let folder = "\(root)/ready/tmp.\(getpid()).\(UUID().uuidString.prefix(8))"
        try await cpu.run {
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

    private func installer(_ arguments: [String], _ python: PythonInterpreter, work: String) async throws -> SandboxOutcome {
        guard let uv else { throw Self.noInstaller }
        // Work and downloads under one mount: a hard link from the one to the other cannot cross two mounts.
        var mounts = [SandboxMount(source: root, target: "/build-root", writable: true), SandboxMount(source: uv, target: "/opt/uv")]
        for file in ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"] where access(file, R_OK) == 0 {
            mounts.append(SandboxMount(source: file, target: file))
        }
        var environment = [
            "UV_CACHE_DIR": "/build-root/downloads", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1",
            "UV_LINK_MODE": "hardlink",
        ].merging(index.proxies) { $1 }
        if let certificates = index.certificates {
            mounts.append(SandboxMount(source: certificates, target: "/etc/certificates.pem"))
            environment["SSL_CERT_FILE"] = "/etc/certificates.pem"
        }
        if let url = index.url { environment["UV_DEFAULT_INDEX"] = url }
        if !index.extraURLs.isEmpty { environment["UV_INDEX"] = index.extraURLs.joined(separator: " ") }
        let inside = "/build-root" + work.dropFirst(root.count)
        var limits = SandboxLimits.of(.standard, wallTime: .seconds(600))
        limits.processes = 256
        limits.temporaryBytes = 2 << 30
        limits.openFiles = 4096
        let command = SandboxCommand(
            // Said as a flag: the variable of the same name is not heard by every command, and then a source package's setup would run.
            arguments: ["/opt/uv"] + arguments.map { $0.hasPrefix("/build/work") ? inside + $0.dropFirst("/build/work".count) : $0 } + [
                "--no-build", "--python", python.path,
            ],
            mounts: mounts,
            environment: environment,
            purpose: .build(userID: try await cpu.run { builder }),
            limits: limits
        )
        return try await sandbox.run(command)
    }
}
