/// Who may have which connection, as a value that decides and does nothing: the pool carries out the actions that it returns.
///
/// One of these per loop. Connections are `idle`, `lent`, `cleaning` (given back in a state that first has to be put right) or `starting`.
struct PoolStateMachine<Connection: AnyObject> {
    typealias WaiterID = UInt64

    /// What the pool has to do next.
    enum Action {
        /// Give the connection to the caller that asked.
        case lend(Connection)
        /// Give the connection to a caller that waited.
        case lendToWaiter(WaiterID, Connection)
        /// Make a connection, after this long; the caller that asked, if any, waits.
        case connect(after: Duration)
        /// The caller waits for what is already under way.
        case wait
        /// The caller is refused at once.
        case refuse
        /// Put the connection right, then report with `cleaned`.
        case clean(Connection)
        /// End the connection.
        case close(Connection)
        case nothing
    }

    private var idle: [(connection: Connection, since: UInt64)] = []
    private(set) var lent = 0
    private(set) var cleaning = 0
    private(set) var starting = 0
    private var waiters = FIFO<WaiterID>()
    private var failures = 0
    private(set) var isClosing = false
    let maximum: Int
    let maximumWaiters: Int

    init(maximum: Int, maximumWaiters: Int) {
        self.maximum = maximum
        self.maximumWaiters = maximumWaiters
    }

    var total: Int { idle.count + lent + cleaning + starting }
    var idleCount: Int { idle.count }
    var waiterCount: Int { waiters.count }

    /// A caller wants a connection; the latest used comes first, so that surplus ones grow old and go.
    mutating func lease(_ waiter: WaiterID) -> Action {
        if isClosing { return .refuse }
        if let (connection, _) = idle.popLast() {
            lent += 1
            return .lend(connection)
        }
        guard waiters.count < maximumWaiters else { return .refuse }
        waiters.append(waiter)
        guard total < maximum, starting < waiters.count else { return .wait }
        return startConnecting()
    }

    /// A connection may be taken without waiting: the quick way of ``lease(_:)``.
    mutating func takeIdle() -> Connection? {
        guard !isClosing, let (connection, _) = idle.popLast() else { return nil }
        lent += 1
        return connection
    }

    /// The first connection is made ahead of need.
    mutating func warmUp() -> Action { total == 0 && !isClosing ? startConnecting() : .nothing }

    /// A connection is ready.
    mutating func connected(_ connection: Connection, now: UInt64) -> Action {
        starting -= 1
        failures = 0
        return offer(connection, now: now)
    }

    /// A connection could not be made: try again later, for as long as somebody waits.
    mutating func connectFailed() -> Action {
        starting -= 1
        failures += 1
        guard !isClosing, !waiters.isEmpty || total == 0 else { return .nothing }
        return startConnecting()
    }

    /// A caller gives its connection back.
    mutating func release(_ connection: Connection, isClean: Bool, isClosed: Bool, now: UInt64) -> Action {
        lent -= 1
        if isClosed { return replaceIfNeeded() }
        if isClean { return offer(connection, now: now) }
        cleaning += 1
        return .clean(connection)
    }

    /// A connection that had to be put right is right, or not.
    mutating func cleaned(_ connection: Connection, isUsable: Bool, now: UInt64) -> Action {
        cleaning -= 1
        return isUsable ? offer(connection, now: now) : replaceIfNeeded()
    }

    /// An idle connection ended by itself.
    mutating func lost(_ connection: Connection) -> Action {
        guard let index = idle.firstIndex(where: { $0.connection === connection }) else { return .nothing }
        idle.remove(at: index)
        return replaceIfNeeded()
    }

    /// A waiter has gone or waited long enough; `false` if it had been served already.
    mutating func abandon(_ waiter: WaiterID) -> Bool { !waiters.removeAll(where: { $0 == waiter }).isEmpty }

    /// Takes out what has been idle since before `since`, but leaves `keep` connections.
    mutating func takeStale(idleSince since: UInt64, keep: Int) -> [Connection] {
        var stale: [Connection] = []
        while total > keep, let oldest = idle.first, oldest.since < since {
            idle.removeFirst()
            stale.append(oldest.connection)
        }
        return stale
    }

    /// No more lending; returns the idle connections, which the pool closes.
    mutating func close() -> (idle: [Connection], waiters: [WaiterID]) {
        isClosing = true
        defer { idle = [] }
        return (idle.map(\.connection), waiters.removeAll())
    }

    private mutating func offer(_ connection: Connection, now: UInt64) -> Action {
        if isClosing { return .close(connection) }
        if let waiter = waiters.popFirst() {
            lent += 1
            return .lendToWaiter(waiter, connection)
        }
        idle.append((connection, now))
        return .nothing
    }

    private mutating func replaceIfNeeded() -> Action {
        // One connection is kept even when nobody waits: it is how we learn that the server is there.
        guard !isClosing, starting < waiters.count || total == 0, total < maximum else { return .nothing }
        return startConnecting()
    }

    private mutating func startConnecting() -> Action {
        starting += 1
        if failures == 0 { return .connect(after: .zero) }
        return .connect(after: .milliseconds(min(5000, 50 << min(failures, 7))))
    }
}
