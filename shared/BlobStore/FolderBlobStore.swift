public import Contracts
internal import Cryptography
public import ServiceRuntime

/// Blobs as files of a folder, which several processes may share.
public struct FolderBlobStore: BlobStore {
    private let files: BlobFiles
    private let pool: CPUPool
    private let lane: CPULane

    /// How much file work runs at once; it waits for the disk rather than for a core.
    public static let lane = CPULane(name: "blobs", maximumConcurrent: max(2, CPULane.processors), maximumQueued: 1_024)

    /// The blobs of `service` below `root`; makes the folders.
    public init(root: String, service: String, pool: CPUPool, lane: CPULane = FolderBlobStore.lane) throws {
        precondition(!service.isEmpty && !service.contains("/"), "a service's name is one path component")
        files = try BlobFiles(folder: root + "/" + service)
        self.pool = pool
        self.lane = lane
    }

    /// Writes beside, syncs and renames; refreshes what is there.
    @discardableResult
    public func put(_ bytes: [UInt8]) async throws -> SHA256Digest {
        try await run { files in
            let digest = SHA256.digest(bytes)
            try files.locked(digest) {
                if try files.refresh(digest, expecting: Int64(bytes.count)) { return }
                try files.write(digest) { try $0.write(bytes) }
            }
            return digest
        }
    }

    /// The same, piece by piece.
    @discardableResult
    public func put(contentsOf path: String) async throws -> SHA256Digest {
        try await run { files in
            var hasher = SHA256.Hasher()
            let length = try BlobFiles.read(path) { hasher.update($0) }
            let digest = hasher.finalize()
            try files.locked(digest) {
                if try files.refresh(digest, expecting: length) { return }
                // Hashed again while it is copied: the file may have changed since.
                var copied = SHA256.Hasher()
                try files.write(digest, unless: { copied.finalize() != digest }) { file in
                    _ = try BlobFiles.read(path) { chunk in
                        copied.update(chunk)
                        try file.write(chunk)
                    }
                }
            }
            return digest
        }
    }

    /// Copies the parts one after another into a draft, and hashes on the way.
    public func join(_ parts: [SHA256Digest], into whole: SHA256Digest) async throws -> JoinOutcome {
        try await run { files in
            try files.locked(whole) {
                if try files.refresh(whole, expecting: nil) { return .joined }
                var hasher = SHA256.Hasher()
                var missing: SHA256Digest?
                do {
                    try files.write(whole, unless: { missing != nil || hasher.finalize() != whole }) { draft in
                        for part in parts where missing == nil {
                            let isThere = try files.read(part) { chunk in
                                hasher.update(chunk)
                                try draft.write(chunk)
                            }
                            if !isThere { missing = part }
                        }
                    }
                } catch BlobError.damaged {
                    return missing.map { .missing($0) } ?? .different
                }
                return .joined
            }
        }
    }

    /// Reads and checks the hash; throws ``BlobError/damaged(_:)``.
    public func get(_ digest: SHA256Digest) async throws -> [UInt8]? {
        try await run { files in
            guard let bytes = try files.contents(of: digest) else { return nil }
            guard SHA256.digest(bytes) == digest else { throw BlobError.damaged(digest) }
            return bytes
        }
    }

    /// Looks at the file.
    public func entry(_ digest: SHA256Digest) async throws -> BlobEntry? { try await run { try $0.status(of: digest) } }

    /// Looks for the file.
    public func exists(_ digest: SHA256Digest) async throws -> Bool { try await run { try $0.status(of: digest) != nil } }

    /// Sets the file's time stamp.
    @discardableResult
    public func touch(_ digest: SHA256Digest) async throws -> Bool {
        try await run { files in try files.locked(digest) { try files.refresh(digest, expecting: nil) } }
    }

    /// Unlinks the file.
    @discardableResult
    public func delete(_ digest: SHA256Digest) async throws -> Bool {
        try await run { files in try files.locked(digest) { try files.remove(digest) } }
    }

    /// Unlinks the file unless it is young; under the key's lock.
    @discardableResult
    public func delete(_ digest: SHA256Digest, olderThan age: Duration) async throws -> Bool {
        try await run { files in
            try files.locked(digest) {
                guard let status = try files.status(of: digest), Timestamp.now() - status.refreshedAt > age else { return false }
                return try files.remove(digest)
            }
        }
    }

    /// Reads the folders.
    public func list() async throws -> [BlobEntry] { try await run { try $0.list() } }

    /// Unlinks old files of `tmp`.
    @discardableResult
    public func removeDrafts(olderThan age: Duration) async throws -> Int {
        let before = Timestamp.now() - age
        return try await run { try $0.removeDrafts(before: before) }
    }

    private func run<Outcome: Sendable>(_ body: @escaping @Sendable (BlobFiles) throws -> Outcome) async throws -> Outcome {
        let files = files
        return try await pool.run(lane: lane) { try body(files) }
    }
}
