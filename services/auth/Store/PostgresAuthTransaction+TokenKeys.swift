import Contracts
import Cryptography
import Postgres

extension PostgresAuthTransaction {
    func lockTokenKeys() async throws {
        _ = try await connection.query("SELECT pg_advisory_xact_lock(hashtextextended('auth.token_keys', 0))")
    }

    func tokenKeys() async throws -> [TokenKey] {
        let rows = try await connection.query(
            "SELECT key_id, state, since, public_key, sealed_private_key, created_at FROM token_keys WHERE state <> 'gone' ORDER BY key_id"
        )
        return try rows.map { row in
            let (keyID, state, since, publicKey, sealed, createdAt) = try row.decode(
                String.self,
                String.self,
                Timestamp.self,
                PostgresJSON.self,
                [UInt8]?.self,
                Timestamp.self
            )
            guard let known = SigningKeyState(rawValue: state) else { throw PostgresError(.decoding, message: "token_keys.state holds \(state)") }
            return TokenKey(
                keyID: keyID,
                state: known,
                since: since,
                publicKey: try publicKey.decode(JWK.self),
                sealedPrivateKey: sealed,
                createdAt: createdAt
            )
        }
    }

    func insert(_ key: TokenKey) async throws {
        try await connection.execute(
            """
            INSERT INTO token_keys (key_id, state, since, public_key, sealed_private_key, created_at)
            VALUES (\(key.keyID), \(key.state.rawValue), \(key.since), \(try PostgresJSON(encoding: key.publicKey)), \(key.sealedPrivateKey),
                \(key.createdAt))
            """
        )
    }

    func update(_ key: TokenKey) async throws {
        try await connection.execute(
            """
            UPDATE token_keys SET state = \(key.state.rawValue), since = \(key.since), sealed_private_key = \(key.sealedPrivateKey)
            WHERE key_id = \(key.keyID)
            """
        )
    }
}
