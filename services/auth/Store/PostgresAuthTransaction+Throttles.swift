import Contracts
import Postgres

extension PostgresAuthTransaction {
    func throttle(_ subject: ThrottleSubject) async throws -> ThrottleState? {
        // A row that is not there cannot be locked: an empty one is put in its place first, so that two first attempts wait for one another.
        let rows = try await connection.pipeline([
            """
            INSERT INTO throttles (kind, sha256, attempts, window_started_at) VALUES (\(subject.kind.rawValue), \(subject.sha256), 0, 'epoch')
            ON CONFLICT DO NOTHING
            """,
            """
            SELECT attempts, window_started_at, blocked_until FROM throttles
            WHERE kind = \(subject.kind.rawValue) AND sha256 = \(subject.sha256) FOR UPDATE
            """,
        ])
        guard let row = rows[1].first else { return nil }
        let (attempts, windowStartedAt, blockedUntil) = try row.decode(Int.self, Timestamp.self, Timestamp?.self)
        return attempts == 0 ? nil : ThrottleState(attempts: attempts, windowStartedAt: windowStartedAt, blockedUntil: blockedUntil)
    }

    func setThrottle(_ subject: ThrottleSubject, _ state: ThrottleState?) async throws {
        guard let state else {
            try await connection.execute("DELETE FROM throttles WHERE kind = \(subject.kind.rawValue) AND sha256 = \(subject.sha256)")
            return
        }
        try await connection.execute(
            """
            INSERT INTO throttles (kind, sha256, attempts, window_started_at, blocked_until)
            VALUES (\(subject.kind.rawValue), \(subject.sha256), \(state.attempts), \(state.windowStartedAt), \(state.blockedUntil))
            ON CONFLICT (kind, sha256) DO UPDATE
            SET attempts = excluded.attempts, window_started_at = excluded.window_started_at, blocked_until = excluded.blocked_until
            """
        )
    }
}
