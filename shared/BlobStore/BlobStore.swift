public import Contracts

/// Bytes by the hash of their content, under one service's prefix.
public protocol BlobStore: Sendable {
    /// Keeps bytes and gives their hash; what is there already has its time stamp refreshed.
    @discardableResult
    func put(_ bytes: [UInt8]) async throws -> SHA256Digest
    /// Keeps the content of a file and gives its hash.
    @discardableResult
    func put(contentsOf path: String) async throws -> SHA256Digest
    /// Joins blobs into one, piece by piece, if together they have the hash `whole`; leaves nothing otherwise.
    func join(_ parts: [SHA256Digest], into whole: SHA256Digest) async throws -> JoinOutcome
    /// The bytes, checked against the hash; `nil` if there are none.
    func get(_ digest: SHA256Digest) async throws -> [UInt8]?
    /// How long the blob is and when it was last put or touched; `nil` if it is not there.
    func entry(_ digest: SHA256Digest) async throws -> BlobEntry?
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
    /// Removes half-written files that nobody has written to for `age`: whoever wrote them was killed. Gives how many.
    @discardableResult
    func removeDrafts(olderThan age: Duration) async throws -> Int
}

/// What came of joining parts.
public enum JoinOutcome: Sendable, Hashable {
    /// The blob is there.
    case joined
    /// This part is not there.
    case missing(SHA256Digest)
    /// The parts, joined in this order, have another hash.
    case different
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
    /// Deletes what nobody refers to and what nobody has put or touched for `age`, and the leftovers of killed writers; gives how many blobs.
    ///
    /// `referenced` tells which of some old blobs are referred to. Whoever is about to refer to an old blob puts or touches it first: then it is young when
    /// it is looked at again, under its lock.
    @discardableResult
    public func cleanUp(
        at now: Timestamp,
        olderThan age: Duration = .seconds(86_400),
        referenced: @Sendable (_ digests: [SHA256Digest]) async throws -> Set<SHA256Digest>
    ) async throws -> Int {
        try await removeDrafts(olderThan: age)
        let old = try await list().filter { now - $0.refreshedAt > age }.map(\.digest)
        var deleted = 0
        for start in stride(from: 0, to: old.count, by: 500) {
            let some = Array(old[start..<min(start + 500, old.count)])
            let kept = try await referenced(some)
            for digest in some where !kept.contains(digest) {
                if try await delete(digest, olderThan: age) { deleted += 1 }
            }
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
