import Contracts
import Postgres

extension PostgresAuthTransaction {
    func throttle(_ subject: ThrottleSubject) async throws -> ThrottleState? {
        // A row that is not there cannot be locked: an empty one is put in its place first, so that two first attempts wait for one another.
        let rows = try await connection.pipeline([
            """
            INSERT INTO throttles (kind, sha256, account_sha256, attempts, window_started_at)
            VALUES (\(subject.kind.rawValue), \(subject.sha256), \(subject.accountSHA256), 0, 'epoch')
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
            INSERT INTO throttles (kind, sha256, account_sha256, attempts, window_started_at, blocked_until)
            VALUES (
                \(subject.kind.rawValue), \(subject.sha256), \(subject.accountSHA256), \(state.attempts), \(state.windowStartedAt),
                \(state.blockedUntil)
            )
            ON CONFLICT (kind, sha256) DO UPDATE
            SET attempts = excluded.attempts, window_started_at = excluded.window_started_at, blocked_until = excluded.blocked_until
            """
        )
    }

    func isKnown(_ place: LoginPlace) async throws -> Bool {
        try await !connection.query(
            "SELECT 1 FROM login_places WHERE account_sha256 = \(place.accountSHA256) AND network_sha256 = \(place.networkSHA256)"
        ).isEmpty
    }

    func remember(_ place: LoginPlace, at now: Timestamp) async throws {
        _ = try await connection.pipeline([
            """
            INSERT INTO login_places (account_sha256, network_sha256, last_login_at)
            VALUES (\(place.accountSHA256), \(place.networkSHA256), \(now))
            ON CONFLICT (account_sha256, network_sha256) DO UPDATE SET last_login_at = greatest(login_places.last_login_at, excluded.last_login_at)
            """,
            """
            DELETE FROM login_places
            WHERE account_sha256 = \(place.accountSHA256) AND network_sha256 IN (
                SELECT network_sha256 FROM login_places WHERE account_sha256 = \(place.accountSHA256)
                ORDER BY last_login_at DESC, network_sha256 OFFSET \(LoginPlace.maximumPerAccount)
            )
            """,
        ])
    }

    func forgetLogins(of account: ThrottleSubject) async throws {
        _ = try await connection.pipeline([
            "DELETE FROM throttles WHERE kind = \(account.kind.rawValue) AND sha256 = \(account.sha256)",
            "DELETE FROM throttles WHERE account_sha256 = \(account.sha256)",
            "DELETE FROM login_places WHERE account_sha256 = \(account.sha256)",
        ])
    }
}
