import Contracts
import Postgres

extension PostgresAuthTransaction {
    func insert(_ session: Session) async throws {
        try await connection.execute(
            """
            INSERT INTO sessions (id, user_id, account_id, created_at, last_used_at, ends_at, token_expires_at, address, user_agent, revoked_at,
                revocation)
            VALUES (\(session.id), \(session.userID), \(session.accountID), \(session.createdAt), \(session.lastUsedAt), \(session.endsAt),
                \(session.tokenExpiresAt), \(session.address), \(session.userAgent), \(session.revokedAt), \(session.revocation?.rawValue))
            """
        )
    }

    func session(_ id: SessionID, locking: Bool) async throws -> Session? {
        try await connection.query("SELECT \(Session.columns) FROM sessions WHERE id = \(id)\(lock(locking))").first.map { try Session(row: $0) }
    }

    func update(_ session: Session) async throws {
        try await connection.execute(
            """
            UPDATE sessions SET last_used_at = \(session.lastUsedAt), token_expires_at = \(session.tokenExpiresAt),
                revoked_at = \(session.revokedAt), revocation = \(session.revocation?.rawValue)
            WHERE id = \(session.id)
            """
        )
    }

    func liveSessions(of user: UserID, at now: Timestamp, after: SessionID?, limit: Int) async throws -> [Session] {
        try await connection.query(
            """
            SELECT \(Session.columns) FROM sessions
            WHERE user_id = \(user) AND revoked_at IS NULL AND ends_at > \(now) AND (\(after)::uuid IS NULL OR id < \(after))
            ORDER BY id DESC LIMIT \(limit)
            """
        ).map { try Session(row: $0) }
    }

    func deniedSessions(at now: Timestamp) async throws -> [Session] {
        try await connection.query(
            "SELECT \(Session.columns) FROM sessions WHERE revoked_at IS NOT NULL AND token_expires_at > \(now) ORDER BY id"
        ).map { try Session(row: $0) }
    }

    // MARK: Refresh tokens

    func insert(_ token: RefreshToken) async throws {
        try await connection.execute(
            """
            INSERT INTO refresh_tokens (sha256, session_id, account_id, issued_at, expires_at, used_at)
            VALUES (\(token.sha256), \(token.sessionID), \(token.accountID), \(token.issuedAt), \(token.expiresAt), \(token.usedAt))
            """
        )
    }

    func refreshToken(_ sha256: SHA256Digest) async throws -> RefreshToken? {
        let rows = try await connection.query(
            "SELECT sha256, session_id, account_id, issued_at, expires_at, used_at FROM refresh_tokens WHERE sha256 = \(sha256) FOR UPDATE"
        )
        return try rows.first.map { row in
            let (sha256, sessionID, accountID, issuedAt, expiresAt, usedAt) = try row.decode(
                SHA256Digest.self,
                SessionID.self,
                AccountID.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp?.self
            )
            return RefreshToken(
                sha256: sha256,
                sessionID: sessionID,
                accountID: accountID,
                issuedAt: issuedAt,
                expiresAt: expiresAt,
                usedAt: usedAt
            )
        }
    }

    func use(_ sha256: SHA256Digest, at now: Timestamp) async throws {
        try await connection.execute("UPDATE refresh_tokens SET used_at = \(now) WHERE sha256 = \(sha256)")
    }
}

extension Session {
    /// In the order in which `init(row:)` reads them.
    static let columns: SQL =
        "id, user_id, account_id, created_at, last_used_at, ends_at, token_expires_at, address, user_agent, revoked_at, revocation"

    init(row: PostgresRow) throws {
        let (id, userID, accountID, createdAt, lastUsedAt, endsAt, tokenExpiresAt, address, userAgent, revokedAt, revocation) = try row.decode(
            SessionID.self,
            UserID.self,
            AccountID.self,
            Timestamp.self,
            Timestamp.self,
            Timestamp.self,
            Timestamp.self,
            String.self,
            String.self,
            Timestamp?.self,
            String?.self
        )
        self.init(
            id: id,
            userID: userID,
            accountID: accountID,
            createdAt: createdAt,
            lastUsedAt: lastUsedAt,
            endsAt: endsAt,
            tokenExpiresAt: tokenExpiresAt,
            address: address,
            userAgent: userAgent,
            revokedAt: revokedAt,
            revocation: revocation.flatMap(Revocation.init(rawValue:))
        )
    }
}
