import Contracts
import Postgres

extension PostgresSignalsStore {
    func apply(_ cadence: CadenceRecord, to signalID: SignalID) async throws -> Bool {
        try await transaction { connection in
            // Events come in any order: what is next is as the newest event says, what was last as the latest due time says.
            let news = try await connection.pipeline([
                """
                INSERT INTO cadence (signal_id, next_due_at, version)
                SELECT id, \(cadence.nextDueAt), \(cadence.version) FROM signals WHERE id = \(signalID)
                ON CONFLICT (signal_id) DO UPDATE SET next_due_at = excluded.next_due_at, version = excluded.version
                WHERE cadence.version < excluded.version RETURNING 1
                """,
                """
                UPDATE cadence SET last_due_at = \(cadence.lastDueAt), last_outcome = \(cadence.lastOutcome?.rawValue), last_reason = \(cadence.lastReason),
                    last_version = \(cadence.version)
                WHERE signal_id = \(signalID)
                    AND (last_due_at IS NULL OR (last_due_at, last_version) < (\(cadence.lastDueAt)::timestamptz, \(cadence.version)::bigint))
                RETURNING 1
                """,
            ])
            let isNews = news.contains { !$0.isEmpty }
            if isNews { try await raiseRevision(signalID, on: connection) }
            return isNews
        }
    }

    func cadence(_ signalID: SignalID) async throws -> CadenceRecord? {
        try await query("SELECT last_due_at, last_outcome, last_reason, next_due_at, version FROM cadence WHERE signal_id = \(signalID)").first.map {
            try Self.cadence($0, from: 0)
        }
    }

    /// Reads the five columns of a cadence that begin at `first`.
    static func cadence(_ row: PostgresRow, from first: Int) throws -> CadenceRecord {
        CadenceRecord(
            lastDueAt: try row.column(first),
            lastOutcome: try row.optionalWord(first + 1),
            lastReason: try row.column(first + 2),
            nextDueAt: try row.column(first + 3),
            version: try row.column(first + 4)
        )
    }

    func apply(_ instrument: KnownInstrument) async throws {
        try await transaction { connection in
            let newer = try await connection.query("SELECT 1 FROM instruments WHERE id = \(instrument.id) AND version >= \(instrument.version)")
            guard newer.isEmpty else { return }
            // A symbol can pass from one instrument to another; the newest word about it counts.
            try await connection.execute("DELETE FROM instruments WHERE symbol = \(instrument.symbol) AND id <> \(instrument.id)")
            try await connection.execute(
                """
                INSERT INTO instruments (id, symbol, asset_class, feed, active, version)
                VALUES (\(instrument.id), \(instrument.symbol), \(instrument.assetClass), \(instrument.feed.rawValue), \(instrument.active), \(instrument.version))
                ON CONFLICT (id) DO UPDATE SET symbol = excluded.symbol, asset_class = excluded.asset_class, feed = excluded.feed,
                    active = excluded.active, version = excluded.version WHERE instruments.version < excluded.version
                """
            )
        }
    }

    func instruments(symbols: [String]) async throws -> [String: KnownInstrument] {
        let rows = try await query("SELECT id, symbol, asset_class, feed, active, version FROM instruments WHERE symbol = ANY (\(symbols))")
        let found = try rows.map { row in
            KnownInstrument(
                id: try row.column(0),
                symbol: try row.column(1),
                assetClass: try row.column(2),
                feed: try row.word(3),
                active: try row.column(4),
                version: try row.column(5)
            )
        }
        return Dictionary(found.map { ($0.symbol, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func apply(_ account: KnownAccount) async throws {
        _ = try await query(
            """
            INSERT INTO accounts (id, user_id, roles, version) VALUES (\(account.id), \(account.userID), \(account.roles), \(account.version))
            ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, roles = excluded.roles, version = excluded.version
            WHERE accounts.version < excluded.version
            """
        )
    }
}
