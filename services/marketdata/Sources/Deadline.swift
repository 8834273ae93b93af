import ServiceRuntime

/// Runs `body` for so long at most; then it is cancelled and `lateness` is thrown.
func withDeadline<Value: Sendable>(
    _ limit: Duration,
    time: any TimeSource,
    orThrow lateness: any Error,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await time.sleep(for: limit)
            throw lateness
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
