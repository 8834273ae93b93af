import Contracts
import ServiceRuntime
import Synchronization

/// Versions by their ids, in memory.
///
/// A version never changes once it is stored, and none is ever removed, not even with its signal: the role that serves may add and read them and no more.
/// So what is here is right for as long as it is here, and what a signal may do now is not told by it. Only what has been committed gets in: the store
/// that is asked reads outside of all transactions. That there is no such version is never kept.
final class VersionCache: Sendable {
    static let maximumBytes = 32 * 1024 * 1024
    /// What one takes up besides its texts; with it the bound on bytes is one on their number as well.
    static let bytesPerVersion = 2_048
    static let bytesPerFile = 128

    private let store: any SignalsStore
    private let known: Mutex<RecentlyUsed<SignalVersionID, SignalVersion>>

    /// - Parameter store: not one inside a transaction, which may be rolled back.
    init(store: any SignalsStore, maximumBytes: Int = VersionCache.maximumBytes) {
        self.store = store
        known = Mutex(RecentlyUsed(maximumCost: maximumBytes))
    }

    func version(_ id: SignalVersionID) async throws -> SignalVersion? {
        if let version = known.withLock({ $0.value(id) }) { return version }
        guard let version = try await store.version(id) else { return nil }
        let bytes = Self.bytes(of: version)
        known.withLock { _ = $0.insert(version, cost: bytes, for: id) }
        return version
    }

    /// What a version takes up, by and large.
    static func bytes(of version: SignalVersion) -> Int {
        let manifest = (try? WireJSON.encode(version.manifest).count) ?? 0
        let files = version.files.reduce(0) { $0 + bytesPerFile + $1.path.utf8.count }
        return bytesPerVersion + 4 * manifest + files + version.note.utf8.count
    }
}
