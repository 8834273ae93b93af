internal import Contracts
public import ServiceRuntime
internal import Synchronization

/// The connections of a service, some on each of its loops; what runs on a loop borrows there and never leaves it.
///
/// All loops together hold `maximumConnections` (but each loop at least one). A caller waits `waitTimeout` at most and then gets
/// ``PostgresError/Code/poolExhausted``, which the HTTP edge answers with 503. A database that is away is tried again with backoff.
public final class PostgresPool: Component {
    /// The component's name.
    public let name: String
    /// How the pool reaches the database.
    public let configuration: PostgresConfiguration
    private let pools: [LoopPool]
    private let turn = Atomic<Int>(0)
    private let statements: StatementCount

    /// How a transaction sees what others commit meanwhile.
    public enum IsolationLevel: Sendable {
        /// Each statement sees what was committed before it.
        case readCommitted
        /// All statements see what was committed before the first.
        case repeatableRead
        /// As if transactions ran one after the other; fails with a retry where they could not have.
        case serializable

        fileprivate func begin(readOnly: Bool) -> SQL {
            switch (self, readOnly) {
            case (.readCommitted, false): "BEGIN"
            case (.readCommitted, true): "BEGIN READ ONLY"
            case (.repeatableRead, false): "BEGIN ISOLATION LEVEL REPEATABLE READ"
            case (.repeatableRead, true): "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            case (.serializable, false): "BEGIN ISOLATION LEVEL SERIALIZABLE"
            case (.serializable, true): "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"
            }
        }
    }

    /// A pool over these loops; `readiness`, if given, learns whether the database can be reached.
    public init(configuration: PostgresConfiguration, loops: [EventLoop], readiness: Readiness? = nil, name: String = "postgres") {
        precondition(!loops.isEmpty, "a pool needs at least one loop")
        self.name = name
        self.configuration = configuration
        let statements = StatementCount(pool: name)
        self.statements = statements
        let check = readiness?.register(name)
        let share = configuration.maximumConnections / loops.count
        let remainder = configuration.maximumConnections % loops.count
        pools = loops.enumerated().map { index, loop in
            let maximum = max(1, share + (index < remainder ? 1 : 0))
            return LoopPool(configuration: configuration, maximum: maximum, loop: loop, statements: statements) { isReachable, detail in
                check?.set(ready: isReachable, detail: detail)
            }
        }
    }

    /// Begins to connect; does not wait, and does not fail when the database is away.
    public func start() async throws {
        for pool in pools { await pool.start() }
    }

    /// Waits for borrowers to finish, for a few seconds at most, then closes all connections.
    public func stop() async {
        await withTaskGroup(of: Void.self) { group in
            for pool in pools { group.addTask { await pool.stop(within: .seconds(5)) } }
        }
    }

    /// How many statements this pool's connections have sent, `BEGIN` and `COMMIT` included: what a request costs in statements is a promise
    /// that tests can hold.
    public var sentStatements: Int { statements.current }

    /// In how many exchanges they went: those of a pipeline went together, and `BEGIN` with what came first.
    public var sentExchanges: Int { statements.currentExchanges }

    // MARK: Borrowing

    /// Lends a connection to `body` and takes it back, whatever happens.
    @discardableResult
    public func withConnection<Outcome>(
        caller: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> Outcome
    ) async throws -> Outcome {
        let pool = nearest()
        let connection = try await lease(from: pool)
        do {
            let outcome = try await body(connection)
            await release(connection, to: pool)
            return outcome
        } catch {
            await release(connection, to: pool)
            throw error
        }
    }

    /// Runs `body` in a transaction and commits; an error rolls back.
    ///
    /// On a serialization failure or a deadlock everything is tried again, up to five times, so `body` must do nothing that cannot be undone.
    /// A read-only transaction is refused any change; with ``IsolationLevel/repeatableRead`` it is a view of one moment.
    @discardableResult
    public func withTransaction<Outcome>(
        isolation level: IsolationLevel = .readCommitted,
        readOnly: Bool = false,
        caller: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> Outcome
    ) async throws -> Outcome {
        var retry = TransactionRetry()
        while true {
            do {
                return try await withConnection { connection in
                    await connection.beginLater(level.begin(readOnly: readOnly))
                    do {
                        let outcome = try await body(connection)
                        try await connection.commit()
                        return outcome
                    } catch {
                        await connection.rollback()
                        throw error
                    }
                }
            } catch let error as PostgresError where error.isRetryable {
                guard let delay = retry.next() else { throw error }
                try await Task.sleep(for: delay)
            }
        }
    }

    /// Runs one statement on a connection of the pool and returns its rows.
    public func query(_ sql: SQL) async throws -> [PostgresRow] { try await run(sql).rows }

    /// Runs one statement on a connection of the pool and returns how many rows it changed.
    @discardableResult
    public func execute(_ sql: SQL) async throws -> Int { try await run(sql).affectedRows }

    /// Runs one short read and returns its rows: a row or a few by their keys, nothing that takes long or waits for a lock.
    ///
    /// When no connection is idle it goes out on one that other short reads are on, right behind them, instead of waiting for one to come back: the
    /// server then finds the next statement already there, and neither side has to be woken for each. A cancelled task waits for the answer, which is
    /// there sooner than a cancel would be.
    public func read(_ sql: SQL) async throws -> [PostgresRow] {
        let pool = nearest()
        guard let connection = pool.joinHere() else { return try await run(sql).rows }
        do {
            let result = try await connection.runToItsEnd(sql)
            pool.leaveHere(connection)
            return result.rows
        } catch {
            pool.leaveHere(connection)
            throw error
        }
    }

    /// Runs several statements as one transaction in one round trip; tried again after a serialization failure or a deadlock, as in
    /// ``withTransaction(isolation:readOnly:caller:_:)``.
    public func pipeline(_ statements: [SQL]) async throws -> [[PostgresRow]] {
        var retry = TransactionRetry()
        while true {
            do {
                return try await withConnection { try await $0.pipeline(statements) }
            } catch let error as PostgresError where error.isRetryable {
                guard let delay = retry.next() else { throw error }
                try await Task.sleep(for: delay)
            }
        }
    }

    private func run(_ sql: SQL) async throws -> PostgresResult {
        let pool = nearest()
        let connection = try await lease(from: pool)
        do {
            let result = try await connection.run(sql)
            await release(connection, to: pool)
            return result
        } catch {
            await release(connection, to: pool)
            throw error
        }
    }

    /// The pool of the caller's loop; any other caller takes turns.
    private func nearest() -> LoopPool {
        if let current = EventLoop.current {
            for pool in pools where pool.loop === current { return pool }
        }
        if pools.count == 1 { return pools[0] }
        return pools[(turn.wrappingAdd(1, ordering: .relaxed).oldValue & Int.max) % pools.count]
    }

    private func lease(from pool: LoopPool) async throws -> PostgresConnection {
        if let connection = pool.takeIdleHere() { return connection }
        return try await pool.lease()
    }

    private func release(_ connection: PostgresConnection, to pool: LoopPool) async {
        if !pool.releaseHere(connection) { await pool.release(connection) }
    }
}
