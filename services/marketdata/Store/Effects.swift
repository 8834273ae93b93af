import Contracts
import HTTPServing
import Messaging
import Postgres
import PostgresIdempotency

/// The writes that an unsafe request may ask for once only.
protocol EffectStore: Sendable {
    /// Adds an instrument and says so; throws `symbolTaken`.
    func create(_ instrument: Instrument) async throws
    /// Makes the replay and its instrument, with the next number of its source; throws when too many run.
    func createReplay(_ draft: ReplayDraft, within limits: ReplayLimits) async throws -> Replay
}

/// Runs the effect of an unsafe request once per `Idempotency-Key`.
protocol Effects: Sendable {
    func run(_ request: Request, _ effect: @escaping @Sendable (any EffectStore) async throws -> Response) async throws -> Response
}

/// Effects in Postgres, with the answer kept in the same transaction.
struct PostgresEffects: Effects {
    private let idempotency: Idempotency<PostgresIdempotencyStore>
    private let store: PostgresMarketdataStore

    init(store: PostgresMarketdataStore) {
        self.store = store
        // Keys are few here, and those of yesterday are nobody's.
        idempotency = Idempotency(store: PostgresIdempotencyStore(pool: store.pool, takesOldAlong: true) { store.outbox.poke() })
    }

    func run(_ request: Request, _ effect: @escaping @Sendable (any EffectStore) async throws -> Response) async throws -> Response {
        let store = store
        return try await idempotency.run(request) { connection in try await effect(TransactionStore(store: store, connection: connection)) }
    }

    private struct TransactionStore: EffectStore {
        let store: PostgresMarketdataStore
        let connection: PostgresConnection

        func create(_ instrument: Instrument) async throws {
            do { try await store.insert(instrument, on: connection) } catch let error as PostgresError
                where error.isUniqueViolation(of: "instruments_symbol_key")
            { throw MarketdataError.symbolTaken(instrument.symbol) }
        }

        func createReplay(_ draft: ReplayDraft, within limits: ReplayLimits) async throws -> Replay {
            try await store.create(draft, within: limits, on: connection)
        }
    }
}

/// Effects straight on a store, which remembers no keys: for tests.
struct PlainEffects: Effects {
    let store: any MarketdataStore

    func run(_ request: Request, _ effect: @escaping @Sendable (any EffectStore) async throws -> Response) async throws -> Response {
        try await effect(store)
    }
}
