import Contracts
import Cryptography
import Postgres

/// The locks of versions' packages, in the table `environment_locks`.
struct EnvironmentLocks: Sendable {
    /// Which lock is meant.
    struct Place: Sendable, Hashable {
        var signalID: SignalID
        var versionSHA256: SHA256Digest
        /// The series of Python and the kind of machine.
        var platform: String
    }

    private let pool: PostgresPool

    init(pool: PostgresPool) {
        self.pool = pool
    }

    /// The lock that was kept first.
    func find(_ place: Place) async throws -> String? {
        try await pool.query(
            """
            SELECT lock FROM environment_locks
            WHERE signal_id = \(place.signalID) AND version_sha256 = \(place.versionSHA256) AND platform = \(place.platform)
            """
        ).first?.column(0)
    }

    /// Keeps a lock unless there is one; gives the one that counts, nil when there is no such version.
    func keep(_ lock: String, at place: Place) async throws -> String? {
        try await pool.execute(
            """
            INSERT INTO environment_locks (signal_id, version_sha256, platform, lock)
            SELECT \(place.signalID), \(place.versionSHA256), \(place.platform), \(lock)
            WHERE EXISTS (SELECT FROM versions WHERE signal_id = \(place.signalID) AND sha256 = \(place.versionSHA256))
            ON CONFLICT DO NOTHING
            """
        )
        return try await find(place)
    }
}
