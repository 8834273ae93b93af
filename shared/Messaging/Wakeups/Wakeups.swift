public import Contracts
public import ServiceRuntime
internal import Synchronization

/// Hints that there is work of a class: told at most once per class in 50 ms, lost without harm, heard only by who asks.
///
/// A hint is no job: who hears it claims, and may find that another was faster. While the broker is away nobody hears anything, and claims go by
/// the clock.
public final class Wakeups: Component {
    /// The component's name.
    public let name = "wakeups"
    private let link: WakeupLink
    private let loop: EventLoop
    private let window: Duration
    private let coalescing = Mutex<[ResourceClass: Bool]>([:])

    /// Wake-ups of a service; `loop` runs the timers of coalescing.
    public init(brokerURL: String, service: String, loop: EventLoop, window: Duration = .milliseconds(50), readiness: Readiness? = nil) throws {
        self.loop = loop
        self.window = window
        link = try WakeupLink(url: try BrokerURL(brokerURL), name: "\(service)/wakeups", readiness: readiness?.register("broker wakeups"))
    }

    /// Begins to connect; does not fail when the broker is away.
    public func start() async throws { await link.start() }

    /// Ends the connection; who waits for a hint gets none.
    public func stop() async { await link.stop() }

    /// Tells that there is work of a class, at once or with the next one of the same 50 ms; callable from anywhere and never waits.
    public func hint(_ resourceClass: ResourceClass) {
        // Within a window the first hint goes out at once, and at its end one more if others came.
        let goesOut = coalescing.withLock { coalescing -> Bool in
            if coalescing[resourceClass] == nil {
                coalescing[resourceClass] = false
                return true
            }
            coalescing[resourceClass] = true
            return false
        }
        if goesOut { send(resourceClass) }
    }

    /// The class of the next hint for any of `classes`; nil when none came in time, the task was cancelled or the broker is away for that long.
    public func next(of classes: [ResourceClass], within limit: Duration) async -> ResourceClass? {
        guard !classes.isEmpty else { return nil }
        let waiter = await link.beginWaiting(for: classes)
        let timer = Task(on: loop) { [link] in
            guard (try? await Task.sleep(for: limit, clock: .continuous)) != nil else { return }
            await link.giveUp(waiter)
        }
        let hint = await withTaskCancellationHandler {
            await link.wait(waiter)
        } onCancel: {
            Task(on: loop) { [link] in await link.giveUp(waiter) }
        }
        timer.cancel()
        return hint
    }

    private func send(_ resourceClass: ResourceClass) {
        Task(on: loop) { [self] in
            await link.publish(resourceClass)
            try? await Task.sleep(for: window, clock: .continuous)
            let again = coalescing.withLock { coalescing -> Bool in
                guard coalescing[resourceClass] == true else {
                    coalescing[resourceClass] = nil
                    return false
                }
                coalescing[resourceClass] = false
                return true
            }
            if again { send(resourceClass) }
        }
    }
}
