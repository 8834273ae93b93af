import Contracts
import Postgres

extension PostgresSignalsStore {
    private static let signalColumnNames = [
        "id", "account_id", "created_by", "name", "description", "state", "published_version_id", "feed", "instruments", "interval_seconds",
        "version",
        "created_at", "updated_at", "published_at",
    ]
    static let signalColumns = signalColumnNames.joined(separator: ", ")
    /// The same of a table that a statement calls `s`.
    static let signalColumnsOfS = signalColumnNames.map { "s." + $0 }.joined(separator: ", ")

    /// Reads ``signalColumns``, the first columns of the row.
    static func signal(_ row: PostgresRow) throws -> Signal {
        Signal(
            id: try row.column(0),
            accountID: try row.column(1),
            createdBy: try row.column(2),
            name: try row.column(3),
            description: try row.column(4),
            state: try row.word(5),
            publishedVersionID: try row.column(6),
            feed: try row.optionalWord(7),
            instruments: try row.column(8),
            intervalSeconds: try row.column(9),
            version: try row.column(10),
            createdAt: try row.column(11),
            updatedAt: try row.column(12),
            publishedAt: try row.column(13)
        )
    }

    func create(_ signal: Signal) async throws {
        try await transaction { connection in
            try await connection.execute(
                """
                INSERT INTO signals (\(unsafe: Self.signalColumns))
                VALUES (\(signal.id), \(signal.accountID), \(signal.createdBy), \(signal.name), \(signal.description), \(signal.state.rawValue),
                    \(signal.publishedVersionID), \(signal.feed?.rawValue), \(signal.instruments), \(signal.intervalSeconds), \(signal.version), \(signal.createdAt),
                    \(signal.updatedAt), \(signal.publishedAt))
                """
            )
            try await connection.execute("INSERT INTO heads (signal_id) VALUES (\(signal.id))")
        }
    }

    func signal(_ id: SignalID) async throws -> Signal? {
        try await query("SELECT \(unsafe: Self.signalColumns) FROM signals WHERE id = \(id) AND state <> 'deleted'").first.map(Self.signal)
    }

    func signalEvenIfDeleted(_ id: SignalID) async throws -> Signal? {
        try await query("SELECT \(unsafe: Self.signalColumns) FROM signals WHERE id = \(id)").first.map(Self.signal)
    }

    /// Locks the row: whoever changes a signal raises its version under this lock.
    private func locked(_ id: SignalID, on connection: PostgresConnection) async throws -> Signal {
        let rows = try await connection.query("SELECT \(unsafe: Self.signalColumns) FROM signals WHERE id = \(id) FOR UPDATE")
        guard let signal = try rows.first.map(Self.signal) else { throw SignalsStoreError.unknownSignal }
        if signal.state == .deleted { throw SignalsStoreError.gone }
        return signal
    }

    private func lockedIfThere(_ id: SignalID, on connection: PostgresConnection) async throws -> Signal? {
        do {
            return try await locked(id, on: connection)
        } catch is SignalsStoreError {
            return nil
        }
    }

