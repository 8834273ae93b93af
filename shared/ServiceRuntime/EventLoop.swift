internal import CLibEvent
internal import Glibc
internal import Synchronization

/// A thread that runs one libevent loop and is at the same time a Swift executor: what is `async` on it never hops to another thread.
///
/// A C callback that may resume Swift tasks wraps its work in ``turn(_:)``: the resumed tasks then run before the callback returns, so an
/// asynchronous handler costs what a plain callback costs. Work from other threads wakes the loop once however much of it arrives.
public final class EventLoop: TaskExecutor, SerialExecutor, @unchecked Sendable {
    // Unchecked because of the C handles and the fields below that only the loop's own thread touches; everything shared sits in `inbox`.

    /// The loop's name, as it stands in metrics and in the thread's name.
    public let name: String

    /// The `event_base`, for the modules that put other parts of libevent (evhttp) on this loop.
    public nonisolated(unsafe) let base: OpaquePointer

    /// What the loop is busy with, for the log line about a turn that took too long. Only for code that runs on the loop.
    public nonisolated(unsafe) var activity: String?

    private struct Inbox {
        var jobs: [UnownedJob] = []
        var work: [@Sendable () -> Void] = []
        var wakePending = false
        var stopped: [CheckedContinuation<Void, Never>] = []
        var hasStopped = false

        /// Whether the caller must wake the loop: only the first of many needs to.
        mutating func claimWake() -> Bool {
            if wakePending { return false }
            wakePending = true
            return true
        }
    }

    private let inbox = Mutex(Inbox())
    private nonisolated(unsafe) var wakeEvent: OpaquePointer!
    private nonisolated(unsafe) var turnDepth = 0
    private nonisolated(unsafe) var spareJobs: [UnownedJob] = []
    private nonisolated(unsafe) var lastWarning: UInt64 = 0
    private let slowTurns: Counter
    private let turnLag: Histogram

