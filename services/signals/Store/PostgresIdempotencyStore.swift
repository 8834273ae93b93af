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
        let rows = try await transaction.query(
            """
            SELECT request_sha256, status, content_type, body FROM idempotency_keys
            WHERE account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key)
                AND created_at > clock_timestamp() - interval '24 hours'
            """
        )
        return try rows.first.map { row in
            IdempotentAnswer(
                requestSHA256: try row.column(0),
                status: try row.column(1),
                contentType: try row.column(2),
                body: try row.column(3)
            )
        }
    }

    func store(_ answer: IdempotentAnswer, to request: IdempotentRequest, in transaction: PostgresConnection) async throws {
        try await transaction.execute(
            """
            DELETE FROM idempotency_keys
            WHERE account_id IS NOT DISTINCT FROM \(request.accountID) AND route = \(request.route) AND key = \(request.key)
            """
        )
        try await transaction.execute(
            """
            INSERT INTO idempotency_keys (account_id, route, key, request_sha256, status, content_type, body)
            VALUES (\(request.accountID), \(request.route), \(request.key), \(answer.requestSHA256), \(answer.status), \(answer.contentType), \(answer.body))
            """
        )
    }

    /// Drops answers that nobody may ask for any more.
    func sweep() async throws {
        try await pool.execute("DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - interval '25 hours'")
    }
}

/// Runs the effect of an unsafe request once per `Idempotency-Key`, on a store that is inside the effect's transaction.
protocol Effects: Sendable {
    /// The answer that the request got before: for what is done or looked up before the effect and must not be done or refused a second time.
    func earlierAnswer(to request: Request) async throws -> Response?
    func run(_ request: Request, _ effect: @escaping @Sendable (any SignalsStore) async throws -> Response) async throws -> Response
}

/// Effects in Postgres, with the answer kept in the same transaction.
struct PostgresEffects: Effects {
    private let idempotency: Idempotency<PostgresIdempotencyStore>
    private let store: PostgresSignalsStore

    init(store: PostgresSignalsStore, idempotency: PostgresIdempotencyStore) {
        self.store = store
        self.idempotency = Idempotency(store: idempotency)
    }

    func earlierAnswer(to request: Request) async throws -> Response? { try await idempotency.earlierAnswer(to: request) }

    func run(_ request: Request, _ effect: @escaping @Sendable (any SignalsStore) async throws -> Response) async throws -> Response {
        let store = store
        return try await idempotency.run(request) { connection in try await effect(store.on(connection)) }
    }
}

/// Effects on the store for tests, which has no transactions.
struct InMemoryEffects: Effects {
    let store: InMemorySignalsStore

    func earlierAnswer(to request: Request) async throws -> Response? { nil }

    func run(_ request: Request, _ effect: @escaping @Sendable (any SignalsStore) async throws -> Response) async throws -> Response {
        try await effect(store)
    }
}
