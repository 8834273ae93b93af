internal import Contracts
public import HTTPServing
public import Postgres
public import ServiceRuntime

/// Keeps answers of unsafe requests beside their effects, in transactions of a pool.
public struct PostgresIdempotencyStore: IdempotencyStore {
    private let pool: PostgresPool
    private let time: any TimeSource
    private let takesOldAlong: Bool
    private let afterCommit: @Sendable () -> Void

    /// - Parameters:
    ///   - takesOldAlong: whether each new answer drops those that nobody may ask for any more: for a service that has few of them. Any other calls
    ///     ``sweep()`` now and then.
    ///   - afterCommit: runs after each effect, as to send off what it said.
    public init(
        pool: PostgresPool,
        time: any TimeSource = SystemTimeSource(),
        takesOldAlong: Bool = false,
        afterCommit: @escaping @Sendable () -> Void
    ) {
        self.pool = pool
        self.time = time
        self.takesOldAlong = takesOldAlong
        self.afterCommit = afterCommit
    }

    /// Runs `body` in a transaction of the pool.
    public func withTransaction<T: Sendable>(_ body: @Sendable (PostgresConnection) async throws -> T) async throws -> T {
        let outcome = try await pool.withTransaction { try await body($0) }
        afterCommit()
        return outcome
    }

    /// Takes the key for this transaction; false while another one holds it.
    public func claim(_ request: IdempotentRequest, in transaction: PostgresConnection) async throws -> Bool {
        try await IdempotencyTable(transaction).claim(request)
    }

    /// The answer that was given within the last 24 hours, if any.
    public func answer(to request: IdempotentRequest, in transaction: PostgresConnection) async throws -> IdempotentAnswer? {
        try await IdempotencyTable(transaction).answer(to: request, since: time.now() - IdempotentRequest.lifetime)
    }

    /// Keeps the answer; it becomes durable with the effect or not at all.
    public func store(_ answer: IdempotentAnswer, to request: IdempotentRequest, in transaction: PostgresConnection) async throws {
        let table = IdempotencyTable(transaction)
        if takesOldAlong { try await table.forget(before: time.now() - IdempotentRequest.lifetime) }
        try await table.remember(answer, to: request, at: time.now())
    }

    /// Drops answers that nobody may ask for any more.
    public func sweep() async throws {
        try await pool.withTransaction { try await IdempotencyTable($0).forget(before: time.now() - IdempotentRequest.lifetime) }
    }
}
