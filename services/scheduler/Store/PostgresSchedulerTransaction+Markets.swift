import Contracts
import Postgres
import Schedules

extension PostgresSchedulerTransaction {
    func sessions(of markets: Set<String>) async throws -> [String: MarketSessions] {
        try await MarketRows.read(markets.sorted(), on: connection).mapValues(\.sessions)
    }

    func heldSessions(of markets: Set<String>) async throws -> [String: MarketSessions] {
        // In one order everywhere, so that two transactions never wait for each other.
        let markets = markets.sorted()
        try await connection.execute(
            "INSERT INTO markets (market) SELECT market FROM unnest(\(markets)) AS market ORDER BY market ON CONFLICT DO NOTHING"
        )
        _ = try await connection.query("SELECT market FROM markets WHERE market = ANY (\(markets)) ORDER BY market FOR SHARE")
        return try await MarketRows.read(markets, on: connection).mapValues(\.sessions)
    }

    func lockedMarket(_ market: String) async throws -> KnownMarket {
        try await connection.execute("INSERT INTO markets (market) VALUES (\(market)) ON CONFLICT DO NOTHING")
        let row = try await connection.query(
            "SELECT refreshed_at, rearming_since FROM markets WHERE market = \(market) FOR NO KEY UPDATE"
        ).first
        return KnownMarket(
            sessions: try await MarketRows.read([market], on: connection)[market]?.sessions ?? .unknown,
            refreshedAt: try row?.column(0),
            rearmingSince: try row?.column(1)
        )
    }

    func save(_ sessions: MarketSessions, of market: String, at time: Timestamp, isRearming: Bool) async throws {
        try await connection.execute("DELETE FROM market_sessions WHERE market = \(market)")
        try await connection.execute(
            """
            INSERT INTO market_sessions (market, opens_at, closes_at)
            SELECT \(market), opens_at, closes_at
            FROM unnest(\(sessions.sessions.map(\.lowerBound)), \(sessions.sessions.map(\.upperBound))) AS session (opens_at, closes_at)
            """
        )
        let knownThrough = sessions.knownThrough == .distantPast ? nil : sessions.knownThrough
        try await connection.execute(
            """
            UPDATE markets SET known_through = \(knownThrough), refreshed_at = \(time), fault = NULL,
                rearming_since = \(isRearming ? time : nil)
            WHERE market = \(market)
            """
        )
    }

    func finishRearming(_ market: String, since time: Timestamp) async throws {
        try await connection.execute("UPDATE markets SET rearming_since = NULL WHERE market = \(market) AND rearming_since <= \(time)")
    }

    func lockedSchedules(ofMarket market: String, isUnarmed: Bool, after: ScheduleID?, limit: Int) async throws -> [Schedule] {
        let unarmed: SQL = isUnarmed ? "AND next_due_at IS NULL" : ""
        return try await connection.query(
            """
            SELECT \(unsafe: ScheduleColumns.list) FROM schedules
            WHERE state = 'active' AND market = \(market) AND bar_instrument IS NULL \(unarmed)
              AND (\(after)::uuid IS NULL OR schedule_id > \(after))
            ORDER BY schedule_id LIMIT \(limit) FOR NO KEY UPDATE
            """
        ).map(ScheduleColumns.schedule)
    }
}

extension PostgresSchedulerStore {
    func markets(unansweredSince time: Timestamp) async throws -> [String] {
        try await pool.query(
            """
            -- From one market to the next in the index: there are few, and many schedules of each.
            WITH RECURSIVE followed AS (
                (SELECT market FROM schedules WHERE state = 'active' AND market IS NOT NULL ORDER BY market LIMIT 1)
                UNION ALL
                SELECT (SELECT market FROM schedules WHERE state = 'active' AND market IS NOT NULL AND market > followed.market ORDER BY market LIMIT 1)
                FROM followed WHERE followed.market IS NOT NULL)
            SELECT market FROM followed LEFT JOIN markets USING (market)
            WHERE market IS NOT NULL AND coalesce(refreshed_at < \(time), true) ORDER BY market
            """
        ).map { try $0.column(0) }
    }

    func note(fault: String, ofMarket market: String) async throws {
        try await pool.execute(
            "INSERT INTO markets (market, fault) VALUES (\(market), \(fault)) ON CONFLICT (market) DO UPDATE SET fault = excluded.fault"
        )
    }

    func market(_ market: String) async throws -> (sessions: MarketSessions, fault: String?)? {
        try await pool.withConnection { try await MarketRows.read([market], on: $0)[market] }
    }
}

/// Reads what is known of markets.
private enum MarketRows {
    static func read(_ markets: [String], on connection: PostgresConnection) async throws -> [String: (sessions: MarketSessions, fault: String?)] {
        let rows = try await connection.query(
            """
            SELECT market, known_through, fault, array(SELECT opens_at FROM market_sessions WHERE market = markets.market ORDER BY opens_at),
                array(SELECT closes_at FROM market_sessions WHERE market = markets.market ORDER BY opens_at)
            FROM markets WHERE market = ANY (\(markets))
            """
        )
        var found: [String: (sessions: MarketSessions, fault: String?)] = [:]
        for row in rows {
            let opens = try row.column(3, as: [Timestamp].self)
            let closes = try row.column(4, as: [Timestamp].self)
            let known = try row.column(1, as: Timestamp?.self) ?? .distantPast
            let sessions = MarketSessions(zip(opens, closes).map { $0..<$1 }, knownThrough: known)
            found[try row.column(0)] = (sessions, try row.column(2))
        }
        return found
    }
}
