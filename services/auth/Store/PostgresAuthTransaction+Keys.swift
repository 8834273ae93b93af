import Contracts
import Postgres

extension PostgresAuthTransaction {
    func insert(_ key: APIKey) async throws {
        try await connection.execute(
            """
            INSERT INTO api_keys (id, account_id, user_id, name, sha256, prefix, scopes, state, expires_at, created_at, last_used_at, generation,
                successor_id)
            VALUES (\(key.id), \(key.accountID), \(key.userID), \(key.name), \(key.sha256), \(key.prefix), \(key.scopes), \(key.state.rawValue),
                \(key.expiresAt), \(key.createdAt), \(key.lastUsedAt), \(key.generation), \(key.successorID))
            """
        )
    }

    func key(_ id: APIKeyID, locking: Bool) async throws -> APIKey? {
        try await connection.query("SELECT \(APIKey.columns) FROM api_keys WHERE id = \(id)\(lock(locking))").first.map { try APIKey(row: $0) }
    }

    func key(sha256: SHA256Digest) async throws -> (key: APIKey, owner: User)? {
        let found = try await connection.query("SELECT \(APIKey.columns) FROM api_keys WHERE sha256 = \(sha256)").first.map { try APIKey(row: $0) }
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
            SELECT \(APIKey.columns) FROM api_keys
            WHERE account_id = \(account) AND (\(after)::uuid IS NULL OR id < \(after))
            ORDER BY id DESC LIMIT \(limit)
            """
        ).map { try APIKey(row: $0) }
    }

    func openKeys(of user: UserID) async throws -> [APIKey] {
        try await connection.query(
            "SELECT \(APIKey.columns) FROM api_keys WHERE user_id = \(user) AND state <> 'revoked' ORDER BY id FOR UPDATE"
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
    /// In the order in which `init(row:)` reads them.
    static let columns: SQL =
        "id, account_id, user_id, name, sha256, prefix, scopes, state, expires_at, created_at, last_used_at, generation, successor_id"

    init(row: PostgresRow) throws {
        let (id, accountID, userID, name, sha256, prefix, scopes, state, expiresAt, createdAt, lastUsedAt, generation, successorID) = try row.decode(
            APIKeyID.self,
            AccountID.self,
            UserID.self,
            String.self,
            SHA256Digest.self,
            String.self,
            [String].self,
            String.self,
            Timestamp?.self,
            Timestamp.self,
            Timestamp?.self,
            Int64.self,
            APIKeyID?.self
        )
        guard let known = KeyChanged.State(rawValue: state) else { throw PostgresError(.decoding, message: "api_keys.state holds \(state)") }
        self.init(
            id: id,
            accountID: accountID,
            userID: userID,
            name: name,
            sha256: sha256,
            prefix: prefix,
            scopes: scopes,
            state: known,
            expiresAt: expiresAt,
            createdAt: createdAt,
            lastUsedAt: lastUsedAt,
            generation: generation,
            successorID: successorID
        )
    }
}
