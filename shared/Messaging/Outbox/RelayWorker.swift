internal import Contracts
internal import Postgres
internal import ServiceRuntime

/// The relay's work, on its loop and over one session of its own: when the session ends, so do the locks, and nothing more is published.
actor RelayWorker {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let configuration: PostgresConfiguration
    private let pool: PostgresPool
    private let publisher: BrokerPublisher
    private let schema: String
    private let groups: Int
    private let sweepInterval: Duration
    private nonisolated let bell = RelayBell()
    private let metrics: RelayMetrics
    private let logger = Logger("outbox")
    private var session: PostgresConnection?
    private var held: Set<Int> = []
    private var isDraining = false
    private var drainUntil: UInt64 = 0
    private var lastNotified: UInt64 = 0
    private var lastCleaned: UInt64 = 0
    private var cleaning: Task<Void, Never>?
    private var failures = 0

    private static let batchSize = 256
    private static let cleaningIntervalNanoseconds: UInt64 = 600_000_000_000

    init(
        configuration: PostgresConfiguration,
        pool: PostgresPool,
        publisher: BrokerPublisher,
        schema: String,
        groups: Int,
        loop: EventLoop,
        sweepInterval: Duration
    ) {
        self.configuration = configuration
        self.pool = pool
        self.publisher = publisher
        self.schema = schema
        self.groups = groups
        self.loop = loop
        self.sweepInterval = sweepInterval
        metrics = RelayMetrics(schema: schema)
    }

    static func channel(schema: String) -> String { "auspex_outbox_\(schema)" }

    /// Wakes it: there may be something to send.
    nonisolated func wake() { bell.ring(isPoke: false) }

    func run() async {
        let signal = OutboxSignal.of(schema: schema)
        signal.add(bell)
        defer { signal.remove(bell) }
        while !isDraining {
            do {
                try await relay()
                failures = 0
            } catch {
                await letGo()
                failures += 1
                if failures == 1 { logger.warning("the outbox cannot be relayed; trying again", ["reason": .string("\(error)")]) }
                if !isDraining { _ = await bell.wait(atMost: .milliseconds(min(5_000, 100 << min(failures, 6))), on: loop) }
            }
        }
        await letGo()
        cleaning?.cancel()
        await cleaning?.value
    }

    /// One last time over what is there.
    func drain() {
        drainUntil = monotonicNanoseconds() + 2_000_000_000
        isDraining = true
        bell.ring(isPoke: false)
    }

    private func relay() async throws {
        let session = try await openSession()
        while true {
            try await takeLocks(session)
            while !held.isEmpty {
                let (count, failure) = try await sendBatch(session)
                if let failure { await waitForBroker(after: failure) } else if count < Self.batchSize { break }
                if isDraining && (failure != nil || monotonicNanoseconds() > drainUntil) { break }
            }
            if isDraining { return }
            cleanIfDue()
            let isPoked = await bell.wait(atMost: sweepInterval, on: loop)
            if isPoked, held.count < groups, !isDraining { try await notifyOthers(session) }
        }
    }

    private func openSession() async throws -> PostgresConnection {
        if let session { return session }
        let session = try await PostgresConnection.connect(configuration, on: loop)
        // Kept at once: what fails from here on is closed by `letGo`.
        self.session = session
        for setting in Self.settings { try await session.execute(setting) }
        return session
    }

    static let settings: [SQL] = [
        // A mark need not wait for the disk: one that a crash of the server forgets is an event sent twice, which the inbox is there for.
        "SET synchronous_commit = off",
        // A bitmap reads what was sent since the last vacuum again and again; an index scan marks it in the index as dead, and passes it by from then on.
        "SET enable_bitmapscan = off",
        // Its statements are always the same, and to plan one costs more than it does.
        "SET plan_cache_mode = force_generic_plan",
    ]

    /// What is to be sent now.
    static func unsent(schema: String, shards: [Int16]) -> SQL {
        """
        SELECT id, type, envelope, traceparent, appended_at FROM \(identifier: schema).outbox
        WHERE sent_at IS NULL AND shard = ANY(\(shards)) AND retry_at <= clock_timestamp()
        ORDER BY id LIMIT \(batchSize)
        """
    }

    private func letGo() async {
        held = []
        await session?.close()
        session = nil
    }

    private func takeLocks(_ session: PostgresConnection) async throws {
        guard held.count < groups else { return }
        for group in 0..<groups where !held.contains(group) {
            let key = "auspex-outbox:\(schema):\(groups):\(group)"
            let rows = try await session.query("SELECT pg_try_advisory_lock(hashtextextended(\(key), 0))")
            if try rows.first?.column(0, as: Bool.self) == true { held.insert(group) }
        }
    }

    /// Looks ten times a second whether the broker is back; a drain ends the waiting.
    private func waitForBroker(after failure: BrokerError) async {
        metrics.failed()
        logger.debug("events could not be published; trying again", ["reason": .string(failure.debugDescription)])
        repeat { _ = await bell.wait(atMost: .milliseconds(100), on: loop) } while !publisher.isConnected && !isDraining
    }

    /// Publishes a batch and gives its size, and why some of it could not be sent.
    private func sendBatch(_ session: PostgresConnection) async throws -> (count: Int, failure: BrokerError?) {
        let shards = (0..<Outbox.shardCount).filter { held.contains($0 % groups) }.map { Int16($0) }
        let rows = try await session.query(Self.unsent(schema: schema, shards: shards))
        guard !rows.isEmpty else { return (0, nil) }
        var ids: [EventID] = []
        var appended: [Timestamp] = []
        var messages: [OutgoingMessage] = []
        for row in rows {
            let (id, type, bytes, traceparent, appendedAt) = try row.decode(EventID.self, String.self, [UInt8].self, String?.self, Timestamp.self)
            ids.append(id)
            appended.append(appendedAt)
            messages.append(.event(id: id, type: type, bytes: bytes, traceparent: traceparent))
        }
        let outcomes = await publisher.publish(messages)
        return (rows.count, try await mark(ids, appended, outcomes, session))
    }

    private func mark(
        _ ids: [EventID],
        _ appended: [Timestamp],
        _ outcomes: [PublishOutcome],
        _ session: PostgresConnection
    ) async throws -> BrokerError? {
        var sent: [EventID] = []
        var failure: BrokerError?
        let now = Timestamp.now()
        for (index, outcome) in outcomes.enumerated() {
            switch outcome {
            case .confirmed:
                sent.append(ids[index])
                metrics.sent(delaySeconds: (now - appended[index]).inSeconds)
            case .unroutable(let reason):
                metrics.unroutable()
                try await keep(ids[index], reason, session)
            case .failed(let error):
                failure = error
            }
        }
        if !sent.isEmpty {
            try await session.execute(
                "UPDATE \(identifier: schema).outbox SET sent_at = clock_timestamp() WHERE id = ANY(\(sent)) AND sent_at IS NULL"
            )
        }
        return failure
    }

    /// Nobody listens for it yet: the row stays and is tried again later, ever more rarely up to once a minute.
    private func keep(_ id: EventID, _ reason: String, _ session: PostgresConnection) async throws {
        try await session.execute(
            """
            UPDATE \(identifier: schema).outbox
            SET attempts = attempts + 1, last_error = \(reason),
                retry_at = clock_timestamp() + least(interval '1 second' * power(2, least(attempts, 6)), interval '1 minute')
            WHERE id = \(id)
            """
        )
    }

    /// Another replica has the lock of what was just committed here; at most one notification in 10 ms.
    private func notifyOthers(_ session: PostgresConnection) async throws {
        let now = monotonicNanoseconds()
        let earliest = lastNotified + 10_000_000
        if now < earliest { try await Task.sleep(for: .nanoseconds(Int64(earliest - now))) }
        lastNotified = monotonicNanoseconds()
        try await session.execute("SELECT pg_notify(\(Self.channel(schema: schema)), '')")
    }

    /// Begins to clean up every ten minutes, beside the relaying: after busy days there may be millions of rows to delete.
    private func cleanIfDue() {
        let now = monotonicNanoseconds()
        guard !held.isEmpty, cleaning == nil, lastCleaned == 0 || now - lastCleaned > Self.cleaningIntervalNanoseconds else { return }
        lastCleaned = now
        cleaning = Task(on: loop) { await self.clean() }
    }

    private func clean() async {
        do {
            try await RetentionCleaner(pool: pool, schema: schema).run()
        } catch {
            if !Task.isCancelled { logger.warning("outbox and inbox could not be cleaned; trying again later", ["reason": .string("\(error)")]) }
        }
        cleaning = nil
    }
}
