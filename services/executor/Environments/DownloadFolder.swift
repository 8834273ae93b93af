import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime
import Synchronization

/// The installer's downloads, which all builds on this disk share, and what they may take of it.
///
/// A build may fill the disk by many small files as well as by a large one, so what it writes is looked at while it runs. What all have left here
/// is thrown away when it outgrows the bound of environments and nobody builds: it can be fetched again, and what is linked from an
/// environment stays there.
final class DownloadFolder: Sendable {
    private static let lookInterval = Duration.milliseconds(500)
    private static let mostLocks = 10_000

    let path: String
    private let root: String
    private let capacityBytes: Int
    private let cpu: CPUPool
    private let users = Atomic(0)

    /// Below the environments' folder, whose bound is `capacityBytes`.
    init(root: String, capacityBytes: Int, cpu: CPUPool) {
        self.root = root
        path = root + "/downloads"
        self.capacityBytes = capacityBytes
        self.cpu = cpu
    }

    /// What one build may write. Its environment has to lie beside others.
    var buildBytes: Int { capacityBytes / 4 * 3 }

    /// While this lives nothing is thrown away.
    final class Use: Sendable {
        fileprivate let folder: DownloadFolder
        fileprivate let lock: Int32

        fileprivate init(folder: DownloadFolder, lock: Int32) {
            self.folder = folder
            self.lock = lock
            folder.users.add(1, ordering: .relaxed)
        }

        deinit {
            folder.users.subtract(1, ordering: .relaxed)
            close(lock)
        }
    }

    /// Keeps the downloads as long as a build needs them.
    func use() async throws -> Use {
        while true {
            if let lock = try await cpu.run(lane: FileTree.lane, { [self] in try lock(LOCK_SH) }) { return Use(folder: self, lock: lock) }
            try await Task.sleep(for: .milliseconds(50), clock: .continuous)
        }
    }

    /// A descriptor with the lock, which closing gives back; nil when others have it.
    private func lock(_ kind: Int32) throws(SandboxError) -> Int32? {
        let lock = open(root + "/downloads.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard lock >= 0 else { throw .system(call: "open lock of downloads", code: errno) }
        if flock(lock, kind | LOCK_NB) == 0 { return lock }
        close(lock)
        return nil
    }

    // MARK: What a build writes

    /// Runs a step of a build that works in `folder`, and ends it when it outgrows its bound.
    func bounded(_ folder: String, _ step: String, _ body: @escaping @Sendable () async throws -> SandboxOutcome) async throws -> SandboxOutcome {
        let before = try await cpu.run(lane: FileTree.lane) { [self] in Set(unpacked()) }
        let outcome = try await withThrowingTaskGroup(of: SandboxOutcome?.self) { group in
            group.addTask { try await body() }
            group.addTask { [self] in
                while true {
                    try await Task.sleep(for: Self.lookInterval, clock: .continuous)
                    if try await excess(folder, step, beside: before) != nil { return nil }
                }
            }
            var outcome = try await group.next() ?? nil
            group.cancelAll()
            // A step that is ended has an outcome all the same, a moment later: nothing may write when its folder is removed.
            if outcome == nil { outcome = try await group.next() ?? nil }
            return outcome
        }
        // Also when it was done between two looks.
        if let error = try await excess(folder, step, beside: before) { throw error }
        guard let outcome else { throw EnvironmentError(kind: .infra, reason: "requirements.txt: \(step) was ended") }
        return outcome
    }

    /// What is said of a build that has outgrown its bound; nil of one that has not.
    private func excess(_ folder: String, _ step: String, beside before: Set<String>) async throws -> EnvironmentError? {
        let most = buildBytes
        let (own, fetched) = try await cpu.run(lane: FileTree.lane) { [self] in
            let added = unpacked().filter { !before.contains($0) }
            return (Self.bytes(folder, most: most), added.reduce(0) { $0 + Self.bytes($1, most: most, countsLinked: false) })
        }
        guard own + fetched > most else { return nil }
        // What was fetched may be another's who builds at the same time; the next attempt may find itself alone.
        let isOurs = own <= most && users.load(ordering: .relaxed) > 1
        return EnvironmentError(
            kind: isOurs ? .infra : .exception,
            reason: "requirements.txt: \(step) took more than the \(most >> 20) MiB of disk that an environment may have; "
                + "fewer or smaller packages would be right"
        )
    }

    /// The folders of unpacked wheels, and those in which wheels are being unpacked.
    private func unpacked() -> [String] {
        let archive = path + "/archive-v0"
        let manager = FileManager.default
        return ((try? manager.contentsOfDirectory(atPath: archive)) ?? []).map { "\(archive)/\($0)" }
            + ((try? manager.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasPrefix(".tmp") }.map { "\(path)/\($0)" }
    }

    /// The bytes of all files below a folder, counted no further than beyond `most`; what disappears meanwhile counts for nothing.
    private static func bytes(_ path: String, most: Int, countsLinked: Bool = true) -> Int {
        var found = stat()
        guard lstat(path, &found) == 0 else { return 0 }
        if found.st_mode & S_IFMT == S_IFREG { return countsLinked || found.st_nlink == 1 ? Int(found.st_size) : 0 }
        guard found.st_mode & S_IFMT == S_IFDIR else { return 0 }
        var total = 0
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] where total <= most {
            total += bytes("\(path)/\(name)", most: most, countsLinked: countsLinked)
        }
        return total
    }

    // MARK: What all have left

    /// Throws the downloads away when they have outgrown the bound, and the oldest of very many locks. Does nothing while anybody builds.
    func prune() async {
        try? await cpu.run(lane: FileTree.lane) { [self] in
            pruneLocks()
            guard Self.bytes(path, most: capacityBytes) > capacityBytes, let lock = try lock(LOCK_EX) else { return }
            var found = stat()
            let isThere = stat(path, &found) == 0
            // Where the next start looks for what a crash left behind.
            let away = "\(root)/ready/tmp.\(getpid()).\(UUID().uuidString.prefix(8))"
            if isThere, rename(path, away) == 0 {
                mkdir(path, 0o755)
                chmod(path, 0o755)
                if geteuid() == 0 { _ = chown(path, found.st_uid, found.st_gid) }
            }
            close(lock)
            FileTree.remove(away)
        }
    }

    /// A lock that is gone is found with its version again, or resolved anew.
    private func pruneLocks() {
        let folder = root + "/locks"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        guard names.count > Self.mostLocks else { return }
        let byAge = names.map { name -> (name: String, second: Int) in
            var found = stat()
            return (name, stat("\(folder)/\(name)", &found) == 0 ? found.st_mtim.tv_sec : 0)
        }.sorted { $0.second < $1.second }
        for entry in byAge.prefix(names.count - Self.mostLocks / 2) { unlink("\(folder)/\(entry.name)") }
    }
}