    private static let currentKey: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key, nil)
        return key
    }()

    private static let threadsPrepared: Bool = {
        // A peer that goes away must be an error of one write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        return evthread_use_pthreads() == 0
    }()

    private init(name: String, base: OpaquePointer) {
        self.name = name
        self.base = base
        slowTurns = Metrics.shared.counter(
            "auspex_loop_slow_turns_total",
            help: "Turns of an event loop that took longer than 10 ms.",
            labels: ["loop": name]
        )
        turnLag = Metrics.shared.histogram(
            "auspex_loop_lag_seconds",
            help: "How late an event loop ran a timer that was due.",
            labels: ["loop": name]
        )
        wakeEvent = event_new(
            base,
            -1,
            Int16(EV_PERSIST),
            { _, _, context in
                guard let context else { return }
                Unmanaged<EventLoop>.fromOpaque(context).takeUnretainedValue().wokenUp()
            },
            Unmanaged.passUnretained(self).toOpaque()
        )
    }

    /// The loop whose thread is running now, if any.
    public static var current: EventLoop? {
        guard let pointer = pthread_getspecific(currentKey) else { return nil }
        return Unmanaged<EventLoop>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Starts a thread with a loop of its own.
    public static func start(name: String) throws -> EventLoop {
        guard threadsPrepared, let base = event_base_new() else { throw RuntimeError.loopNotStarted(name: name) }
        let loop = EventLoop(name: name, base: base)
        try startThread(named: name) { loop.runThread() }
        return loop
    }

    /// Whether the caller runs on this loop's thread.
    public var inLoop: Bool {
        guard let pointer = pthread_getspecific(Self.currentKey) else { return false }
        return pointer == Unmanaged.passUnretained(self).toOpaque()
    }

    /// Runs `work` on the loop, soon; callable from anywhere.
    public func execute(_ work: @escaping @Sendable () -> Void) {
        wake(
            after: inbox.withLock { inbox in
                inbox.work.append(work)
                return inbox.claimWake()
            }
        )
    }

    /// Runs an asynchronous body on this loop and returns its value.
    public func run<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
        try await withTaskExecutorPreference(self) { try await body() }
    }

    /// Runs the body of a C callback, then every Swift task that it made ready.
    @inline(__always)
    public func turn(_ body: () -> Void) {
        turnDepth += 1
        body()
        turnDepth -= 1
        drain()
    }

    /// Runs what is ready: for callbacks that cannot use ``turn(_:)``.
    public func drain() {
        guard turnDepth == 0 else { return }
        turnDepth = 1
        let startedAt = monotonicNanoseconds()
        var rounds = 0
        while rounds < 64 {
            rounds += 1
            var work: [@Sendable () -> Void] = []
            let jobs = inbox.withLock { inbox -> [UnownedJob] in
                let taken = inbox.jobs
                inbox.jobs = spareJobs
                if !inbox.work.isEmpty { swap(&work, &inbox.work) }
                return taken
            }
            spareJobs = []
            if jobs.isEmpty && work.isEmpty {
                spareJobs = jobs
                break
            }
            for item in work { item() }
            for job in jobs { job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor()) }
            var reusable = jobs
            reusable.removeAll(keepingCapacity: true)
            spareJobs = reusable
        }
        turnDepth = 0
        // Sockets get their turn even when tasks keep making each other ready.
        if rounds == 64 { wake(after: inbox.withLock { $0.claimWake() }) }
        let elapsed = monotonicNanoseconds() - startedAt
        if elapsed > 10_000_000 {
            slowTurns.increment()
            warnOfSlowTurn(milliseconds: Int(elapsed / 1_000_000))
        }
        activity = nil
    }

    /// Says which work it was, at most once a second: a machine that is short of processors would otherwise fill the log.
    private func warnOfSlowTurn(milliseconds: Int) {
        let now = monotonicNanoseconds()
        guard now - lastWarning > 1_000_000_000 else { return }
        lastWarning = now
        Logger("loop").warning(
            "a turn of the event loop took too long",
            ["loop": .string(name), "milliseconds": .integer(milliseconds), "activity": .string(activity ?? "-")]
        )
    }

    /// Ends the loop after what is ready has run; returns when its thread has ended.
    public func stop() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let already = inbox.withLock { inbox -> Bool in
                if inbox.hasStopped { return true }
                inbox.stopped.append(continuation)
                return false
            }
            if already { return continuation.resume() }
            execute { [self] in event_base_loopbreak(base) }
        }
    }

    // MARK: Executor

    /// Takes a job of the Swift runtime.
    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        wake(
            after: inbox.withLock { inbox in
                inbox.jobs.append(unowned)
                return inbox.claimWake()
            }
        )
    }

    /// Traps unless the caller runs on the loop.
    public func checkIsolated() {
        precondition(inLoop, "not on event loop \(name)")
    }

    /// Tells the Swift runtime whether the caller runs on the loop.
    public func isIsolatingCurrentContext() -> Bool? { inLoop }

    // MARK: Private

    private func wake(after claimed: Bool) {
        guard claimed else { return }
        // Inside a turn the loop looks at its inbox anyway before it sleeps.
        if inLoop && turnDepth > 0 {
            inbox.withLock { $0.wakePending = false }
            return
        }
        event_active(wakeEvent, 1, 0)
    }

    private func wokenUp() {
        inbox.withLock { $0.wakePending = false }
        drain()
    }

    private func runThread() {
        pthread_setspecific(Self.currentKey, Unmanaged.passUnretained(self).toOpaque())
        // What was put in before is run by the wake event: a break asked for before the loop runs would be forgotten.
        let lagTimer = startLagTimer()
        event_base_loop(base, Int32(EVLOOP_NO_EXIT_ON_EMPTY))
        drain()
        lagTimer.cancel()
        pthread_setspecific(Self.currentKey, nil)
        let waiting = inbox.withLock { inbox -> [CheckedContinuation<Void, Never>] in
            inbox.hasStopped = true
            defer { inbox.stopped = [] }
            return inbox.stopped
        }
        for continuation in waiting { continuation.resume() }
    }

    private func startLagTimer() -> RepeatingTimer {
        let period: UInt64 = 500_000_000
        nonisolated(unsafe) var due = monotonicNanoseconds() + period
        return RepeatingTimer(loop: self, every: .nanoseconds(Int64(period))) { [turnLag] in
            let now = monotonicNanoseconds()
            turnLag.observe(now > due ? Double(now - due) / 1e9 : 0)
            due = now + period
        }
    }
}
