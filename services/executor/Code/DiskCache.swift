import FoundationEssentials
import Glibc
import ServiceRuntime
import Synchronization

/// Folders by key, made once, read-only, removed by least use when they grow beyond a bound, and shared between executors on one disk.
///
/// A file in `locks/` stands for each key: whoever uses the folder holds a shared lock on it, whoever makes or removes the folder an
/// exclusive one. Its content is the folder's size and its time the last use, so that a restart knows both.
final class DiskCache: Sendable {
    private let root: String
    private let capacityBytes: Int
    private let cpu: CPUPool

    /// A cache below `root`, at most `capacityBytes` large apart from what is in use.
    init(root: String, capacityBytes: Int, cpu: CPUPool) {
        self.root = root
        self.capacityBytes = capacityBytes
        self.cpu = cpu
    }

    /// A folder of the cache that stays while this lives.
    final class Lease: Sendable {
        /// The folder.
        let folder: String
        fileprivate let lock: Int32

        fileprivate init(folder: String, lock: Int32) {
            self.folder = folder
            self.lock = lock
        }

        deinit { close(lock) }
    }

    /// Makes the folders and removes what a crash left behind. Blocks.
    func prepare() throws {
        try FileManager.default.createDirectory(atPath: root + "/locks", withIntermediateDirectories: true)
        _ = chmod(root, 0o755)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [] where name.hasPrefix("tmp.") {
            guard let pid = pid_t(name.split(separator: ".").dropFirst().first ?? ""), pid == getpid() || kill(pid, 0) != 0 && errno == ESRCH else {
                continue
            }
            FileTree.remove("\(root)/\(name)")
        }
    }

    /// The folder of a key, made by `build` in a temporary folder if it is not there. One build of a key runs at a time on this disk.
    func entry(_ key: String, build: (String) async throws -> Void) async throws -> Lease {
        while true {
            switch try await cpu.run(lane: FileTree.lane, { [self] in try open(key) }) {
            case .ready(let lease): return lease
            case .toBuild(let lease):
                // The lease owns the lock from here on: whatever is thrown, the lock goes with it.
                try await fill(key, lease.lock, build)
                return lease
            case .busy: try await Task.sleep(for: .milliseconds(50), clock: .continuous)
            }
        }
    }

    /// The folder of a key if it has been made.
    func known(_ key: String) async throws -> Lease? {
        try await cpu.run(lane: FileTree.lane) { [self] in
            guard access(path(key), F_OK) == 0, case .ready(let lease) = try open(key) else { return nil }
            return lease
        }
    }

    private enum Opened {
        case ready(Lease)
        case toBuild(Lease)
        case busy
    }

    private func path(_ key: String) -> String { "\(root)/\(key)" }

    private func open(_ key: String) throws -> Opened {
        let lock = Glibc.open("\(root)/locks/\(key)", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard lock >= 0 else { throw SandboxError.system(call: "open cache lock", code: errno) }
        // One that was removed before it was locked stands for nothing.
        if flock(lock, LOCK_SH | LOCK_NB) == 0, Self.isThere(lock) {
            if access(path(key), F_OK) == 0 {
                futimens(lock, nil)
                return .ready(Lease(folder: path(key), lock: lock))
            }
            if flock(lock, LOCK_EX | LOCK_NB) == 0, Self.isThere(lock) {
                // Changing a lock's kind lets others in between: it may have been made meanwhile.
                if access(path(key), F_OK) != 0 { return .toBuild(Lease(folder: path(key), lock: lock)) }
                flock(lock, LOCK_SH)
                return .ready(Lease(folder: path(key), lock: lock))
            }
        }
        close(lock)
        return .busy
    }

    private static func isThere(_ lock: Int32) -> Bool {
        var found = stat()
        return fstat(lock, &found) == 0 && found.st_nlink > 0
    }

    private func fill(_ key: String, _ lock: Int32, _ build: (String) async throws -> Void) async throws {
        let temporary = "\(root)/tmp.\(getpid()).\(UUID().uuidString.prefix(8))"
        do {
            try await cpu.run(lane: FileTree.lane) { try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: false) }
            try await build(temporary)
            let final = path(key)
            try await cpu.run(lane: FileTree.lane) {
                try FileTree.makeReadable(temporary)
                let size = FileTree.size(temporary)
                FileTree.flush(temporary)
                guard rename(temporary, final) == 0 else { throw SandboxError.system(call: "rename", code: errno) }
                let text = Array("\(size)".utf8)
                ftruncate(lock, 0)
                pwrite(lock, text, text.count, 0)
                flock(lock, LOCK_SH)
            }
        } catch {
            // Not awaited with the pool's help when it is stopping: the next start sweeps what is left.
            try? await cpu.run(lane: FileTree.lane) { FileTree.remove(temporary) }
            throw error
        }
        // A cache that stays too large for a while is no reason to refuse what was made.
        try? await cpu.run(lane: FileTree.lane) { [self] in evict() }
    }

    /// Removes the longest unused folders until the rest fits; those in use stay.
    private func evict() {
        var entries: [(key: String, size: Int, usedAt: timespec)] = []
        for key in (try? FileManager.default.contentsOfDirectory(atPath: root + "/locks")) ?? [] {
            guard access(path(key), F_OK) == 0 else {
                removeLock(key)
                continue
            }
            var found = stat()
            guard stat("\(root)/locks/\(key)", &found) == 0 else { continue }
            let text = FileManager.default.contents(atPath: "\(root)/locks/\(key)").map { String(decoding: $0, as: UTF8.self) } ?? ""
            entries.append((key, Int(text) ?? 0, found.st_mtim))
        }
        var total = entries.reduce(0) { $0 + $1.size }
        entries.sort { ($0.usedAt.tv_sec, $0.usedAt.tv_nsec) < ($1.usedAt.tv_sec, $1.usedAt.tv_nsec) }
        for entry in entries {
            if total <= capacityBytes { return }
            let lock = Glibc.open("\(root)/locks/\(entry.key)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
            guard lock >= 0 else { continue }
            defer { close(lock) }
            guard flock(lock, LOCK_EX | LOCK_NB) == 0, Self.isThere(lock) else { continue }
            FileTree.remove(path(entry.key))
            unlink("\(root)/locks/\(entry.key)")
            total -= entry.size
        }
    }

    /// Removes the lock of a folder that is not there, unless somebody makes it now.
    private func removeLock(_ key: String) {
        let lock = Glibc.open("\(root)/locks/\(key)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard lock >= 0 else { return }
        defer { close(lock) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0, access(path(key), F_OK) != 0, Self.isThere(lock) else { return }
        unlink("\(root)/locks/\(key)")
    }
}
