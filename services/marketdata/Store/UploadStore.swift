import Contracts
import Postgres

/// Uploads in Postgres: which parts are there, who imports, how far it is.
struct UploadStore: Sendable {
    let pool: PostgresPool

    /// Adds an upload without parts, in a transaction that also keeps the answer.
    func create(_ upload: Upload, on connection: PostgresConnection) async throws {
        _ = try await connection.execute(
            """
            INSERT INTO uploads (id, account_id, file_name, bytes, part_bytes, sha256, state, created_at, touched_at)
            VALUES (\(upload.id), \(upload.accountID), \(upload.fileName), \(upload.bytes), \(upload.partBytes), \(upload.sha256),
                \(upload.state.rawValue), \(upload.createdAt), \(upload.touchedAt))
            """
        )
    }

    /// An account's upload.
    func find(_ id: UploadID, of account: AccountID) async throws -> Upload? {
        try await pool.query(Self.select + "WHERE u.id = \(id) AND u.account_id = \(account)").first.map(Self.upload)
    }

    /// Notes that a part is there; false when the upload takes none at the moment.
    func record(part number: Int, sha256: SHA256Digest, of id: UploadID, at now: Timestamp) async throws -> Bool {
        try await pool.withTransaction { connection in
            let open = try await connection.execute(
                "UPDATE uploads SET touched_at = \(now) WHERE id = \(id) AND state IN ('open', 'failed')"
            )
            guard open == 1 else { return false }
            // What was made of the parts before is of another file now.
            _ = try await connection.execute("UPDATE upload_conversions SET file_sha256 = NULL WHERE upload_id = \(id)")
            _ = try await connection.execute(
                """
                INSERT INTO upload_parts (upload_id, number, sha256) VALUES (\(id), \(number), \(sha256))
                ON CONFLICT (upload_id, number) DO UPDATE SET sha256 = excluded.sha256
                """
            )
            return true
        }
    }

    /// Hands an upload over to whoever imports next; false when it is not waiting for that.
    func beginImport(of id: UploadID, options: [String: String], at now: Timestamp) async throws -> Bool {
        try await pool.execute(
            """
            UPDATE uploads SET state = 'importing', options = \(try PostgresJSON(encoding: options)), touched_at = \(now), attempts = 0, days_done = 0,
                days_total = NULL, rows_done = 0, result = NULL, problem = NULL, runner = NULL, lease_until = '-infinity'
            WHERE id = \(id) AND state IN ('open', 'failed')
            """
        ) == 1
    }

    /// Forgets an upload with its parts; false when it is being imported.
    func delete(_ id: UploadID, of account: AccountID) async throws -> Bool {
        try await pool.execute("DELETE FROM uploads WHERE id = \(id) AND account_id = \(account) AND state <> 'importing'") == 1
    }

    // MARK: Importing

    /// Takes the upload that has waited longest, if there is one without an importer.
    func claim(runner: String, leaseSeconds: Int) async throws -> Upload? {
        try await pool.query(
            """
            WITH claimed AS (
                UPDATE uploads SET runner = \(runner), attempts = attempts + 1,
                    lease_until = clock_timestamp() + make_interval(secs => \(Double(leaseSeconds)))
                WHERE id = (
                    SELECT id FROM uploads WHERE state = 'importing' AND lease_until < clock_timestamp()
                    ORDER BY lease_until, touched_at LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING *)
            \(Self.select(from: "claimed"))
            """
        ).first.map(Self.upload)
    }

    /// The parts in order, each by the hash of its bytes.
    func parts(of id: UploadID) async throws -> [SHA256Digest] {
        try await pool.query("SELECT sha256 FROM upload_parts WHERE upload_id = \(id) ORDER BY number").map { try $0.column(0) }
    }

    /// Prolongs the lease; false when somebody else has it.
    func renew(_ id: UploadID, runner: String, leaseSeconds: Int) async throws -> Bool {
        try await pool.execute(
            """
            UPDATE uploads SET lease_until = clock_timestamp() + make_interval(secs => \(Double(leaseSeconds)))
            WHERE id = \(id) AND runner = \(runner) AND state = 'importing'
            """
        ) == 1
    }

