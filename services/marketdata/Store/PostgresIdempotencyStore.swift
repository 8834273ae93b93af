import Contracts
import HTTPServing
import Messaging
import Postgres

/// Keeps answers of unsafe requests beside their effects.
struct PostgresIdempotencyStore: IdempotencyStore {
    let pool: PostgresPool
    let outbox: Outbox

    func withTransaction<T: Sendable>(_ body: @Sendable (PostgresConnection) async throws -> T) async throws -> T {
        let outcome = try await pool.withTransaction { try await body($0) }
        outbox.poke()
        return outcome
    }

    func claim(_ request: IdempotentRequest, in transaction: PostgresConnection) async throws -> Bool {
        let name = "\(request.accountID?.description ?? "")\n\(request.route)\n\(request.key)"
        return try await transaction.query("SELECT pg_try_advisory_xact_lock(hashtextextended(\(name), 7))").first?.column(0) ?? false
    }

    func answer(to request: IdempotentRequest, in transaction: PostgresConnection) async throws -> IdempotentAnswer? {
        try await transaction.query(
            """
            SELECT request_sha256, status, content_type, body FROM idempotency_keys
            WHERE account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key)
                AND created_at > clock_timestamp() - interval '24 hours'
            """
        ).first.map { row in
            let (digest, status, type, body) = try row.decode(SHA256Digest.self, Int.self, String?.self, [UInt8].self)
            return IdempotentAnswer(requestSHA256: digest, status: status, contentType: type, body: body)
        }
    }

    func store(_ answer: IdempotentAnswer, to request: IdempotentRequest, in transaction: PostgresConnection) async throws {
        // Keys are few here, and those of yesterday are nobody's: each new one takes the old ones along.
        _ = try await transaction.execute(
            """
            DELETE FROM idempotency_keys
            WHERE created_at < clock_timestamp() - interval '25 hours'
                OR (account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key))
            """
        )
        _ = try await transaction.execute(
            """
            INSERT INTO idempotency_keys (account_id, route, key, request_sha256, status, content_type, body)
            VALUES (\(request.accountID), \(request.route), \(request.key), \(answer.requestSHA256), \(answer.status), \(answer.contentType),
                \(answer.body))
            """
        )
    }
}
