import Contracts
import Cryptography
import FoundationEssentials
import Glibc
import ServiceRuntime

/// Why an author's files cannot be used.
enum CodeError: Error, Sendable, CustomStringConvertible {
    /// A path leads out of its folder or is no path.
    case badPath(String)
    /// The blob store gave other bytes than the hash promises.
    case wrongBytes(String)
    /// All files together are too large.
    case tooLarge(Int64)

    /// In a line.
    var description: String {
        switch self {
        case .badPath(let path): "the file name '\(path.prefix(utf8Bytes: 100))' is not a plain relative path"
        case .wrongBytes(let path): "the bytes of '\(path.prefix(utf8Bytes: 100))' do not match their hash"
        case .tooLarge(let bytes): "the files have \(bytes) bytes together, but may have \(CodeTree.maximumBytes)"
        }
    }
}

/// The files of one version of a signal as a read-only folder, fetched by hash and kept by hash.
struct CodeTree: Sendable {
    static let maximumBytes: Int64 = 200 << 20

    private let cache: DiskCache
    private let cpu: CPUPool

    /// Trees in the given cache.
    init(cache: DiskCache, cpu: CPUPool) {
        self.cache = cache
        self.cpu = cpu
    }

    /// The folder of exactly these files; `fetch` gives the bytes of a hash that is not here yet.
    func folder(of files: [CodeFile], fetch: @escaping @Sendable (SHA256Digest) async throws -> [UInt8]) async throws -> DiskCache.Lease {
        for file in files where !Self.isPlain(file.path) { throw CodeError.badPath(file.path) }
        if let path = Self.collision(among: files.map(\.path)) { throw CodeError.badPath(path) }
        let total = files.reduce(0) { $0 + max(0, $1.bytes) }
        if total > Self.maximumBytes { throw CodeError.tooLarge(total) }
        let cpu = cpu
        return try await cache.entry(Self.key(files)) { folder in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for file in files {
                    group.addTask {
                        let bytes = try await fetch(file.sha256)
                        try await cpu.run(lane: FileTree.lane) { try Self.write(bytes, file, into: folder) }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    /// Two versions with the same files share a folder, whatever their manifests say.
    static func key(_ files: [CodeFile]) -> String {
        var hasher = SHA256.Hasher()
        for file in files.sorted(by: { $0.path < $1.path }) { hasher.update(Array("\(file.path)\0\(file.sha256.hex)\n".utf8)) }
        return hasher.finalize().hex
    }

    /// Relative, without empty parts, `.`, `..`, control characters, or anything hidden.
    static func isPlain(_ path: String) -> Bool {
        guard !path.isEmpty, path.utf8.count <= 255, path.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 && $0 != "\\" }) else {
            return false
        }
        return path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && $0.first != "." }
    }

    /// A path that is there twice, letter case apart, or is the folder of another: a file system could hold only one of the two.
    static func collision(among paths: [String]) -> String? {
        var seen: Set<String> = []
        for path in paths where !seen.insert(path.lowercased()).inserted { return path }
        for path in paths {
            var folder = path.lowercased()[...]
            while let slash = folder.lastIndex(of: "/") {
                folder = folder[..<slash]
                if seen.contains(String(folder)) { return path }
            }
        }
        return nil
    }

    private static func write(_ bytes: [UInt8], _ file: CodeFile, into folder: String) throws {
        guard Int64(bytes.count) == file.bytes, SHA256.digest(bytes) == file.sha256 else { throw CodeError.wrongBytes(file.path) }
        let path = "\(folder)/\(file.path)"
        if let slash = file.path.lastIndex(of: "/") {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(file.path[..<slash])", withIntermediateDirectories: true)
        }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw errno == EEXIST ? CodeError.badPath(file.path) : SandboxError.system(call: "open", code: errno) }
        defer { close(descriptor) }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, bytes.count - done) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SandboxError.system(call: "write", code: errno) }
            done += count
        }
    }
}
