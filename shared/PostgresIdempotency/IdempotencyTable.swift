public import Contracts
public import HTTPServing
public import Postgres

/// The table `idempotency_keys` of a service's schema, inside a transaction.
public struct IdempotencyTable: Sendable {
    private let connection: PostgresConnection

    /// The table as the transaction of `connection` sees it.
    public init(_ connection: PostgresConnection) { self.connection = connection }

    /// Takes the key for this transaction; false while another one holds it.
    ///
    /// A lock that is tried and not waited for: a second request learns at once that the first is still running, and a crash frees it.
    public func claim(_ request: IdempotentRequest) async throws -> Bool {
        let name = "idempotency \(request.accountID?.description ?? "-")\n\(request.route)\n\(request.key)"
        return try await connection.query("SELECT pg_try_advisory_xact_lock(hashtextextended(\(name), 7))").first?.column(0) ?? false
    }

    /// The answer that was given after the moment, if any.
    public func answer(to request: IdempotentRequest, since: Timestamp) async throws -> IdempotentAnswer? {
        let rows = try await connection.query(
            """
            SELECT request_sha256, status, content_type, body FROM idempotency_keys
            WHERE account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key) AND created_at > \(since)
            """
        )
        return try rows.first.map { row in
            let (requestSHA256, status, contentType, body) = try row.decode(SHA256Digest.self, Int.self, String?.self, [UInt8].self)
            return IdempotentAnswer(requestSHA256: requestSHA256, status: status, contentType: contentType, body: body)
        }
    }

    /// Keeps the answer; one that is too old to be given, but not tidied away yet, makes room.
    public func remember(_ answer: IdempotentAnswer, to request: IdempotentRequest, at now: Timestamp) async throws {
        _ = try await connection.pipeline([
            """
            DELETE FROM idempotency_keys
            WHERE account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key)
            """,
            """
            INSERT INTO idempotency_keys (account_id, route, key, request_sha256, status, content_type, body, created_at)
            VALUES (\(request.accountID), \(request.route), \(request.key), \(answer.requestSHA256), \(answer.status), \(answer.contentType),
                \(answer.body), \(now))
            """,
        ])
    }

    /// Drops the answers that were given before the moment.
    public func forget(before moment: Timestamp) async throws {
        try await connection.execute("DELETE FROM idempotency_keys WHERE created_at < \(moment)")
    }
}
