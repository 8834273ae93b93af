import Contracts
import Postgres

/// When what needs no vendor was last used.
struct SourceUseStore: Sendable {
    let pool: PostgresPool

    /// When the last file was imported.
    func lastFile() async throws -> Timestamp? {
        try await pool.query("SELECT recorded_at FROM imports WHERE source = 'file' ORDER BY recorded_at DESC LIMIT 1").first?.column(0)
    }

    /// How many replays run, and when the last bar was released.
    func replays() async throws -> (running: Int, last: Timestamp?) {
        try await pool.query(
            "SELECT (SELECT count(*) FROM replays WHERE state = 'running'), (SELECT max(known_at) FROM replay_releases)"
        ).first?.decode(Int.self, Timestamp?.self) ?? (0, nil)
    }
}
