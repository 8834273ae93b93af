internal import Contracts
public import Postgres
public import ServiceRuntime
internal import Synchronization

/// Publishes what the outbox holds, oldest first, in windows of 256, and marks by batch what the broker has safe.
///
/// Every replica runs one; a session advisory lock per shard makes one of them the relay of that shard, and its end frees the lock. It is woken
/// by a poke in its process, by a notification from another replica, and five times a second in any case. A crash between publishing and marking
/// publishes again: consumers tell doubles by their id.
public final class OutboxRelay: Component {
    /// The component's name.
    public let name = "outbox-relay"
    private let worker: RelayWorker
    private let listener: PostgresListener
    private let loop: EventLoop
    private let running = Mutex<Task<Void, Never>?>(nil)

    /// A relay of `schema` on `loop`. `databaseURL` is for its own session (locks, NOTIFY); the pool's is used unless told.
    public init(
        pool: PostgresPool,
        databaseURL: String? = nil,
        publisher: BrokerPublisher,
        schema: String,
        shards: Int = 1,
        loop: EventLoop,
        sweepInterval: Duration = .milliseconds(200)
    ) {
        precondition((1...Outbox.shardCount).contains(shards), "an outbox has 1 to \(Outbox.shardCount) shards")
        var configuration = pool.configuration
        if let databaseURL { configuration.url = databaseURL }
        configuration.applicationName = "auspex-outbox"
        self.loop = loop
        let worker = RelayWorker(
            configuration: configuration,
            pool: pool,
            publisher: publisher,
            schema: schema,
            groups: shards,
            loop: loop,
            sweepInterval: sweepInterval
        )
        self.worker = worker
        listener = PostgresListener(
            configuration: configuration,
            loop: loop,
            channels: [RelayWorker.channel(schema: schema)],
            name: "outbox-listener"
        ) { _ in worker.wake() }
    }

    /// Begins to relay; does not fail when database or broker are away.
    public func start() async throws {
        try await listener.start()
        running.withLock { running in
            running = Task(on: loop) { [worker] in await worker.run() }
        }
    }

    /// Sends what is there, for two seconds at most, and lets go of the locks; the rest stays in the table.
    public func stop() async {
        await listener.stop()
        await worker.drain()
        await running.withLock { $0 }?.value
    }
}
