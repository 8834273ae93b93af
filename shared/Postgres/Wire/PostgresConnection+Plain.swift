internal import CPostgres
internal import ServiceRuntime

/// What libpq does not do in pipeline mode: several statements in one text, and COPY.
extension PostgresConnection {
    /// Runs a text of several statements without values: for migrations and test set-up only.
    public func simple(_ text: String) async throws {
        try await plainly {
            guard let handle = self.handle, PQsendQuery(handle, text) == 1 else { throw self.lost() }
            self.flush()
            try await self.finishPlain()
        }
    }

    /// Writes rows by COPY, far faster than by INSERT; `rows` is pulled as the server takes them. Returns how many were written.
    @discardableResult
    public func copyIn(_ table: String, columns: [String], rows: some Sequence<PostgresCopyRow> & Sendable) async throws -> Int {
        let names = columns.map(quotedIdentifier).joined(separator: ", ")
        let qualified = table.split(separator: ".").map { quotedIdentifier(String($0)) }.joined(separator: ".")
        return try await plainly {
            try await self.startCopy("COPY \(qualified) (\(names)) FROM STDIN (FORMAT binary)", expecting: PGRES_COPY_IN)
            var buffer = PostgresBuffer()
            buffer.append(contentsOf: copySignature)
            var count = 0
            for row in rows {
                guard Int(row.columns) == columns.count else {
                    try await self.endCopy(failingWith: "wrong number of columns")
                    throw PostgresError(.misuse, message: "a row of \(row.columns) columns for \(columns.count)")
                }
                buffer.append(row.columns)
                buffer.append(contentsOf: row.buffer.bytes)
                count += 1
                if buffer.bytes.count >= 131_072 {
                    try await self.putCopy(&buffer)
                    if Task.isCancelled {
                        try await self.endCopy(failingWith: "cancelled")
                        throw CancellationError()
                    }
                }
            }
            buffer.append(Int16(-1))
            try await self.putCopy(&buffer)
            try await self.endCopy(failingWith: nil)
            return count
        }
    }

    /// Reads the answer of a query by COPY, row by row in the server's binary format, so that it never has to be in memory as a whole.
    public func copyOut(_ query: String, _ body: @Sendable (PostgresCopyReader) throws -> Void) async throws {
        try await plainly {
            try await self.startCopy("COPY (\(query)) TO STDOUT (FORMAT binary)", expecting: PGRES_COPY_OUT)
            var reader = PostgresCopyReader()
            var failure: (any Error)?
            while let handle = self.handle {
                var data: UnsafeMutablePointer<CChar>?
                let length = PQgetCopyData(handle, &data, 1)
                if length > 0, let data {
                    if failure == nil {
                        do { try reader.take(UnsafeRawBufferPointer(start: data, count: Int(length)), body) } catch { failure = error }
                    }
                    PQfreemem(data)
                } else if length == 0 {
                    await self.nextPlainEvent()
                } else {
                    break
                }
            }
            try await self.finishPlain()
            if let failure { throw failure }
        }
    }

    // MARK: Steps

    /// Leaves pipeline mode for `body`; other operations wait until it is over.
    private func plainly<Outcome>(_ body: () async throws -> Outcome) async throws -> Outcome {
        try Task.checkCancellation()
        if let begin = pendingBegin {
            pendingBegin = nil
            _ = try await perform(begin, cancellable: false)
        }
        await drained()
        guard let handle else { throw PostgresError(.closed) }
        guard PQexitPipelineMode(handle) == 1 else { throw PostgresError(.misuse, message: "the connection is busy") }
        isPlain = true
        defer { endPlain() }
        return try await body()
    }

    private func endPlain() {
        isPlain = false
        if let handle, PQenterPipelineMode(handle) != 1 { tearDown(lost()) }
        runDeferred()
        wakeDrained()
    }

    private func startCopy(_ text: String, expecting status: ExecStatusType) async throws {
        guard let handle, PQsendQuery(handle, text) == 1 else { throw lost() }
        flush()
        guard let result = await nextPlainResult() else { throw lost() }
        defer { PQclear(result) }
        guard PQresultStatus(result) == status else {
            let error = failure(of: result, cancelled: false)
            try? await finishPlain()
            throw error
        }
    }

    private func putCopy(_ buffer: inout PostgresBuffer) async throws {
        while let handle {
            let taken = buffer.bytes.withUnsafeBytes { bytes in
                PQputCopyData(handle, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(bytes.count))
            }
            if taken == 1 {
                buffer.bytes.removeAll(keepingCapacity: true)
                flush()
                // Bounded memory: what the socket does not take now is waited for.
                while watcher?.wantsWrite == true { await nextPlainEvent() }
                return
            }
            guard taken == 0 else { break }
            watcher?.wantsWrite = true
            await nextPlainEvent()
        }
        throw lost()
    }

    private func endCopy(failingWith reason: String?) async throws {
        while let handle {
            let ended = PQputCopyEnd(handle, reason)
            if ended == 1 { break }
            guard ended == 0 else { throw lost() }
            watcher?.wantsWrite = true
            await nextPlainEvent()
        }
        flush()
        do { try await finishPlain() } catch { if reason == nil { throw error } }
    }

    /// Takes all results up to the end; throws the first error among them.
    private func finishPlain() async throws {
        var first: PostgresError?
        while let result = await nextPlainResult() {
            switch PQresultStatus(result) {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: break
            default: if first == nil { first = failure(of: result, cancelled: false) }
            }
            PQclear(result)
        }
        if let first { throw first }
        if handle == nil { throw lost() }
    }

    private func nextPlainResult() async -> OpaquePointer? {
        while let handle {
            if PQisBusy(handle) == 0 { return PQgetResult(handle) }
            await nextPlainEvent()
        }
        return nil
    }

    private func nextPlainEvent() async {
        guard handle != nil else { return }
        await withUnsafeContinuation { plainWaiter = $0 }
    }

    func wakePlain() {
        plainWaiter?.resume()
        plainWaiter = nil
    }

    private func lost() -> PostgresError {
        PostgresError(.connectionLost, message: handle.flatMap { PQerrorMessage($0) }.map { String(cString: $0) } ?? "")
    }
}

/// How a binary COPY stream begins: signature, flags, no header extension.
private let copySignature: [UInt8] = Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0] + [UInt8](repeating: 0, count: 8)
