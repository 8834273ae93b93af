import Postgres
import ServiceRuntime

/// Advisory locks of the database, many on one session of their own: they are free again as soon as the session ends, however the replica died.
///
/// Nobody of this replica may want a lock that it holds already: within a session it would be given again.
actor LockSession {
    private let configuration: PostgresConfiguration
    private nonisolated let loop: EventLoop
    private var connection: PostgresConnection?
    private var opening: Task<PostgresConnection, any Error>?

    /// It runs where its connection runs.
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(configuration: PostgresConfiguration, loop: EventLoop) {
        self.configuration = configuration
        self.loop = loop
    }

    /// Takes a lock if nobody has it; does not wait.
    ///
    /// Not cancelled half-way, or nobody would know whether the session has it.
    nonisolated func tryLock(_ name: String) async throws -> Bool {
        try await Task(on: loop) { try await self.take(name) }.value
    }

    /// Gives a lock back, also when the task has been cancelled. One that went with its session needs no giving back.
    nonisolated func unlock(_ name: String) async {
        await Task(on: loop) { await self.give(name) }.value
    }

    /// Ends the session, and with it all locks.
    func close() async {
        await connection?.close()
        connection = nil
    }

    private func take(_ name: String) async throws -> Bool {
        let row = try await session().query("SELECT pg_try_advisory_lock(hashtextextended(\(name), 11))").first
        return try row?.column(0, as: Bool.self) ?? false
    }

    private func give(_ name: String) async {
        guard let connection, await !connection.isClosed else { return }
        let isGiven = (try? await connection.query("SELECT pg_advisory_unlock(hashtextextended(\(name), 11))")) != nil
        // A session in an unknown state is ended rather than kept with a lock.
        if !isGiven { await connection.close() }
    }

    private func session() async throws -> PostgresConnection {
        if let connection, await !connection.isClosed { return connection }
        if let opening { return try await opening.value }
        let (configuration, loop) = (configuration, loop)
        let task = Task(on: loop) { try await PostgresConnection.connect(configuration, on: loop) }
        opening = task
        defer { opening = nil }
        let made = try await task.value
        connection = made
        return made
    }
}
