import Contracts
import Postgres

/// How the conversion of an upload stands.
struct Conversion: Sendable, Equatable {
    var uploadID: UploadID
    var format: String
    var fileSHA256: SHA256Digest
    var turn: Int
    var jobID: JobID?
    var result: TableConversionResult.Table?
}

/// Conversions of uploads in Postgres.
struct ConversionStore: Sendable {
    let pool: PostgresPool

    /// The conversion of the file that an upload's parts make now.
    func find(_ id: UploadID) async throws -> Conversion? {
        try await pool.query(
            """
            SELECT format, file_sha256, turn, job_id, result FROM upload_conversions WHERE upload_id = \(id) AND file_sha256 IS NOT NULL
            """
        ).first.map { row in
            Conversion(
                uploadID: id,
                format: try row.column(0),
                fileSHA256: try row.column(1),
                turn: try row.column(2),
                jobID: try row.column(3),
                result: try row.column(4, as: PostgresJSON?.self)?.decode(TableConversionResult.Table.self)
            )
        }
    }

    /// Notes that a file has to be converted. Where another was, it is another turn.
    func begin(_ id: UploadID, format: ForeignFormat, fileSHA256: SHA256Digest) async throws {
        try await pool.withTransaction { connection in
            _ = try await connection.execute("DELETE FROM upload_tables WHERE upload_id = \(id)")
            _ = try await connection.execute(
                """
                INSERT INTO upload_conversions (upload_id, format, file_sha256) VALUES (\(id), \(format.name), \(fileSHA256))
                ON CONFLICT (upload_id) DO UPDATE SET format = excluded.format, file_sha256 = excluded.file_sha256,
                    turn = upload_conversions.turn + 1, job_id = NULL, percent = 0, result = NULL
                """
            )
        }
    }

    /// Notes the job that does it.
    func order(_ conversion: Conversion, job: JobID) async throws {
        _ = try await pool.execute(
            "UPDATE upload_conversions SET job_id = \(job) WHERE upload_id = \(conversion.uploadID) AND turn = \(conversion.turn)"
        )
    }

    /// Says how far it is.
    func report(_ conversion: Conversion, percent: Int) async throws {
        _ = try await pool.execute(
            """
            UPDATE upload_conversions SET percent = greatest(percent, \(max(0, min(99, percent))))
            WHERE upload_id = \(conversion.uploadID) AND turn = \(conversion.turn)
            """
        )
    }

    /// Keeps what came of it.
    func finish(_ conversion: Conversion, with table: TableConversionResult.Table) async throws {
        try await pool.withTransaction { connection in
            let ended = try await connection.execute(
                """
                UPDATE upload_conversions SET result = \(try PostgresJSON(encoding: table)), percent = 100
                WHERE upload_id = \(conversion.uploadID) AND turn = \(conversion.turn) AND result IS NULL
                """
            )
            guard ended == 1 else { return }
            for (index, part) in table.parts.enumerated() {
                _ = try await connection.execute(
                    "INSERT INTO upload_tables (upload_id, number, sha256) VALUES (\(conversion.uploadID), \(index + 1), \(part))"
                )
            }
        }
    }

    /// Forgets what came of it: the next import orders it anew.
    func forget(_ conversion: Conversion) async throws {
        _ = try await pool.execute(
            "UPDATE upload_conversions SET file_sha256 = NULL WHERE upload_id = \(conversion.uploadID) AND turn = \(conversion.turn)"
        )
    }

    /// The hash of one part of the file of a conversion, for whoever may read that file.
    func part(_ number: Int, of id: UploadID, file: [SHA256Digest]) async throws -> SHA256Digest? {
        try await pool.query(
            """
            SELECT p.sha256 FROM upload_conversions c JOIN upload_parts p USING (upload_id)
            WHERE c.upload_id = \(id) AND c.file_sha256 = ANY (\(file)) AND p.number = \(number)
            """
        ).first.map { try $0.column(0) }
    }

    /// Whether a conversion of one of these files waits for its text.
    func isOpen(_ id: UploadID, file: [SHA256Digest]) async throws -> Bool {
        try await pool.query(
            "SELECT 1 FROM upload_conversions WHERE upload_id = \(id) AND file_sha256 = ANY (\(file)) AND result IS NULL"
        ).first != nil
    }
}
