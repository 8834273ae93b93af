public import Contracts

/// Bytes by the hash of their content, under one service's prefix.
public protocol BlobStore: Sendable {
    /// Keeps bytes and gives their hash; what is there already has its time stamp refreshed.
    @discardableResult
    func put(_ bytes: [UInt8]) async throws -> SHA256Digest
    /// Keeps the content of a file and gives its hash.
    @discardableResult
    func put(contentsOf path: String) async throws -> SHA256Digest
    /// The bytes, checked against the hash; `nil` if there are none.
    func get(_ digest: SHA256Digest) async throws -> [UInt8]?
    /// Whether the blob is there.
    func exists(_ digest: SHA256Digest) async throws -> Bool
    /// Refreshes the time stamp, before something new refers to the blob; `false` if it is not there.
    @discardableResult
    func touch(_ digest: SHA256Digest) async throws -> Bool
    /// Deletes a blob; `false` if it was not there.
    @discardableResult
    func delete(_ digest: SHA256Digest) async throws -> Bool
    /// Deletes a blob unless its time stamp has been refreshed since `age` ago; looked at under the key's lock. `false` if it was left.
    @discardableResult
    func delete(_ digest: SHA256Digest, olderThan age: Duration) async throws -> Bool
    /// All blobs of the service, in no order.
    func list() async throws -> [BlobEntry]
}

/// A blob in a list.
public struct BlobEntry: Sendable, Hashable {
    /// The hash that names it.
    public let digest: SHA256Digest
    /// How long it is.
    public let bytes: Int64
    /// When it was last put or touched.
    public let refreshedAt: Timestamp

    /// All fields.
    public init(digest: SHA256Digest, bytes: Int64, refreshedAt: Timestamp) {
        self.digest = digest
        self.bytes = bytes
        self.refreshedAt = refreshedAt
    }
}

extension BlobStore {
    /// Deletes what nobody refers to and what nobody has put or touched for `age`; gives how many blobs.
    ///
    /// `isReferenced` is asked only about old ones, one after another.
    @discardableResult
    public func cleanUp(
        at now: Timestamp,
        olderThan age: Duration = .seconds(86_400),
        isReferenced: @Sendable (SHA256Digest) async throws -> Bool
    ) async throws -> Int {
        var deleted = 0
        for entry in try await list() where now - entry.refreshedAt > age {
            if try await isReferenced(entry.digest) { continue }
            if try await delete(entry.digest, olderThan: age) { deleted += 1 }
        }
        return deleted
    }
}

/// What can go wrong with blobs.
public enum BlobError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The stored bytes do not have the hash that names them.
    case damaged(SHA256Digest)
    /// A system call failed.
    case system(call: String, errno: Int32)

    /// The error in a line; names no path.
    public var description: String {
        switch self {
        case .damaged(let digest): "blob \(digest.hex) is damaged"
        case .system(let call, let errno): "\(call) failed on the blob store (errno \(errno))"
        }
    }
}
