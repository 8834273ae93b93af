internal import Synchronization

/// What a component does by itself, from its start to its stop: one task on a loop.
public final class BackgroundTask: Sendable {
    private let task = Mutex<Task<Void, Never>?>(nil)

    /// Nothing yet.
    public init() {}

    /// Begins it on a loop; `body` ends when its task is cancelled.
    public func start(on loop: EventLoop, _ body: @escaping @Sendable () async -> Void) {
        task.withLock { $0 = Task(on: loop) { await body() } }
    }

    /// Begins rounds on a loop, with a pause of `interval` between two, and before the first if it `pausesFirst`; a stop ends the pause.
    public func start(
        on loop: EventLoop,
        every interval: Duration,
        time: any TimeSource,
        pausesFirst: Bool = false,
        round: @escaping @Sendable () async -> Void
    ) {
        start(on: loop) {
            if !pausesFirst { await round() }
            while (try? await time.sleep(for: interval)) != nil, !Task.isCancelled { await round() }
        }
    }

    /// The same for rounds that may fail: one that does is logged with `failure`, what could not be done, and the next one tries again.
    public func start(
        on loop: EventLoop,
        every interval: Duration,
        time: any TimeSource,
        pausesFirst: Bool = false,
        logger: Logger,
        failure: String,
        round: @escaping @Sendable () async throws -> Void
    ) {
        start(on: loop, every: interval, time: time, pausesFirst: pausesFirst) {
            do {
                try await round()
            } catch is CancellationError {
                return
            } catch {
                logger.warning("\(failure); trying again", ["reason": .string(String(reflecting: error))])
            }
        }
    }

    /// Cancels it and returns when it has ended.
    public func stop() async {
        let task = task.withLock { $0 }
        task?.cancel()
        await task?.value
    }
}
