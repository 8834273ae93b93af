import HTTPServing
import PostgresIdempotency

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