    /// Gives the lease back, for somebody to try again after a while.
    func release(_ id: UploadID, runner: String, afterSeconds pause: Int) async throws {
        _ = try await pool.execute(
            """
            UPDATE uploads SET lease_until = clock_timestamp() + make_interval(secs => \(Double(pause))), runner = NULL
            WHERE id = \(id) AND runner = \(runner) AND state = 'importing'
            """
        )
    }

    /// Gives the lease back to wait for somebody else's work, which does not count as an attempt.
    func wait(_ id: UploadID, runner: String, seconds: Int) async throws {
        _ = try await pool.execute(
            """
            UPDATE uploads SET lease_until = clock_timestamp() + make_interval(secs => \(Double(seconds))), runner = NULL,
                attempts = greatest(attempts - 1, 0)
            WHERE id = \(id) AND runner = \(runner) AND state = 'importing'
            """
        )
    }

    /// Says how far the import is.
    func report(_ progress: ImportProgress, of id: UploadID, runner: String) async throws {
        _ = try await pool.execute(
            """
            UPDATE uploads SET days_done = \(progress.daysDone), days_total = \(progress.daysTotal), rows_done = \(progress.rowsDone)
            WHERE id = \(id) AND runner = \(runner) AND state = 'importing'
            """
        )
    }

    /// Ends an import with its result or its problem. The parts of what is imported are needed no more.
    func finish(_ id: UploadID, runner: String, result: PostgresJSON?, problem: PostgresJSON?, at now: Timestamp) async throws {
        try await pool.withTransaction { connection in
            let ended = try await connection.execute(
                """
                UPDATE uploads SET state = \(result == nil ? "failed" : "imported"), result = \(result), problem = \(problem), touched_at = \(now)
                WHERE id = \(id) AND runner = \(runner) AND state = 'importing'
                """
            )
            guard ended == 1, result != nil else { return }
            _ = try await connection.execute("DELETE FROM upload_parts WHERE upload_id = \(id)")
            _ = try await connection.execute("DELETE FROM upload_tables WHERE upload_id = \(id)")
        }
    }

    // MARK: Cleaning up

    /// Forgets what nobody has touched since a moment; gives how many.
    @discardableResult
    func forget(untouchedSince moment: Timestamp) async throws -> Int {
        try await pool.execute("DELETE FROM uploads WHERE touched_at < \(moment) AND state <> 'importing'")
    }

    /// Which of some blobs are parts of an upload, or of the text that it was converted to.
    func referenced(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest> {
        Set(
            try await pool.query(
                """
                SELECT sha256 FROM upload_parts WHERE sha256 = ANY (\(digests))
                UNION SELECT sha256 FROM upload_tables WHERE sha256 = ANY (\(digests))
                """
            ).map { try $0.column(0) }
        )
    }

    // MARK: Rows

    private static let select = select(from: "uploads")

    private static func select(from table: String) -> SQL {
        """
        SELECT u.id, u.account_id, u.file_name, u.bytes, u.part_bytes, u.sha256, u.state, u.options, u.days_done, u.days_total, u.rows_done, u.attempts,
            u.result, u.problem, u.created_at, u.touched_at,
            coalesce((SELECT array_agg(p.number::bigint ORDER BY p.number) FROM upload_parts p WHERE p.upload_id = u.id), '{}'::bigint[]),
            (SELECT c.percent FROM upload_conversions c WHERE c.upload_id = u.id AND c.file_sha256 IS NOT NULL)
        FROM \(unsafe: table) u\u{20}
        """
    }

    private static func upload(_ row: PostgresRow) throws -> Upload {
        let state = try row.column(6, as: String.self)
        let received = try row.column(16, as: [Int64].self)
        return Upload(
            id: try row.column(0),
            accountID: try row.column(1),
            fileName: try row.column(2),
            bytes: try row.column(3),
            partBytes: try row.column(4),
            sha256: try row.column(5),
            state: Upload.State(rawValue: state) ?? .failed,
            options: try row.column(7, as: PostgresJSON.self).decode([String: String].self),
            received: received.map(Int.init),
            daysDone: try row.column(8),
            daysTotal: try row.column(9),
            rowsDone: try row.column(10),
            attempts: try row.column(11),
            result: try row.column(12),
            problem: try row.column(13),
            createdAt: try row.column(14),
            touchedAt: try row.column(15),
            convertedPercent: try row.column(17)
        )
    }
}
