import Contracts
import Postgres

extension PostgresAuthTransaction {
    func insert(_ key: APIKey) async throws {
        try await connection.execute(
            """
            INSERT INTO api_keys (id, account_id, user_id, name, sha256, prefix, scopes, state, expires_at, created_at, last_used_at, generation,
                successor_id, budget_id)
            VALUES (\(key.id), \(key.accountID), \(key.userID), \(key.name), \(key.sha256), \(key.prefix), \(key.scopes), \(key.state.rawValue),
                \(key.expiresAt), \(key.createdAt), \(key.lastUsedAt), \(key.generation), \(key.successorID), \(key.firstID))
            """
        )
    }

    func key(_ id: APIKeyID, locking: Bool) async throws -> APIKey? {
        let lock: SQL = locking ? " FOR UPDATE OF api_keys" : ""
        return try await connection.query(
            "SELECT \(APIKey.columns) FROM \(APIKey.tables) WHERE api_keys.id = \(id)\(lock)"
        ).first.map { try APIKey(row: $0) }
    }

    func key(sha256: SHA256Digest) async throws -> (key: APIKey, owner: User)? {
        let found = try await connection.query("SELECT \(APIKey.columns) FROM \(APIKey.tables) WHERE sha256 = \(sha256)").first.map {
            try APIKey(row: $0)
        }
        guard let found, let owner = try await user(found.userID, locking: false) else { return nil }
        return (found, owner)
    }

    func update(_ key: APIKey) async throws {
        try await connection.execute(
            """
            UPDATE api_keys SET name = \(key.name), state = \(key.state.rawValue), expires_at = \(key.expiresAt),
                generation = \(key.generation), successor_id = \(key.successorID)
            WHERE id = \(key.id)
            """
        )
    }

    func keys(of account: AccountID, after: APIKeyID?, limit: Int) async throws -> [APIKey] {
        try await connection.query(
            """
            SELECT \(APIKey.columns) FROM \(APIKey.tables)
            WHERE account_id = \(account) AND (\(after)::uuid IS NULL OR api_keys.id < \(after))
            ORDER BY api_keys.id DESC LIMIT \(limit)
            """
        ).map { try APIKey(row: $0) }
    }

    func openKeys(of user: UserID) async throws -> [APIKey] {
        try await connection.query(
            """
            SELECT \(APIKey.columns) FROM \(APIKey.tables) WHERE user_id = \(user) AND state <> 'revoked'
            ORDER BY api_keys.id FOR UPDATE OF api_keys
            """
        ).map { try APIKey(row: $0) }
    }

    func openKeyCount(of account: AccountID, at now: Timestamp) async throws -> Int {
        try await connection.query(
            """
            SELECT count(*) FROM api_keys
            WHERE account_id = \(account) AND state <> 'revoked' AND (expires_at IS NULL OR expires_at > \(now))
            """
        ).first?.column(0) ?? 0
    }

    func keys(sharing budget: APIKeyID) async throws -> [APIKey] {
        try await connection.query(
            """
            SELECT \(APIKey.columns) FROM \(APIKey.tables) WHERE api_keys.id = \(budget) OR budget_id = \(budget)
            ORDER BY api_keys.id FOR UPDATE OF api_keys
            """
        ).map { try APIKey(row: $0) }
    }

    func recordUse(of keys: [APIKeyID: Timestamp]) async throws {
        // In the order of the ids, so that two replicas cannot wait for one another.
        let ordered = keys.sorted { $0.key < $1.key }
        try await connection.execute(
            """
            UPDATE api_keys SET last_used_at = used.at
            FROM unnest(\(ordered.map(\.key)), \(ordered.map(\.value))) AS used (id, at)
            WHERE api_keys.id = used.id AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < used.at)
            """
        )
    }
}

extension APIKey {
    /// Keys with what they may use up.
    static let tables: SQL = "api_keys LEFT JOIN key_budgets ON key_budgets.id = coalesce(api_keys.budget_id, api_keys.id)"

    /// In the order in which `init(row:)` reads them.
    static let columns: SQL =
        """
        api_keys.id, account_id, user_id, name, sha256, prefix, scopes, state, expires_at, created_at, last_used_at, generation, successor_id,
        api_keys.budget_id, requests_per_minute, credits, coalesce(version, 0), coalesce(credits_version, 0)
        """

    init(row: PostgresRow) throws {
        let state: String = try row.column(7)
        guard let known = KeyChanged.State(rawValue: state) else { throw PostgresError(.decoding, message: "api_keys.state holds \(state)") }
        self.init(
            id: try row.column(0),
            accountID: try row.column(1),
            userID: try row.column(2),
            name: try row.column(3),
            sha256: try row.column(4),
            prefix: try row.column(5),
            scopes: try row.column(6),
            state: known,
            expiresAt: try row.column(8),
            createdAt: try row.column(9),
            lastUsedAt: try row.column(10),
            generation: try row.column(11),
            successorID: try row.column(12),
            firstID: try row.column(13),
            budget: KeyBudget(
                requestsPerMinute: try row.column(14, as: Int32?.self).map(Int.init),
                credits: try row.column(15),
                version: try row.column(16),
                creditsVersion: try row.column(17)
            )
        )
    }
}
