internal import Contracts
internal import FoundationEssentials
internal import Glibc

/// The system calls below a folder of blobs; all of them block.
struct BlobFiles: Sendable {
    /// A file that is being written beside its place.
    struct Draft {
        fileprivate let descriptor: Int32

        func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

        func write(_ bytes: UnsafeRawBufferPointer) throws {
            var rest = bytes
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if written < 0 && errno == EINTR { continue }
                guard written > 0 else { throw failure("write") }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
        }
    }

    private let folder: String

    init(folder: String) throws {
        self.folder = folder
        for path in [folder, folder + "/tmp", folder + "/locks"] { try Self.makeFolder(path) }
    }

    // MARK: Reading

    func contents(of digest: SHA256Digest) throws -> [UInt8]? {
        guard let status = try status(of: digest) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(status.bytes))
        do {
            _ = try Self.read(path(digest)) { bytes.append(contentsOf: $0) }
        } catch BlobError.system("open", ENOENT) {
            return nil
        }
        return bytes
    }

    /// Hands a blob to `body` piece by piece, unchecked; `false` if it is not there.
    func read(_ digest: SHA256Digest, _ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        do {
            _ = try Self.read(path(digest), body)
            return true
        } catch BlobError.system("open", ENOENT) {
            return false
        }
    }

    func status(of digest: SHA256Digest) throws -> BlobEntry? {
        try Self.status(of: path(digest)).map { BlobEntry(digest: digest, bytes: $0.bytes, refreshedAt: $0.changedAt) }
    }

    private static func status(of path: String) throws -> (bytes: Int64, changedAt: Timestamp)? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT { return nil }
            throw failure("stat")
        }
        let changedAt = Timestamp(microseconds: Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1_000)
        return (Int64(status.st_size), changedAt)
    }

    func list() throws -> [BlobEntry] {
        var entries: [BlobEntry] = []
        for prefix in try Self.names(in: folder) where prefix.utf8.count == 2 {
            for name in try Self.names(in: folder + "/" + prefix) {
                guard let digest = SHA256Digest(hex: name), let entry = try status(of: digest) else { continue }
                entries.append(entry)
            }
        }
        return entries
    }

    /// Hands a file to `body` piece by piece and gives its length.
    static func read(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Int64 {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open") }
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 262_144, alignment: 16)
        defer { buffer.deallocate() }
        var total: Int64 = 0
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure("read") }
            if count == 0 { return total }
            total += Int64(count)
            try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    // MARK: Writing

    /// Writes a blob beside its place, syncs it and moves it there; nothing is left when `body` throws or `unless` says so.
    func write(_ digest: SHA256Digest, unless spoiled: () -> Bool = { false }, _ body: (Draft) throws -> Void) throws {
        let draft = folder + "/tmp/" + UUID().uuidString
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw failure("open") }
        var isOpen = true
        do {
            try body(Draft(descriptor: descriptor))
            if spoiled() { throw BlobError.damaged(digest) }
            guard fsync(descriptor) == 0 else { throw failure("fsync") }
            isOpen = false
            guard close(descriptor) == 0 else { throw failure("close") }
            let parent = folder + "/" + digest.hex.prefix(2)
            try Self.makeFolder(parent)
            guard rename(draft, path(digest)) == 0 else { throw failure("rename") }
            try Self.sync(parent)
        } catch {
            if isOpen { close(descriptor) }
            unlink(draft)
            throw error
        }
    }

    /// Sets the time stamp to now; `false` if the blob is not there or not as long as it should be (then it has to be written).
    func refresh(_ digest: SHA256Digest, expecting length: Int64?) throws -> Bool {
        guard let status = try status(of: digest), length == nil || status.bytes == length else { return false }
        guard utimensat(AT_FDCWD, path(digest), nil, 0) == 0 else {
            if errno == ENOENT { return false }
            throw failure("utimensat")
        }
        return true
    }

    func remove(_ digest: SHA256Digest) throws -> Bool {
        guard unlink(path(digest)) == 0 else {
            if errno == ENOENT { return false }
            throw failure("unlink")
        }
        return true
    }

    /// Unlinks drafts that were last written to before `moment`; gives how many.
    func removeDrafts(before moment: Timestamp) throws -> Int {
        var removed = 0
        for name in try Self.names(in: folder + "/tmp") {
            let draft = folder + "/tmp/" + name
            guard let status = try Self.status(of: draft), status.changedAt < moment else { continue }
            guard unlink(draft) == 0 || errno == ENOENT else { throw failure("unlink") }
            removed += 1
        }
        return removed
    }

    /// Runs `body` while nobody else, in this or another process, writes or deletes blobs with the same first byte.
    func locked<Outcome>(_ digest: SHA256Digest, _ body: () throws -> Outcome) throws -> Outcome {
        let descriptor = open(folder + "/locks/" + digest.hex.prefix(2), O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw failure("open") }
        // Closing gives the lock up.
        defer { close(descriptor) }
        while flock(descriptor, LOCK_EX) != 0 { guard errno == EINTR else { throw failure("flock") } }
        return try body()
    }

    // MARK: Paths

    private func path(_ digest: SHA256Digest) -> String {
        let hex = digest.hex
        return "\(folder)/\(hex.prefix(2))/\(hex)"
    }

    private static func makeFolder(_ path: String) throws {
        if mkdir(path, 0o750) == 0 || errno == EEXIST { return }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try makeFolder(String(path[..<slash]))
            if mkdir(path, 0o750) == 0 || errno == EEXIST { return }
        }
        throw failure("mkdir")
    }

    private static func sync(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("fsync") }
    }

    private static func names(in path: String) throws -> [String] {
        guard let folder = opendir(path) else { throw failure("opendir") }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}

private func failure(_ call: String) -> BlobError { .system(call: call, errno: errno) }
