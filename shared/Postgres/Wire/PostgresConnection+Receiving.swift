internal import CPostgres
internal import ServiceRuntime

extension PostgresConnection {
    /// Takes what the socket has.
    func readable() {
        guard let handle else { return }
        guard PQconsumeInput(handle) == 1 else {
            let message = PQerrorMessage(handle).map { String(cString: $0) } ?? ""
            // What arrived before the end may say why (the server is shutting down), so it is read first. It may also be what ends the connection,
            // and with it `handle`.
            if !isPlain { processResults() }
            return tearDown(PostgresError(.connectionLost, message: message))
        }
        if watcher?.wantsWrite == true { flush() }
        if isPlain { wakePlain() } else { processResults() }
        deliverNotifications()
        wakeDrained()
    }

    /// Goes on writing.
    func writable() {
        flush()
        if isPlain { wakePlain() }
    }

    private func processResults() {
        while let handle, let expected = expectations.first, PQisBusy(handle) == 0 {
            guard let raw = PQgetResult(handle) else {
                // libpq ends the results of each statement with a null, but not those of a sync.
                if case .synchronized = expected { return tearDown(PostgresError(.connectionLost, message: "the pipeline lost its order")) }
                expectations.popFirst()
                continue
            }
            process(raw, expected)
        }
    }

    private func process(_ raw: OpaquePointer, _ expected: Expectation) {
        let status = PQresultStatus(raw)
        switch expected {
        case .synchronized:
            PQclear(raw)
            guard status == PGRES_PIPELINE_SYNC else { return tearDown(PostgresError(.connectionLost, message: "a result where a sync was due")) }
            expectations.popFirst()
            guard let operation = operations.popFirst() else { return }
            operation.finish()
            operationEnded(operation)
        case .prepared(let statement):
            if status != PGRES_COMMAND_OK {
                cache.remove(statement)
                note(raw, status)
            }
            PQclear(raw)
        case .accompanied:
            if status != PGRES_COMMAND_OK { note(raw, status) }
            PQclear(raw)
        case .executed(let statement):
            switch status {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK:
                let result = PostgresResult(raw)
                operations.withFirst { $0.take(result) }
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                PQclear(raw)
                tearDown(PostgresError(.misuse, message: "COPY has functions of its own"))
            default:
                let error = note(raw, status)
                if let statement, error?.isStalePlan == true { cache.remove(statement) }
                PQclear(raw)
            }
        }
    }

    /// Remembers the first error of an operation; what the server skipped after it is no error of its own.
    @discardableResult
    private func note(_ raw: OpaquePointer, _ status: ExecStatusType) -> PostgresError? {
        guard status != PGRES_PIPELINE_ABORTED, !operations.isEmpty else { return nil }
        return operations.withFirst { operation in
            let error = failure(of: raw, cancelled: operation.wasCancelled)
            if operation.error == nil { operation.error = error }
            return error
        }
    }

    private func deliverNotifications() {
        while let handle, let notification = PQnotifies(handle) {
            let channel = String(cString: notification.pointee.relname)
            let payload = notification.pointee.extra.map { String(cString: $0) } ?? ""
            PQfreemem(notification)
            onNotification?(channel, payload)
        }
    }

    /// Lets those go on who wait for the connection to be at rest.
    func wakeDrained() {
        guard !drainWaiters.isEmpty, operations.isEmpty, cancelPhase.isNone, !isPlain, deferred.isEmpty else { return }
        let waiters = drainWaiters
        drainWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    // MARK: Cancelling

    /// Gives the caller back its task at once and asks the server to stop, as soon as it is this operation that the server works on.
    func cancel(_ id: UInt64) {
        operations.update(where: { $0.id == id }) { operation, _ in
            operation.fail(CancellationError())
            operation.completion = .nobody
            operation.wasCancelled = true
        }
        cancelFirstIfWanted()
    }

    /// Asks the server to stop the first operation, if nobody waits for it any more.
    private func cancelFirstIfWanted() {
        guard case .none = cancelPhase, operations.first?.wasCancelled == true else { return }
        requestCancel()
    }

    private func requestCancel() {
        guard let handle, let blocking = BlockingCalls.shared, let cancel = PQgetCancel(handle) else { return }
        cancelPhase = .requesting
        let cancelHandle = BlockingCalls.CancelHandle(handle: cancel)
        Task(on: loop) {
            await blocking.cancel(cancelHandle)
            await self.cancelDelivered()
        }
    }

    /// The request has reached the server. It may have come before the statement did, and then it did nothing: so it is repeated until the
    /// operation has ended.
    private func cancelDelivered() {
        guard handle != nil, case .requesting = cancelPhase else { return }
        guard operations.first?.wasCancelled == true else { return drainAfterCancel() }
        cancelPhase = .delivered(
            loop.timer(after: .milliseconds(50)) { [weak self] in
                self?.assumeIsolated { connection in
                    guard case .delivered = connection.cancelPhase else { return }
                    connection.requestCancel()
                }
            }
        )
    }

    /// One more sync, and no request can hit anything that is sent from here on.
    private func drainAfterCancel() {
        if case .delivered(let timer) = cancelPhase { timer.cancel() }
        cancelPhase = .draining
        sendBarrier()
    }

    /// After each operation that has ended.
    private func operationEnded(_ operation: Operation) {
        switch cancelPhase {
        case .none: cancelFirstIfWanted()
        case .requesting: break
        case .delivered: if operation.wasCancelled { drainAfterCancel() }
        case .draining:
            guard operation.isBarrier else { return }
            cancelPhase = .none
            runDeferred()
            cancelFirstIfWanted()
        }
    }

    /// Sends what had to wait.
    func runDeferred() {
        let waiting = deferred
        deferred = []
        for item in waiting { item() }
    }

    /// Ends the connection and fails everything that waits for it.
    func tearDown(_ error: PostgresError) {
        guard let ended = handle ?? nil else { return }
        handle = nil
        watcher?.close()
        watcher = nil
        connectTimer?.cancel()
        connectTimer = nil
        if case .delivered(let timer) = cancelPhase { timer.cancel() }
        cancelPhase = .none
        PQfinish(ended)
        for operation in operations.removeAll() { operation.fail(operation.error ?? error) }
        _ = expectations.removeAll()
        connecting?.resume(throwing: error)
        connecting = nil
        wakePlain()
        runDeferred()
        let waiters = drainWaiters
        drainWaiters = []
        for waiter in waiters { waiter.resume() }
        let callback = onClose
        onClose = nil
        callback?(self)
    }
}