    private func write(_ signal: Signal, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            UPDATE signals SET name = \(signal.name), description = \(signal.description), state = \(signal.state.rawValue),
                published_version_id = \(signal.publishedVersionID), feed = \(signal.feed?.rawValue), instruments = \(signal.instruments),
                interval_seconds = \(signal.intervalSeconds), version = \(signal.version), updated_at = \(signal.updatedAt),
                published_at = \(signal.publishedAt)
            WHERE id = \(signal.id)
            """
        )
    }

    func signals(_ filter: SignalFilter, after: SignalID?, limit: Int) async throws -> [Signal] {
        guard let sql = Self.listing(filter, after: after, limit: limit) else { return [] }
        return try await query(sql).map(Self.signal)
    }

    /// The statement of a list; nothing where the filter leaves nothing.
    static func listing(_ filter: SignalFilter, after: SignalID?, limit: Int) -> SQL? {
        var sql: SQL = "SELECT \(unsafe: Self.signalColumns) FROM signals WHERE state <> 'deleted'"
        switch (filter.viewer, filter.onlyOwn) {
        case (let viewer?, true): sql.append(" AND account_id = \(viewer)")
        case (let viewer?, false): sql.append(" AND (state = 'published' OR account_id = \(viewer))")
        case (nil, true): return nil
        case (nil, false): sql.append(" AND state = 'published'")
        }
        // Containment, for that is what the index on the instruments answers.
        if let instrument = filter.instrument { sql.append(" AND instruments @> \([instrument])") }
        if let seconds = filter.intervalSeconds { sql.append(" AND \(seconds) = ANY (interval_seconds)") }
        if let text = filter.text {
            sql.append(" AND (strpos(lower(name), lower(\(text))) > 0 OR strpos(lower(description), lower(\(text))) > 0)")
        }
        if let after { sql.append(" AND id < \(after)") }
        sql.append(" ORDER BY id DESC LIMIT \(limit)")
        return sql
    }

    func updateSignal(_ id: SignalID, name: String?, description: String?, now: Timestamp) async throws -> Signal? {
        try await transaction { connection in
            guard var signal = try await lockedIfThere(id, on: connection) else { return nil }
            if let name { signal.name = name }
            if let description { signal.description = description }
            signal.updatedAt = now
            try await write(signal, on: connection)
            return signal
        }
    }

    func deleteSignal(_ id: SignalID, now: Timestamp) async throws -> Bool {
        try await transaction { connection in
            guard var signal = try await lockedIfThere(id, on: connection) else { return false }
            let wasPublished = signal.state == .published
            signal.state = .deleted
            signal.version += 1
            signal.updatedAt = now
            try await write(signal, on: connection)
            try await raiseRevision(id, on: connection)
            if wasPublished {
                try await say(
                    SignalUnpublished(signalID: id, accountID: signal.accountID, reason: "deleted"),
                    version: signal.version,
                    on: connection
                )
            }
            return true
        }
    }

    func publish(_ id: SignalID, versionID: SignalVersionID, feed: FeedKind, now: Timestamp) async throws -> Signal {
        try await transaction { connection in
            var signal = try await locked(id, on: connection)
            guard let version = try await on(connection).version(versionID), version.signalID == id else { throw SignalsStoreError.unknownVersion }
            signal.state = .published
            signal.publishedVersionID = versionID
            signal.feed = feed
            signal.instruments = version.instruments
            signal.intervalSeconds = version.intervalSeconds
            signal.version += 1
            signal.updatedAt = now
            signal.publishedAt = now
            try await write(signal, on: connection)
            try await raiseRevision(id, on: connection)
            try await say(SignalPublished(signal: signal, version: version, feed: feed, publishedAt: now), version: signal.version, on: connection)
            return signal
        }
    }

    func unpublish(_ id: SignalID, reason: String, now: Timestamp) async throws -> Signal {
        try await transaction { connection in
            var signal = try await locked(id, on: connection)
            guard signal.state == .published else { return signal }
            signal.state = .unpublished
            signal.version += 1
            signal.updatedAt = now
            try await write(signal, on: connection)
            try await raiseRevision(id, on: connection)
            try await say(SignalUnpublished(signalID: id, accountID: signal.accountID, reason: reason), version: signal.version, on: connection)
            return signal
        }
    }

    func publishedSignals(after: SignalID?, limit: Int) async throws -> [(signal: Signal, version: SignalVersion)] {
        var sql: SQL = "SELECT \(unsafe: Self.signalColumns) FROM signals WHERE state = 'published'"
        if let after { sql.append(" AND id > \(after)") }
        sql.append(" ORDER BY id LIMIT \(limit)")
        let signals = try await query(sql).map(Self.signal)
        let versions = try await versions(signals.compactMap(\.publishedVersionID))
        return signals.compactMap { signal in signal.publishedVersionID.flatMap { versions[$0] }.map { (signal, $0) } }
    }

    /// Shows the newest version's instruments for as long as nothing is published.
    func describe(_ id: SignalID, by version: SignalVersion, on connection: PostgresConnection) async throws {
        try await connection.execute(
            """
            UPDATE signals SET instruments = \(version.instruments), interval_seconds = \(version.intervalSeconds), updated_at = \(version.createdAt)
            WHERE id = \(id) AND state <> 'published'
            """
        )
    }
}

extension SignalPublished {
    init(signal: Signal, version: SignalVersion, feed: FeedKind, publishedAt: Timestamp) {
        self.init(
            signalID: signal.id,
            accountID: signal.accountID,
            versionID: version.id,
            versionSHA256: version.sha256,
            files: version.codeFiles,
            manifest: version.manifest,
            feed: feed,
            publishedAt: publishedAt
        )
    }
}
