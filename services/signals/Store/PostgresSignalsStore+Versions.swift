import Contracts
import Postgres

extension PostgresSignalsStore {
    private static let versionColumns = "id, signal_id, number, sha256, manifest, note, restored_from, created_by, created_at"

    private func version(_ row: PostgresRow, files: [ProjectFile]) throws -> SignalVersion {
        let manifest: String = try row.column(4)
        return SignalVersion(
            id: try row.column(0),
            signalID: try row.column(1),
            number: try row.column(2),
            sha256: try row.column(3),
            manifest: try WireJSON.decode(from: Array(manifest.utf8)),
            files: files,
            note: try row.column(5),
            restoredFrom: try row.column(6),
            createdBy: try row.column(7),
            createdAt: try row.column(8)
        )
    }

    /// Fetches the files of all versions in one statement.
    private func versions(_ rows: [PostgresRow]) async throws -> [SignalVersion] {
        guard !rows.isEmpty else { return [] }
        let ids = try rows.map { try $0.column(0, as: SignalVersionID.self) }
        var files: [SignalVersionID: [ProjectFile]] = [:]
        for row in try await query(
            "SELECT version_id, path, sha256, bytes FROM version_files WHERE version_id = ANY (\(ids)) ORDER BY path COLLATE \"C\""
        ) {
            let (id, path, sha256, bytes) = try row.decode(SignalVersionID.self, String.self, SHA256Digest.self, Int.self)
            files[id, default: []].append(ProjectFile(path: path, sha256: sha256, bytes: bytes))
        }
        return try rows.map { row in try version(row, files: files[try row.column(0)] ?? []) }
    }

    func addVersion(_ version: NewVersion) async throws -> SignalVersion {
        try await transaction { connection in
            let found = try await connection.query("SELECT state FROM signals WHERE id = \(version.signalID) FOR UPDATE")
            guard let state = try found.first?.word(0, as: SignalState.self) else { throw SignalsStoreError.unknownSignal }
            if state == .deleted { throw SignalsStoreError.gone }
            let last = try await connection.query("SELECT coalesce(max(number), 0) FROM versions WHERE signal_id = \(version.signalID)")
            let numbered = try version.numbered((try last.first?.column(0, as: Int.self) ?? 0) + 1)
            let manifest = String(decoding: try WireJSON.encode(numbered.manifest), as: UTF8.self)
            try await connection.execute(
                """
                INSERT INTO versions (\(unsafe: Self.versionColumns))
                VALUES (\(numbered.id), \(numbered.signalID), \(numbered.number), \(numbered.sha256), \(manifest), \(numbered.note),
                    \(numbered.restoredFrom), \(numbered.createdBy), \(numbered.createdAt))
                """
            )
            try await connection.execute(
                """
                INSERT INTO version_files (version_id, path, sha256, bytes)
                SELECT \(numbered.id), path, sha256, bytes
                FROM unnest(\(numbered.files.map(\.path)), \(numbered.files.map(\.sha256)), \(numbered.files.map(\.bytes))) AS file (path, sha256, bytes)
                """
            )
            try await describe(version.signalID, by: numbered, on: connection)
            return numbered
        }
    }

    func version(_ signalID: SignalID, number: Int) async throws -> SignalVersion? {
        try await versions(
            try await query("SELECT \(unsafe: Self.versionColumns) FROM versions WHERE signal_id = \(signalID) AND number = \(number)")
        ).first
    }

    func version(_ id: SignalVersionID) async throws -> SignalVersion? {
        try await versions(try await query("SELECT \(unsafe: Self.versionColumns) FROM versions WHERE id = \(id)")).first
    }

    func versions(_ ids: [SignalVersionID]) async throws -> [SignalVersionID: SignalVersion] {
        let found = try await versions(try await query("SELECT \(unsafe: Self.versionColumns) FROM versions WHERE id = ANY (\(ids))"))
        return Dictionary(found.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func versions(_ signalID: SignalID, before: Int?, limit: Int) async throws -> [SignalVersion] {
        try await versions(
            try await query(
                """
                SELECT \(unsafe: Self.versionColumns) FROM versions
                WHERE signal_id = \(signalID) AND number < \(before ?? Int(Int32.max)) ORDER BY number DESC LIMIT \(limit)
                """
            )
        )
    }

    func record(_ upload: Upload) async throws {
        _ = try await query(
            """
            INSERT INTO uploads (account_id, sha256, bytes, uploaded_at)
            VALUES (\(upload.accountID), \(upload.sha256), \(upload.bytes), \(upload.uploadedAt))
            ON CONFLICT (account_id, sha256) DO UPDATE SET uploaded_at = excluded.uploaded_at
            """
        )
    }

    func ownedBlobs(_ accountID: AccountID, among digests: [SHA256Digest]) async throws -> [SHA256Digest: Int] {
        let rows = try await query(
            """
            SELECT sha256, bytes FROM uploads WHERE account_id = \(accountID) AND sha256 = ANY (\(digests))
            UNION
            SELECT f.sha256, f.bytes FROM version_files f JOIN versions v ON v.id = f.version_id JOIN signals s ON s.id = v.signal_id
            WHERE f.sha256 = ANY (\(digests)) AND s.account_id = \(accountID)
            """
        )
        return try Dictionary(rows.map { try $0.decode(SHA256Digest.self, Int.self) }, uniquingKeysWith: { first, _ in first })
    }

    func forgetUploads(before: Timestamp, limit: Int) async throws -> [SHA256Digest] {
        try await transaction { connection in
            let gone = try await connection.query(
                """
                DELETE FROM uploads WHERE (account_id, sha256) IN (
                    SELECT account_id, sha256 FROM uploads WHERE uploaded_at < \(before) ORDER BY uploaded_at LIMIT \(limit) FOR UPDATE SKIP LOCKED)
                RETURNING sha256
                """
            )
            let digests = try gone.map { try $0.column(0, as: SHA256Digest.self) }
            return Array(Set(digests).subtracting(try await on(connection).referencedBlobs(among: digests)))
        }
    }

    func referencedBlobs(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest> {
        let rows = try await query(
            """
            SELECT sha256 FROM version_files WHERE sha256 = ANY (\(digests)) UNION SELECT sha256 FROM uploads WHERE sha256 = ANY (\(digests))
            """
        )
        return Set(try rows.map { try $0.column(0, as: SHA256Digest.self) })
    }
}
