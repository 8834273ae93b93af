internal import ServiceRuntime

/// What the connection waits for, in the order in which it was sent.
enum Expectation {
    /// The answer to preparing a statement.
    case prepared(StatementCache.Statement)
    /// The answer to a statement whose rows belong to the operation at the head.
    case executed(StatementCache.Statement?)
    /// The answer to a statement that only accompanies an operation (`BEGIN`, `DEALLOCATE`).
    case accompanied
    /// The end of the operation at the head.
    case synchronized
}

/// How far a request to cancel has got.
enum CancelPhase {
    case none
    /// On its way to the server; until it is there, nothing else is sent.
    case requesting
    /// It has reached the server, which has not ended the operation yet; repeated when the timer fires.
    case delivered(LoopTimer)
    /// The operation has ended; a last sync is under way.
    case draining

    var isNone: Bool { if case .none = self { true } else { false } }
}

/// One round trip: statements up to a sync, and who waits for their rows.
struct Operation {
    /// Who is told.
    enum Completion {
        /// Nobody: a barrier, or a caller that went away.
        case nobody
        case one(UnsafeContinuation<PostgresResult, any Error>)
        case many(UnsafeContinuation<[PostgresResult], any Error>)
    }

    let id: UInt64
    var completion: Completion
    var result: PostgresResult?
    var results: [PostgresResult] = []
    var error: PostgresError?
    var wasCancelled = false
    var isBarrier = false
    let startedAt: UInt64

    mutating func take(_ result: PostgresResult) {
        if case .many = completion { results.append(result) } else { self.result = result }
    }

    func finish() {
        switch completion {
        case .nobody: break
        case .one(let continuation):
            if let error {
                continuation.resume(throwing: error)
            } else if let result {
                continuation.resume(returning: result)
            } else {
                continuation.resume(throwing: PostgresError(.connectionLost, message: "an answer without a result"))
            }
        case .many(let continuation):
            if let error { continuation.resume(throwing: error) } else { continuation.resume(returning: results) }
        }
    }

    func fail(_ error: any Error) {
        switch completion {
        case .nobody: break
        case .one(let continuation): continuation.resume(throwing: error)
        case .many(let continuation): continuation.resume(throwing: error)
        }
    }
}
