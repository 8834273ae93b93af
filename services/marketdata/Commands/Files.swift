import FoundationEssentials
import Glibc

/// Files and folders named on the command line.
enum Files {
    /// The bytes of a file; nothing when it cannot be read.
    static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        var isWhole = true
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, filled in
            while filled < buffer.count {
                let count = Glibc.read(descriptor, buffer.baseAddress! + filled, buffer.count - filled)
                guard count > 0 else { break }
                filled += count
            }
            isWhole = filled == buffer.count
        }
        return isWhole ? bytes : nil
    }

    /// All files under a path in order of name; a file is itself.
    static func list(_ path: String) -> [String] {
        var isDirectory = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else { return [] }
        guard isDirectory else { return [path] }
        let names = (try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []
        return names.sorted().map { "\(path)/\($0)" }.filter { name in
            var isFolder = false
            return FileManager.default.fileExists(atPath: name, isDirectory: &isFolder) && !isFolder
        }
    }
}
