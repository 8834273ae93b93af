import FoundationEssentials

/// Files and folders named on the command line.
enum Files {
    /// The bytes of a file; nothing when it cannot be read.
    static func read(_ path: String) -> [UInt8]? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return Array(data)
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
