import HTTPServing
import PostgresIdempotency

/// Runs the effect of an unsafe request once per `Idempotency-Key`, on a store that is inside the effect's transaction.
protocol Effects: Sendable {
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

    func run(_ request: Request, _ effect: @escaping @Sendable (any SignalsStore) async throws -> Response) async throws -> Response {
        let store = store
        return try await idempotency.run(request) { connection in try await effect(store.on(connection)) }
    }
}

/// Effects on the store for tests, which has no transactions.
struct InMemoryEffects: Effects {
    let store: InMemorySignalsStore

    func run(_ request: Request, _ effect: @escaping @Sendable (any SignalsStore) async throws -> Response) async throws -> Response {
        try await effect(store)
    }
}
