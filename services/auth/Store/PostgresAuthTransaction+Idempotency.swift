import Contracts
import HTTPServing
import Postgres

extension PostgresAuthTransaction {
    func claim(_ request: IdempotentRequest) async throws -> Bool {
        // A lock that is tried and not waited for: a second request learns at once that the first is still running, and a crash frees it.
        let name = "auth.idempotency/\(request.accountID?.description ?? "-")/\(request.route)/\(request.key)"
        return try await connection.query("SELECT pg_try_advisory_xact_lock(hashtextextended(\(name), 0))").first?.column(0) ?? false
    }

    func answer(to request: IdempotentRequest, since: Timestamp) async throws -> IdempotentAnswer? {
        let rows = try await connection.query(
            """
            SELECT request_sha256, status, content_type, body FROM idempotency_keys
            WHERE account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key)
                AND created_at > \(since)
            """
        )
        return try rows.first.map { row in
            let (requestSHA256, status, contentType, body) = try row.decode(SHA256Digest.self, Int.self, String?.self, [UInt8].self)
            return IdempotentAnswer(requestSHA256: requestSHA256, status: status, contentType: contentType, body: body)
        }
    }

    func remember(_ answer: IdempotentAnswer, to request: IdempotentRequest, at now: Timestamp) async throws {
        // An answer that is too old to be given, but not tidied away yet, makes room.
        try await connection.execute(
            """
            INSERT INTO idempotency_keys (account_id, route, key, request_sha256, status, content_type, body, created_at)
            VALUES (\(request.accountID), \(request.route), \(request.key), \(answer.requestSHA256), \(answer.status), \(answer.contentType),
                \(answer.body), \(now))
            ON CONFLICT (account_id, route, key) DO UPDATE
            SET request_sha256 = excluded.request_sha256, status = excluded.status, content_type = excluded.content_type, body = excluded.body,
                created_at = excluded.created_at
            """
        )
    }
}
