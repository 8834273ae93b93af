import Contracts
import Postgres

/// What versions take up.
struct VersionUsage: Sendable {
    let pool: PostgresPool

    /// How many versions a signal has.
    func count(of signal: SignalID) async throws -> Int {
        try await pool.query("SELECT count(*) FROM versions WHERE signal_id = \(signal)").first?.column(0) ?? 0
    }

    /// The bytes of an account's files, each once, and those of them that are among these.
    func bytes(of account: AccountID, among digests: [SHA256Digest]) async throws -> (all: Int64, known: Int64) {
        let row = try await pool.query(
            """
            SELECT coalesce(sum(bytes), 0)::bigint, coalesce(sum(bytes) FILTER (WHERE sha256 = ANY (\(digests))), 0)::bigint FROM (
                SELECT DISTINCT version_files.sha256, version_files.bytes FROM version_files
                JOIN versions ON versions.id = version_files.version_id JOIN signals ON signals.id = versions.signal_id
                WHERE signals.account_id = \(account)) AS files
            """
        ).first
        let (all, known): (Int64, Int64) = try row?.decode(Int64.self, Int64.self) ?? (0, 0)
        return (all, known)
    }
}
