import Contracts
import Postgres

/// What is remembered of chart sessions: in Postgres, so that any replica serves any of them.
struct ChartStore: Sendable {
    private let pool: PostgresPool

    init(pool: PostgresPool) { self.pool = pool }

    /// Adds a session unless the account has too many at that moment; the count is exact enough for a bound, and locks nobody out.
    func create(_ session: ChartSession, tokenSHA256: SHA256Digest, atMost limit: Int) async throws -> Bool {
        var login: SessionID?
        var version: Int64?
        var key: SHA256Digest?
        switch session.maker {
        case .login(let id, let userVersion): (login, version) = (id, userVersion)
        case .apiKey(let sha256): key = sha256
        }
        return try await pool.execute(
            """
            INSERT INTO chart_sessions (id, token_sha256, account_id, user_id, login_id, user_version, api_key_sha256, created_at, expires_at)
            SELECT \(session.id), \(tokenSHA256), \(session.accountID), \(session.userID), \(login), \(version), \(key), \(session.createdAt),
                \(session.expiresAt)
            WHERE (SELECT count(*) FROM chart_sessions WHERE account_id = \(session.accountID) AND expires_at > \(session.createdAt)) < \(limit)
            """
        ) == 1
    }

    /// The session of a token, also one that has ended and was not cleaned up yet.
    func session(tokenSHA256: SHA256Digest) async throws -> ChartSession? {
        try await pool.read(
            """
            SELECT id, account_id, user_id, login_id, user_version, api_key_sha256, created_at, expires_at FROM chart_sessions
            WHERE token_sha256 = \(tokenSHA256)
            """
        ).first.flatMap(Self.session)
    }

    /// Moves the end of a session that has not ended; false when it has.
    func renew(_ id: ChartSessionID, at now: Timestamp, until end: Timestamp) async throws -> Bool {
        try await pool.execute(
            "UPDATE chart_sessions SET expires_at = greatest(expires_at, \(end)) WHERE id = \(id) AND expires_at > \(now)"
        ) == 1
    }

    /// Sessions that were made with access tokens, which a revocation may have ended.
    func sessionsOfLogins() async throws -> [ChartSession] {
        try await pool.query(
            """
            SELECT id, account_id, user_id, login_id, user_version, api_key_sha256, created_at, expires_at FROM chart_sessions
            WHERE login_id IS NOT NULL
            """
        ).compactMap(Self.session)
    }

    /// Deletes sessions, and with them their charts.
    func delete(_ ids: [ChartSessionID]) async throws {
        _ = try await pool.execute("DELETE FROM chart_sessions WHERE id = ANY(\(ids))")
    }

    /// Deletes the sessions that have ended, with their charts, and charts that ended a day ago; gives how many sessions that were.
    func deleteEnded(by now: Timestamp) async throws -> Int {
        let ended = try await pool.execute("DELETE FROM chart_sessions WHERE expires_at <= \(now)")
        _ = try await pool.execute("DELETE FROM chart_requests WHERE expires_at <= \(now - .seconds(86_400))")
        return ended
    }

    /// Which of these sessions there still are.
    func existing(_ ids: [ChartSessionID]) async throws -> Set<ChartSessionID> {
        Set(try await pool.query("SELECT id FROM chart_sessions WHERE id = ANY(\(ids))").map { try $0.column(0, as: ChartSessionID.self) })
    }

    /// Pins a chart to this moment of the database, whose clock stamps corrections too: whatever commits with a later stamp does not show through, and
    /// readers wait for an earlier one that is still on its way. Nothing when the session has just gone.
    func open(
        _ id: ChartRequestID,
        of session: ChartSessionID,
        symbol: String,
        interval: String,
        range: Range<Timestamp>,
        at now: Timestamp,
        until end: Timestamp,
        atMost limit: Int
    ) async throws -> ChartRequest? {
        let rows = try await pool.pipeline([
            // A chart that a crash of the database forgets is asked for anew: nobody waits for the disk.
            .withoutFlush,
            """
            INSERT INTO chart_requests (id, session_id, symbol, bar_interval, starts_at, ends_at, as_of, created_at, expires_at)
            SELECT \(id), id, \(symbol), \(interval), \(range.lowerBound), \(range.upperBound), clock_timestamp(), \(now), \(end)
            FROM chart_sessions WHERE id = \(session)
            RETURNING as_of
            """,
            """
            UPDATE chart_requests SET expires_at = \(now)
            WHERE session_id = \(session) AND expires_at > \(now) AND id IN (
                SELECT id FROM chart_requests WHERE session_id = \(session) AND expires_at > \(now) ORDER BY created_at DESC, id DESC OFFSET \(limit)
            )
            """,
        ])
        guard let row = rows[1].first else { return nil }
        return ChartRequest(
            id: id,
            sessionID: session,
            symbol: symbol,
            interval: interval,
            start: range.lowerBound,
            end: range.upperBound,
            asOf: try row.column(0),
            expiresAt: end
        )
    }

    /// A chart of that session.
    func request(_ id: ChartRequestID, of session: ChartSessionID) async throws -> ChartRequest? {
        try await pool.read(
            """
            SELECT id, session_id, symbol, bar_interval, starts_at, ends_at, as_of, expires_at FROM chart_requests
            WHERE id = \(id) AND session_id = \(session)
            """
        ).first.map { row in
            let (id, session, symbol, interval, start, end, asOf, expiresAt) = try row.decode(
                ChartRequestID.self,
                ChartSessionID.self,
                String.self,
                String.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp.self,
                Timestamp.self
            )
            return ChartRequest(
                id: id,
                sessionID: session,
                symbol: symbol,
                interval: interval,
                start: start,
                end: end,
                asOf: asOf,
                expiresAt: expiresAt
            )
        }
    }

    /// Lets a chart that has not ended be read for longer; false when it has.
    func prolong(_ id: ChartRequestID, at now: Timestamp, until end: Timestamp) async throws -> Bool {
        try await pool.execute(
            "UPDATE chart_requests SET expires_at = greatest(expires_at, \(end)) WHERE id = \(id) AND expires_at > \(now)"
        ) == 1
    }

    private static func session(_ row: PostgresRow) throws -> ChartSession? {
        let (id, account, user, login, version, key, createdAt, expiresAt) = try row.decode(
            ChartSessionID.self,
            AccountID.self,
            UserID.self,
            SessionID?.self,
            Int64?.self,
            SHA256Digest?.self,
            Timestamp.self,
            Timestamp.self
        )
        let maker: ChartSession.Maker
        if let login, let version {
            maker = .login(login, userVersion: version)
        } else if let key {
            maker = .apiKey(key)
        } else {
            return nil
        }
        return ChartSession(id: id, accountID: account, userID: user, maker: maker, createdAt: createdAt, expiresAt: expiresAt)
    }
}
