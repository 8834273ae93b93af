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
    func replay(id: ReplayID) async throws -> Replay?
    /// Changes the state if it is one of `from`; gives the replay after the change, nothing otherwise.
    func changeReplay(_ id: ReplayID, from: Set<Replay.State>, to: Replay.State) async throws -> Replay?
    /// Lets a paused replay run again; nothing if it is not paused; throws when too many run.
    func resumeReplay(_ id: ReplayID, within limits: ReplayLimits) async throws -> Replay?
}

/// Runs the effect of an unsafe request once per `Idempotency-Key`.
protocol Effects: Sendable {
    /// The answer that the request got before, for what is done outside the transaction that keeps its answer.
    func earlierAnswer(to request: Request) async throws -> Response?
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

    func earlierAnswer(to request: Request) async throws -> Response? { try await idempotency.earlierAnswer(to: request) }

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

        func replay(id: ReplayID) async throws -> Replay? { try await store.replay(id, on: connection) }

        func changeReplay(_ id: ReplayID, from: Set<Replay.State>, to: Replay.State) async throws -> Replay? {
            try await store.changeReplay(id, from: from, to: to, on: connection)
        }

        func resumeReplay(_ id: ReplayID, within limits: ReplayLimits) async throws -> Replay? {
            try await store.resumeReplay(id, within: limits, on: connection)
        }
    }
}

/// Effects straight on a store, which remembers no keys: for tests.
struct PlainEffects: Effects {
    let store: any MarketdataStore

    func earlierAnswer(to request: Request) async throws -> Response? { nil }

    func run(_ request: Request, _ effect: @escaping @Sendable (any EffectStore) async throws -> Response) async throws -> Response {
        try await effect(store)
    }
}
