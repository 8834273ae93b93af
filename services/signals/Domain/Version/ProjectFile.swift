import Contracts

/// One file of a version: a path inside the project and what is in it, by hash.
struct ProjectFile: Sendable, Hashable, Codable {
    /// Relative, with `/` between the parts.
    var path: String
    var sha256: SHA256Digest
    /// Length of the file.
    var bytes: Int

    /// The three files that the platform itself reads.
    static let program = "app.py"
    static let requirements = "requirements.txt"
    static let manifest = "auspex.toml"
}

/// What is wrong with something a provider uploaded, told in terms of the provider's own file.
struct UploadProblem: Error, Sendable, Hashable {
    /// Stable word for programs.
    var code: String
    /// Where: a file, or a key inside the manifest (`auspex.toml: output.kind`).
    var field: String
    /// What is wrong and what would be right.
    var message: String
}

/// How large a project may be.
enum ProjectLimits {
    static let totalBytes = 200 * 1024 * 1024
    /// The list of files travels inside an event, which has at most 64 KiB.
    static let files = 100
    static let pathBytes = 200
    static let partBytes = 8 * 1024 * 1024
    /// Files that the platform reads as text are small.
    static let textBytes = 256 * 1024
    /// So many faults of one file are told at once.
    static let problems = 50
}

/// The rules for a set of uploaded files as a whole.
enum ProjectRules {
    /// Every fault of the set; none when it may become a version.
    static func problems(in files: [ProjectFile]) -> [UploadProblem] {
        var problems: [UploadProblem] = []
        var seen: Set<String> = []
        let paths = Set(files.map { $0.path.lowercased() })
        for file in files {
            if let fault = pathFault(file.path) {
                problems.append(UploadProblem(code: "bad_path", field: file.path, message: fault))
            } else if !seen.insert(file.path.lowercased()).inserted {
                problems.append(UploadProblem(code: "duplicate_path", field: file.path, message: "this path, letter case apart, is there twice"))
            }
            if let folder = folders(of: file.path).first(where: { paths.contains($0) }) {
                let fault = "'\(folder)' is a file as well as a folder, letter case apart"
                problems.append(UploadProblem(code: "bad_path", field: file.path, message: fault))
            }
            if [ProjectFile.requirements, ProjectFile.manifest].contains(file.path), file.bytes > ProjectLimits.textBytes {
                problems.append(UploadProblem(code: "file_too_large", field: file.path, message: "at most \(ProjectLimits.textBytes) bytes"))
            }
        }
        for name in [ProjectFile.program, ProjectFile.manifest] where !files.contains(where: { $0.path == name }) {
            problems.append(UploadProblem(code: "missing_file", field: name, message: "a version needs the file \(name)"))
        }
        if files.count > ProjectLimits.files {
            problems.append(UploadProblem(code: "too_many_files", field: "files", message: "at most \(ProjectLimits.files) files"))
        }
        if files.reduce(0, { $0 + $1.bytes }) > ProjectLimits.totalBytes {
            problems.append(UploadProblem(code: "project_too_large", field: "files", message: "at most \(ProjectLimits.totalBytes) bytes in all"))
        }
        return problems
    }

    /// The folders above a path, in small letters.
    private static func folders(of path: String) -> [String] {
        let parts = path.lowercased().split(separator: "/")
        return (1..<max(1, parts.count)).map { parts[..<$0].joined(separator: "/") }
    }

    /// Why a path is not allowed; the sandbox mounts files by their paths, so nothing may lead out of the folder.
    static func pathFault(_ path: String) -> String? {
        if path.isEmpty || path.utf8.count > ProjectLimits.pathBytes { return "a path has 1 to \(ProjectLimits.pathBytes) characters" }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count > 12 { return "at most 12 folders deep" }
        for part in parts {
            guard let first = part.utf8.first else { return "a path is relative and has no empty part" }
            if first == UInt8(ascii: ".") || first == UInt8(ascii: "-") { return "no part of a path begins with a dot or a dash" }
            let plain = part.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
                default: false
                }
            }
            if !plain { return "a path is made of letters, digits, '_', '-', '.' and '/'" }
        }
        return nil
    }

    /// Why the manifest's entry point cannot be found among the files.
    static func entryPointProblem(_ entryPoint: String, in files: [ProjectFile]) -> UploadProblem? {
        let module = entryPoint.prefix { $0 != ":" }.split(separator: ".").joined(separator: "/")
        let candidates = ["\(module).py", "\(module)/__init__.py"]
        if files.contains(where: { candidates.contains($0.path) }) { return nil }
        return UploadProblem(
            code: "bad_manifest",
            field: "\(ProjectFile.manifest): entry_point",
            message: "the module is not among the files: \(candidates[0])"
        )
    }
}
