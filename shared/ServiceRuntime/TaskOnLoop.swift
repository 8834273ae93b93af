extension Task where Failure == Never {
    /// Starts an unstructured task that stays on a loop; a bare `Task {}` would leave it.
    @discardableResult
    public init(on loop: EventLoop, priority: TaskPriority? = nil, operation: sending @escaping @isolated(any) () async -> Success) {
        self = Task(executorPreference: loop, priority: priority, operation: operation)
    }
}

extension Task where Failure == any Error {
    /// Starts an unstructured task that stays on a loop and may throw.
    @discardableResult
    public init(on loop: EventLoop, priority: TaskPriority? = nil, operation: sending @escaping @isolated(any) () async throws -> Success) {
        self = Task(executorPreference: loop, priority: priority, operation: operation)
    }
}
