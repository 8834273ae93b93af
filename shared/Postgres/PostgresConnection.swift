internal import CPostgres
public import ServiceRuntime
internal import Synchronization

/// One session with the server, on one loop, always in pipeline mode: statements may be sent before the answers to earlier ones are there.
///
/// It belongs to its loop: calls from the loop's own tasks run without a hop. An operation is one or more statements up to a sync; several
/// statements in one ``pipeline(_:)`` outside a transaction are one transaction of their own and cost one round trip.
public actor PostgresConnection {
    /// The loop that the connection lives on.
    public nonisolated let loop: EventLoop
    /// The connection runs where its loop runs.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    let configuration: PostgresConfiguration
    /// Of the pool that the connection belongs to.
    let statements: StatementCount?
    var handle: OpaquePointer?
    var watcher: SocketWatcher?
    var connecting: UnsafeContinuation<Void, any Error>?
    var connectTimer: LoopTimer?
    var cache: StatementCache
    var expectations = FIFO<Expectation>()
    var operations = FIFO<Operation>()
    /// Operations that wait until a cancel was delivered or a COPY is over.
    var deferred: [() -> Void] = []
    var cancelPhase = CancelPhase.none
    var isPlain = false
    var plainWaiter: UnsafeContinuation<Void, Never>?
    var drainWaiters: [UnsafeContinuation<Void, Never>] = []
    var pendingBegin: SQL?
    var commitHooks: [@Sendable () -> Void] = []
    var onClose: (@Sendable (PostgresConnection) -> Void)?
    var onNotification: (@Sendable (_ channel: String, _ payload: String) -> Void)?

    private static let nextOperationID = Atomic<UInt64>(1)

    init(configuration: PostgresConfiguration, loop: EventLoop, statements: StatementCount? = nil) {
        self.configuration = configuration
        self.statements = statements
        self.loop = loop
        cache = StatementCache(capacity: configuration.maximumPreparedStatements)
    }

    /// Makes a connection outside of any pool, for what needs a session of its own (locks, LISTEN); end it with ``close()``.
    public static func connect(_ configuration: PostgresConfiguration, on loop: EventLoop) async throws -> PostgresConnection {
        try await connect(configuration, on: loop, counting: nil)
    }

    static func connect(_ configuration: PostgresConfiguration, on loop: EventLoop, counting statements: StatementCount?) async throws
        -> PostgresConnection
    {
        let connection = PostgresConnection(configuration: configuration, loop: loop, statements: statements)
        try await connection.open()
        return connection
    }

    // MARK: Statements

    /// Runs one statement and returns its rows.
    public nonisolated func query(_ sql: SQL) async throws -> [PostgresRow] { try await run(sql).rows }

    /// Runs one statement and returns how many rows it changed.
    @discardableResult
    public nonisolated func execute(_ sql: SQL) async throws -> Int { try await run(sql).affectedRows }

    /// Runs several statements in one round trip and returns the rows of each; outside a transaction they take effect together or not at all.
    public nonisolated func pipeline(_ statements: [SQL]) async throws -> [[PostgresRow]] {
        if statements.isEmpty { return [] }
        do {
            return try await perform(statements).map(\.rows)
        } catch let error as PostgresError where error.isStalePlan {
            guard await !isInTransaction else { throw error }
            return try await perform(statements).map(\.rows)
        }
    }

    /// Whether the session is inside a transaction, failed ones included.
    public var isInTransaction: Bool {
        guard let handle else { return false }
        return pendingBegin != nil || PQtransactionStatus(handle) != PQTRANS_IDLE
    }

    /// Whether the connection has ended.
    public var isClosed: Bool { handle == nil }

    /// Ends the connection; what waits for an answer fails.
    public func close() { tearDown(PostgresError(.closed)) }

    /// Calls back on the loop when the connection has ended, for whatever reason.
    public func whenClosed(_ callback: @escaping @Sendable (PostgresConnection) -> Void) {
        if handle == nil { callback(self) } else { onClose = callback }
    }

    /// Calls back on the loop for each notification of a channel that this session listens to.
    public func whenNotified(_ callback: @escaping @Sendable (_ channel: String, _ payload: String) -> Void) { onNotification = callback }

    nonisolated func run(_ sql: SQL) async throws -> PostgresResult {
        do {
            return try await perform(sql)
        } catch let error as PostgresError where error.isStalePlan {
            guard await !isInTransaction else { throw error }
            return try await perform(sql)
        }
    }

    /// The same for a statement that is not cancelled, as others share the session.
    nonisolated func runToItsEnd(_ sql: SQL) async throws -> PostgresResult {
        do {
            return try await perform(sql, cancellable: false)
        } catch let error as PostgresError where error.isStalePlan {
            return try await perform(sql, cancellable: false)
        }
    }

    /// Sends one statement and waits; a cancelled task cancels it at the server, unless it must run to its end.
    nonisolated func perform(_ sql: SQL, cancellable: Bool = true) async throws -> PostgresResult {
        let id = Self.nextOperationID.wrappingAdd(1, ordering: .relaxed).oldValue
        guard cancellable else {
            return try await withUnsafeThrowingContinuation { continuation in onLoop { $0.submit(id, [sql], .one(continuation)) } }
        }
        try Task.checkCancellation()
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in onLoop { $0.submit(id, [sql], .one(continuation)) } }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.cancel(id) } }
        }
    }

    private nonisolated func perform(_ statements: [SQL]) async throws -> [PostgresResult] {
        let id = Self.nextOperationID.wrappingAdd(1, ordering: .relaxed).oldValue
        try Task.checkCancellation()
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in onLoop { $0.submit(id, statements, .many(continuation)) } }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.cancel(id) } }
        }
    }

    /// Runs `body` at once if this is the loop's thread, else soon on it.
    private nonisolated func onLoop(_ body: @escaping @Sendable (isolated PostgresConnection) -> Void) {
        if loop.inLoop { assumeIsolated(body) } else { loop.execute { self.assumeIsolated(body) } }
    }

    // MARK: Transactions

    /// Remembers to begin a transaction; `BEGIN` travels with the first statement and costs no round trip.
    func beginLater(_ begin: SQL) {
        pendingBegin = begin
        commitHooks = []
    }

    /// Calls back on the loop once the transaction that is under way has been committed; never if it is rolled back.
    public func afterCommit(_ body: @escaping @Sendable () -> Void) { commitHooks.append(body) }

    /// Commits, unless nothing was sent since ``beginLater(_:)``.
    func commit() async throws {
        if pendingBegin != nil {
            pendingBegin = nil
            return
        }
        let failed = handle.map { PQtransactionStatus($0) == PQTRANS_INERROR } ?? false
        _ = try await perform("COMMIT", cancellable: false)
        // The server answers COMMIT of a failed transaction with a quiet ROLLBACK.
        let hooks = commitHooks
        commitHooks = []
        if failed { throw PostgresError(.misuse, message: "an error inside the transaction was swallowed, so it was rolled back") }
        for hook in hooks { hook() }
    }

    /// Rolls back; also when the task has been cancelled.
    func rollback() async {
        commitHooks = []
        if pendingBegin != nil {
            pendingBegin = nil
            return
        }
        guard handle != nil else { return }
        if (try? await perform("ROLLBACK", cancellable: false)) == nil { tearDown(PostgresError(.connectionLost, message: "rollback failed")) }
    }

    // MARK: Borrowing

    /// Whether the next borrower may have the connection as it is.
    var isClean: Bool {
        guard let handle else { return false }
        return operations.isEmpty && cancelPhase.isNone && !isPlain && pendingBegin == nil && PQtransactionStatus(handle) == PQTRANS_IDLE
    }

    /// Brings the connection into a state in which it can be lent again; `false` if it has to be thrown away.
    func cleanUp() async -> Bool {
        await drained()
        if isInTransaction { await rollback() }
        return isClean
    }

    /// Waits until nothing is on its way, cancels included.
    func drained() async {
        while handle != nil && !(operations.isEmpty && cancelPhase.isNone && deferred.isEmpty && !isPlain) {
            await withUnsafeContinuation { drainWaiters.append($0) }
        }
    }

    /// How many operations wait for their answers.
    var underWay: Int { operations.count }

    /// For how long the oldest operation has been waiting for its answer.
    func oldestWait(now: UInt64) -> Duration {
        guard let first = operations.first, now > first.startedAt else { return .zero }
        return .nanoseconds(Int64(now - first.startedAt))
    }
}
