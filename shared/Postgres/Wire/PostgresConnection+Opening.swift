internal import CPostgres
internal import ServiceRuntime

extension PostgresConnection {
    /// Makes the connection without ever blocking the loop. The C functions are `PQconnectStartParams` and `PQconnectPoll`.
    func open() async throws {
        // libpq's own words about it repeat the part that it could not read, which may be the password.
        guard ConnectionParameters.isReadable(configuration.url) else {
            throw PostgresError(.cannotConnect, message: "the address of the database cannot be read")
        }
        var address: String?
        if let host = ConnectionParameters.hostToResolve(in: configuration.url) {
            address = await BlockingCalls.shared?.address(of: host)
            guard address != nil else { throw PostgresError(.cannotConnect, message: "host \(host) has no address") }
        }
        guard let started = ConnectionParameters(configuration, address: address).start() else {
            throw PostgresError(.cannotConnect, message: "out of memory")
        }
        handle = started
        // Without this libpq writes notices to the standard error stream.
        PQsetNoticeProcessor(started, { _, _ in }, nil)
        guard PQstatus(started) != CONNECTION_BAD else {
            let error = PostgresError(.cannotConnect, message: lastMessage(started))
            tearDown(error)
            throw error
        }
        connectTimer = loop.timer(after: configuration.connectTimeout) { [weak self] in
            self?.assumeIsolated { $0.tearDown(PostgresError(.cannotConnect, message: "no answer in time")) }
        }
        try await withUnsafeThrowingContinuation { continuation in
            connecting = continuation
            watch(for: PGRES_POLLING_WRITING)
        }
    }

    private func lastMessage(_ handle: OpaquePointer) -> String { PQerrorMessage(handle).map { String(cString: $0) } ?? "" }

    /// Watches for what libpq wants next; a new watcher each time, since libpq may have opened another socket.
    private func watch(for wanted: PostgresPollingStatusType) {
        guard let handle else { return }
        watcher?.close()
        watcher = loop.watch(
            fileDescriptor: PQsocket(handle),
            onReadable: { [weak self] in self?.assumeIsolated { $0.advance() } },
            onWritable: { [weak self] in self?.assumeIsolated { $0.advance() } }
        )
        watcher?.wantsRead = wanted == PGRES_POLLING_READING
        watcher?.wantsWrite = wanted == PGRES_POLLING_WRITING
    }

    private func advance() {
        guard let handle else { return }
        watcher?.close()
        watcher = nil
        switch PQconnectPoll(handle) {
        case PGRES_POLLING_READING: watch(for: PGRES_POLLING_READING)
        case PGRES_POLLING_WRITING: watch(for: PGRES_POLLING_WRITING)
        case PGRES_POLLING_OK: opened(handle)
        default: tearDown(PostgresError(.cannotConnect, message: lastMessage(handle)))
        }
    }

    private func opened(_ handle: OpaquePointer) {
        connectTimer?.cancel()
        connectTimer = nil
        guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
            return tearDown(PostgresError(.cannotConnect, message: lastMessage(handle)))
        }
        let watcher = loop.watch(
            fileDescriptor: PQsocket(handle),
            onReadable: { [weak self] in self?.assumeIsolated { $0.readable() } },
            onWritable: { [weak self] in self?.assumeIsolated { $0.writable() } }
        )
        watcher.wantsRead = true
        self.watcher = watcher
        connecting?.resume()
        connecting = nil
    }
}
