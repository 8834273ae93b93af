internal import CSandbox
import FoundationEssentials
import Glibc
import ServiceRuntime

/// What the executor does with whole folders. Every call blocks: for a thread that may.
enum FileTree {
    /// Work on folders waits for the disk: it leaves some of the pool's threads to those who start runs, and has a queue of its own.
    static let lane = CPULane(name: "files", maximumConcurrent: max(1, CPULane.processors / 2), maximumQueued: 4096)

    /// Lets every user read the folder and everything below it, and nobody write.
    static func makeReadable(_ folder: String) throws {
        try visit(folder) { path, isFolder in
            let wanted: mode_t = isFolder || access(path, X_OK) == 0 && isExecutable(path) ? 0o555 : 0o444
            guard chmod(path, wanted) == 0 else { throw SandboxError.system(call: "chmod", code: errno) }
        }
    }

    /// The bytes of all files below a folder; hard links count once for each name.
    static func size(_ folder: String) -> Int {
        var total = 0
        try? visit(folder) { path, isFolder in
            var found = stat()
            if !isFolder, lstat(path, &found) == 0 { total += Int(found.st_size) }
        }
        return total
    }

    /// Removes a folder, also one whose folders are read-only.
    static func remove(_ folder: String) {
        try? visit(folder) { path, isFolder in if isFolder { _ = chmod(path, 0o755) } }
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Makes everything below `folder` survive a crash, before a rename that makes it count.
    static func flush(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = syncfs(descriptor)
        close(descriptor)
    }

    private static func isExecutable(_ path: String) -> Bool {
        var found = stat()
        return stat(path, &found) == 0 && found.st_mode & 0o111 != 0
    }

    /// Calls `body` for the folder and everything below it, without following links, and not for links themselves.
    private static func visit(_ path: String, _ body: (String, Bool) throws -> Void) throws {
        var found = stat()
        guard lstat(path, &found) == 0 else { throw SandboxError.system(call: "lstat \(path)", code: errno) }
        switch found.st_mode & S_IFMT {
        case S_IFDIR:
            try body(path, true)
            for name in try FileManager.default.contentsOfDirectory(atPath: path) { try visit("\(path)/\(name)", body) }
        case S_IFREG: try body(path, false)
        default: break
        }
    }
}
