internal import CPostgres
internal import ServiceRuntime

extension PostgresConnection {
    /// Sends the statements of one operation and its sync.
    func submit(_ id: UInt64, _ statements: [SQL], _ completion: Operation.Completion) {
        let operation = Operation(id: id, completion: completion, startedAt: monotonicNanoseconds())
        guard let handle else { return operation.fail(PostgresError(.closed)) }
        if !cancelPhase.isNone || isPlain {
            // A cancel that is still on its way must not hit this operation.
            deferred.append { [weak self] in
                guard let self else { return operation.fail(PostgresError(.closed)) }
                self.assumeIsolated { $0.submit(id, statements, completion) }
            }
            return
        }
        // The protocol counts parameters in two bytes; past that libpq would refuse in the middle of a pipeline.
        guard statements.allSatisfy({ $0.binds.count <= 65_535 }) else {
            return operation.fail(PostgresError(.misuse, message: "more than 65535 parameters"))
        }
        operations.append(operation)
        closeSurplusStatements(handle)
        self.statements?.add(statements.count + (pendingBegin == nil ? 0 : 1))
        var isSent = true
        if let begin = pendingBegin {
            pendingBegin = nil
            isSent = send(begin, handle, accompanies: true)
        }
        for statement in statements where isSent { isSent = send(statement, handle, accompanies: false) }
        guard isSent, PQpipelineSync(handle) == 1 else {
            return tearDown(PostgresError(.connectionLost, message: PQerrorMessage(handle).map { String(cString: $0) } ?? ""))
        }
        expectations.append(.synchronized)
        flush()
    }

    /// An operation without statements: its answer says that the server has done everything before it.
    func sendBarrier() {
        guard let handle else { return }
        operations.append(Operation(id: 0, completion: .nobody, isBarrier: true, startedAt: monotonicNanoseconds()))
        guard PQpipelineSync(handle) == 1 else {
            return tearDown(PostgresError(.connectionLost, message: PQerrorMessage(handle).map { String(cString: $0) } ?? ""))
        }
        expectations.append(.synchronized)
        flush()
    }

    private func send(_ sql: SQL, _ handle: OpaquePointer, accompanies: Bool) -> Bool {
        guard sql.isPrepared else {
            let isSent = withParameters(of: sql) { count, types, values, lengths, formats in
                PQsendQueryParams(handle, sql.text, count, types, values, lengths, formats, 1) == 1
            }
            expectations.append(accompanies ? .accompanied : .executed(nil))
            return isSent
        }
        let (statement, isNew) = cache.statement(for: sql)
        return statement.name.withUnsafeBufferPointer { name in
            if isNew {
                let isPrepared = withParameters(of: sql) { count, types, _, _, _ in
                    PQsendPrepare(handle, name.baseAddress, sql.text, count, types) == 1
                }
                expectations.append(.prepared(statement))
                guard isPrepared else { return false }
            }
            expectations.append(accompanies ? .accompanied : .executed(statement))
            return withParameters(of: sql) { count, _, values, lengths, formats in
                PQsendQueryPrepared(handle, name.baseAddress, count, values, lengths, formats, 1) == 1
            }
        }
    }

    /// Closes the statements that the cache has no room for; only between transactions, where closing cannot fail with them.
    private func closeSurplusStatements(_ handle: OpaquePointer) {
        guard cache.count > cache.capacity, PQtransactionStatus(handle) == PQTRANS_IDLE else { return }
        for statement in cache.takeSurplus() {
            let name = String(decoding: statement.name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard PQsendQueryParams(handle, "DEALLOCATE \(name)", 0, nil, nil, nil, nil, 1) == 1 else { return }
            expectations.append(.accompanied)
        }
    }

    /// Hands what is left in libpq's buffer to the socket, now or when it takes more.
    func flush() {
        guard let handle else { return }
        switch PQflush(handle) {
        case 0: watcher?.wantsWrite = false
        case 1: watcher?.wantsWrite = true
        default: tearDown(PostgresError(.connectionLost, message: PQerrorMessage(handle).map { String(cString: $0) } ?? ""))
        }
    }

    /// Lays the bound values out as libpq wants them, on the stack.
    func withParameters(
        of sql: SQL,
        _ body: (
            Int32, UnsafePointer<Oid>?, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?
        ) -> Bool
    ) -> Bool {
        let entries = sql.binds.entries
        let count = entries.count
        if count == 0 { return body(0, nil, nil, nil, nil) }
        return withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: count) { values in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: count * 2) { numbers in
                withUnsafeTemporaryAllocation(of: Oid.self, capacity: count) { types in
                    sql.binds.buffer.bytes.withUnsafeBytes { bytes in
                        for (index, entry) in entries.enumerated() {
                            types.initializeElement(at: index, to: entry.type.rawValue)
                            numbers.initializeElement(at: index, to: Int32(max(0, entry.length)))
                            numbers.initializeElement(at: count + index, to: entry.type == .inferred ? 0 : 1)
                            // An empty value still needs an address: no address means null.
                            let start = bytes.baseAddress.map { $0 + entry.offset } ?? UnsafeRawPointer(types.baseAddress!)
                            values.initializeElement(at: index, to: entry.length < 0 ? nil : start.assumingMemoryBound(to: CChar.self))
                        }
                        return body(Int32(count), types.baseAddress, values.baseAddress, numbers.baseAddress, numbers.baseAddress! + count)
                    }
                }
            }
        }
    }
}
