internal import ServiceRuntime

/// The connections of one loop; lives on it, so that lending takes no lock and no hop.
actor LoopPool {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let configuration: PostgresConfiguration
    private let statements: StatementCount
    private var machine: PoolStateMachine<PostgresConnection>
    private var waiting: [UInt64: (continuation: UnsafeContinuation<PostgresConnection, any Error>, timer: LoopTimer)] = [:]
    private var nextWaiter: UInt64 = 0
    private var lent: [ObjectIdentifier: PostgresConnection] = [:]
    /// Lent connections that short reads share, each with their number.
    private var shared: [(connection: PostgresConnection, readers: Int)] = []
    private var lastConnectError: PostgresError?
    private var closeWaiter: UnsafeContinuation<Void, Never>?
    private var maintenance: LoopTimer?
    private let onReachable: @Sendable (Bool, String) -> Void

    init(
        configuration: PostgresConfiguration,
        maximum: Int,
        loop: EventLoop,
        statements: StatementCount,
        onReachable: @escaping @Sendable (_ isReachable: Bool, String) -> Void
    ) {
        self.configuration = configuration
        self.loop = loop
        self.statements = statements
        self.onReachable = onReachable
        machine = PoolStateMachine(maximum: maximum, maximumWaiters: configuration.maximumWaiters)
    }

    /// Makes the first connection ahead of need and begins to look after all of them.
    func start() {
        carryOut(machine.warmUp())
        armMaintenance()
    }

    /// A connection, if one is idle.
    func takeIdle() -> PostgresConnection? {
        while let connection = machine.takeIdle() {
            if connection.assumeIsolated({ $0.handle != nil }) {
                lent[ObjectIdentifier(connection)] = connection
                return connection
            }
            carryOut(machine.release(connection, isClean: false, isClosed: true, now: monotonicNanoseconds()))
        }
        return nil
    }

    /// The same for callers on the loop, without a hop; `nil` also for others.
    nonisolated func takeIdleHere() -> PostgresConnection? { loop.inLoop ? assumeIsolated { $0.takeIdle() } : nil }

    /// A connection for one short read: an idle one, else one that other short reads are on, whose answers come in order. `nil` when neither is there,
    /// or when somebody waits for a connection of his own, who must not wait for ever.
    ///
    /// For callers on the loop only; give it back with ``leaveHere(_:)``.
    nonisolated func joinHere() -> PostgresConnection? { loop.inLoop ? assumeIsolated { $0.join() } : nil }

    /// Takes back a connection of ``joinHere()``.
    nonisolated func leaveHere(_ connection: PostgresConnection) {
        if loop.inLoop { assumeIsolated { $0.leave(connection) } } else { loop.execute { self.assumeIsolated { $0.leave(connection) } } }
    }

    private func join() -> PostgresConnection? {
        if let idle = takeIdle() {
            shared.append((idle, 1))
            return idle
        }
        guard !machine.isClosing, machine.waiterCount == 0 else { return nil }
        var best: Int?
        for (index, candidate) in shared.enumerated() {
            guard candidate.readers < configuration.maximumSharedReads, candidate.connection.assumeIsolated({ $0.handle != nil }) else { continue }
            if best.map({ candidate.readers < shared[$0].readers }) ?? true { best = index }
        }
        guard let best else { return nil }
        shared[best].readers += 1
        return shared[best].connection
    }

    private func leave(_ connection: PostgresConnection) {
        guard let index = shared.firstIndex(where: { $0.connection === connection }) else { return }
        shared[index].readers -= 1
        guard shared[index].readers == 0 else { return }
        shared.remove(at: index)
        release(connection)
    }

    /// Takes a connection back without a hop; `false` for callers that are not on the loop.
    nonisolated func releaseHere(_ connection: PostgresConnection) -> Bool {
        guard loop.inLoop else { return false }
        assumeIsolated { $0.release(connection) }
        return true
    }

    /// A connection, now or when one comes free.
    func lease() async throws -> PostgresConnection {
        if let idle = takeIdle() { return idle }
        nextWaiter += 1
        let waiter = nextWaiter
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in wait(waiter, continuation) }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.giveUp(waiter, CancellationError()) } }
        }
    }

    /// Takes a connection back.
    func release(_ connection: PostgresConnection) {
        lent[ObjectIdentifier(connection)] = nil
        let (isClean, isClosed) = connection.assumeIsolated { ($0.isClean, $0.handle == nil) }
        carryOut(machine.release(connection, isClean: isClean, isClosed: isClosed, now: monotonicNanoseconds()))
        closeIfDone()
    }

    /// Refuses new callers, waits for those who still work, and closes everything.
    func stop(within limit: Duration) async {
        maintenance?.cancel()
        maintenance = nil
        let (idle, waiters) = machine.close()
        for connection in idle { await connection.close() }
        for waiter in waiters { refuse(waiter, PostgresError(.closed)) }
        guard machine.total > 0 else { return }
        let timer = loop.timer(after: limit) { [self] in
            assumeIsolated { pool in
                for connection in pool.lent.values { connection.assumeIsolated { $0.close() } }
                pool.closeWaiter?.resume()
                pool.closeWaiter = nil
            }
        }
        await withUnsafeContinuation { closeWaiter = $0 }
        timer.cancel()
    }

    private func wait(_ waiter: UInt64, _ continuation: UnsafeContinuation<PostgresConnection, any Error>) {
        let action = machine.lease(waiter)
        switch action {
        case .lend(let connection):
            lent[ObjectIdentifier(connection)] = connection
            return continuation.resume(returning: connection)
        case .refuse:
            return continuation.resume(throwing: PostgresError(machine.isClosing ? .closed : .poolExhausted))
        default: break
        }
        let timer = loop.timer(after: configuration.waitTimeout) { [weak self] in
            self?.assumeIsolated { pool in
                pool.giveUp(waiter, pool.lastConnectError ?? PostgresError(.poolExhausted, message: "waited \(pool.configuration.waitTimeout)"))
            }
        }
        waiting[waiter] = (continuation, timer)
        carryOut(action)
        if Task.isCancelled { giveUp(waiter, CancellationError()) }
    }

    private func giveUp(_ waiter: UInt64, _ error: any Error) {
        guard machine.abandon(waiter) else { return }
        refuse(waiter, error)
    }

    private func refuse(_ waiter: UInt64, _ error: any Error) {
        guard let (continuation, timer) = waiting.removeValue(forKey: waiter) else { return }
        timer.cancel()
        continuation.resume(throwing: error)
    }

    private func carryOut(_ action: PoolStateMachine<PostgresConnection>.Action) {
        switch action {
        case .nothing, .wait, .lend, .refuse: break
        case .lendToWaiter(let waiter, let connection):
            lent[ObjectIdentifier(connection)] = connection
            guard let (continuation, timer) = waiting.removeValue(forKey: waiter) else { return release(connection) }
            timer.cancel()
            continuation.resume(returning: connection)
        case .connect(let delay):
            if delay == .zero { return connect() }
            let jittered = delay * Double.random(in: 0.8...1.2)
            loop.timer(after: jittered) { [self] in assumeIsolated { $0.connect() } }
        case .clean(let connection):
            Task(on: loop) {
                let isUsable = await connection.cleanUp()
                if !isUsable { await connection.close() }
                await self.cleaned(connection, isUsable)
            }
        case .close(let connection):
            connection.assumeIsolated { $0.close() }
            closeIfDone()
        }
    }

    private func cleaned(_ connection: PostgresConnection, _ isUsable: Bool) {
        carryOut(machine.cleaned(connection, isUsable: isUsable, now: monotonicNanoseconds()))
        closeIfDone()
    }

    private func connect() {
        Task(on: loop) { await self.establish() }
    }

    private func establish() async {
        do {
            let connection = try await PostgresConnection.connect(configuration, on: loop, counting: statements)
            await connection.whenClosed { [weak self] ended in self?.assumeIsolated { $0.lost(ended) } }
            lastConnectError = nil
            onReachable(true, "")
            carryOut(machine.connected(connection, now: monotonicNanoseconds()))
        } catch {
            let reason = error as? PostgresError ?? PostgresError(.cannotConnect)
            if lastConnectError == nil {
                Logger("postgres").warning("cannot connect; trying again", ["reason": .string(reason.debugDescription)])
            }
            lastConnectError = reason
            onReachable(false, reason.description)
            carryOut(machine.connectFailed())
        }
        closeIfDone()
    }

    private func lost(_ connection: PostgresConnection) { carryOut(machine.lost(connection)) }

    private func closeIfDone() {
        guard machine.isClosing, machine.total == 0 else { return }
        closeWaiter?.resume()
        closeWaiter = nil
    }

    /// Ends what has been idle for a minute, and connections whose server has fallen silent past the statement's time.
    private func armMaintenance() {
        maintenance = loop.timer(after: .seconds(1)) { [weak self] in
            self?.assumeIsolated { pool in
                guard !pool.machine.isClosing else { return }
                let now = monotonicNanoseconds()
                let minute: UInt64 = 60_000_000_000
                for connection in pool.machine.takeStale(idleSince: now > minute ? now - minute : 0, keep: 1) {
                    connection.assumeIsolated { $0.close() }
                }
                let limit = pool.configuration.statementTimeout + .seconds(5)
                for connection in pool.lent.values where pool.configuration.statementTimeout > .zero {
                    connection.assumeIsolated { connection in
                        if connection.oldestWait(now: now) > limit {
                            connection.tearDown(PostgresError(.connectionLost, message: "the server is silent"))
                        }
                    }
                }
                pool.armMaintenance()
            }
        }
    }
}
