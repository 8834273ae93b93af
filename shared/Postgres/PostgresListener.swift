public import ServiceRuntime

/// Listens to channels of the database on a connection of its own, and connects again when that is lost.
///
/// Notifications of the time in between are gone, so `handler` is told `.connected` each time: the moment to look at the tables.
public actor PostgresListener: Component {
    /// What a listener says.
    public enum Event: Sendable, Hashable {
        /// Listening from now on; what came before has to be looked up.
        case connected
        /// Somebody notified a channel.
        case notification(channel: String, payload: String)
    }

    /// The component's name.
    public nonisolated let name: String
    private nonisolated let loop: EventLoop
    /// The listener runs on its loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let configuration: PostgresConfiguration
    private let channels: [String]
    private let handler: @Sendable (Event) -> Void
    private var connection: PostgresConnection?
    private var failures = 0
    private var isStopped = false

    /// A listener on these channels; `handler` is called on `loop` and must not block.
    public init(
        configuration: PostgresConfiguration,
        loop: EventLoop,
        channels: [String],
        name: String = "postgres-listener",
        handler: @escaping @Sendable (Event) -> Void
    ) {
        self.configuration = configuration
        self.loop = loop
        self.channels = channels
        self.name = name
        self.handler = handler
    }

    /// Begins to connect and does not wait for it.
    public func start() async throws {
        isStopped = false
        Task(on: loop) { await self.connect() }
    }

    /// Ends the connection.
    public func stop() async {
        isStopped = true
        await connection?.close()
        connection = nil
    }

    private func connect() async {
        guard !isStopped else { return }
        var opened: PostgresConnection?
        do {
            let connection = try await PostgresConnection.connect(configuration, on: loop)
            opened = connection
            guard !isStopped else { return await connection.close() }
            await connection.whenNotified { [handler] channel, payload in handler(.notification(channel: channel, payload: payload)) }
            for channel in channels { try await connection.execute("LISTEN \(identifier: channel)") }
            self.connection = connection
            failures = 0
            await connection.whenClosed { [weak self] _ in self?.assumeIsolated { $0.again() } }
            handler(.connected)
        } catch {
            // A session that cannot listen would stay open at the server.
            await opened?.close()
            Logger("postgres").warning("cannot listen; trying again", ["reason": .string((error as? PostgresError)?.debugDescription ?? "\(error)")])
            again()
        }
    }

    private func again() {
        connection = nil
        guard !isStopped else { return }
        failures += 1
        let delay = Duration.milliseconds(min(5000, 50 << min(failures, 7))) * Double.random(in: 0.8...1.2)
        loop.timer(after: delay) { [self] in
            Task(on: loop) { await self.connect() }
        }
    }
}
