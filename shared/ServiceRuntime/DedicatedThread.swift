internal import CLinux
internal import Glibc
internal import Synchronization

/// A thread of its own for one blocking C library, as an executor: an actor that names it as its executor may block in C calls without
/// stopping anything else.
///
/// Besides its jobs it watches one descriptor (a broker's socket): see ``watch(fileDescriptor:onReadable:)``.
public final class DedicatedThread: SerialExecutor, TaskExecutor, @unchecked Sendable {
    // Unchecked because of the fields that only the thread itself touches; the queue is behind a lock.

    /// The thread's name.
    public let name: String

    private struct Queue {
        var jobs: [UnownedJob] = []
        var wakePending = false
        var stopping = false
        var stopped: [CheckedContinuation<Void, Never>] = []
        var hasStopped = false
    }

    private let queue = Mutex(Queue())
    private let wakeDescriptor: Int32
    private nonisolated(unsafe) var watchedDescriptor: Int32 = -1
    private nonisolated(unsafe) var onReadable: () -> Void = {}
    private nonisolated(unsafe) var onIdle: (() -> Void)?
    private nonisolated(unsafe) var idleMilliseconds: Int32 = -1

    private static let currentKey: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key, nil)
        return key
    }()

    private init(name: String) {
        self.name = name
        wakeDescriptor = auspex_eventfd()
    }

    /// Starts the thread.
    public static func start(name: String) throws -> DedicatedThread {
        let thread = DedicatedThread(name: name)
        try startThread(named: name) { thread.runThread() }
        return thread
    }

    /// Whether the caller runs on this thread.
    public var onThread: Bool {
        pthread_getspecific(Self.currentKey) == UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque())
    }

    /// Calls back on the thread whenever `fileDescriptor` has something to read; `nil` ends that. Call it on the thread.
    public func watch(fileDescriptor: Int32?, onReadable: @escaping () -> Void = {}) {
        checkIsolated()
        watchedDescriptor = fileDescriptor ?? -1
        self.onReadable = onReadable
    }

    /// Calls back on the thread at least this often, for heartbeats and time-outs of the library; `nil` ends that. Call it on the thread.
    public func whenIdle(every interval: Duration?, _ body: (() -> Void)? = nil) {
        checkIsolated()
        onIdle = body
        idleMilliseconds = interval.map { Int32(max(1, $0.inSeconds * 1000)) } ?? -1
    }

    /// Ends the thread after its queued jobs; returns when it has ended.
    public func stop() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let already = queue.withLock { queue -> Bool in
                if queue.hasStopped { return true }
                queue.stopping = true
                queue.stopped.append(continuation)
                return false
            }
            if already { continuation.resume() } else { wake() }
        }
    }

    /// Takes a job of the Swift runtime.
    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        let mustWake = queue.withLock { queue -> Bool in
            queue.jobs.append(unowned)
            if queue.wakePending { return false }
            queue.wakePending = true
            return true
        }
        if mustWake { wake() }
    }

    /// Traps unless the caller runs on the thread.
    public func checkIsolated() {
        precondition(onThread, "not on thread \(name)")
    }

    /// Tells the Swift runtime whether the caller runs on the thread.
    public func isIsolatingCurrentContext() -> Bool? { onThread }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(wakeDescriptor, &one, 8)
    }

    private func runThread() {
        pthread_setspecific(Self.currentKey, Unmanaged.passUnretained(self).toOpaque())
        var lastIdle = monotonicNanoseconds()
        while true {
            let (jobs, stopping) = queue.withLock { queue -> ([UnownedJob], Bool) in
                defer {
                    queue.jobs = []
                    queue.wakePending = false
                }
                return (queue.jobs, queue.stopping)
            }
            for job in jobs { job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor()) }
            if !jobs.isEmpty { continue }
            if stopping { break }
            waitForWork()
            if let onIdle, monotonicNanoseconds() - lastIdle >= UInt64(idleMilliseconds) * 1_000_000 {
                onIdle()
                lastIdle = monotonicNanoseconds()
            }
        }
        close(wakeDescriptor)
        pthread_setspecific(Self.currentKey, nil)
        let waiting = queue.withLock { queue -> [CheckedContinuation<Void, Never>] in
            queue.hasStopped = true
            defer { queue.stopped = [] }
            return queue.stopped
        }
        for continuation in waiting { continuation.resume() }
    }

    private func waitForWork() {
        var descriptors = [
            pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: watchedDescriptor, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&descriptors, watchedDescriptor < 0 ? 1 : 2, idleMilliseconds)
        if descriptors[0].revents != 0 {
            var count: UInt64 = 0
            _ = Glibc.read(wakeDescriptor, &count, 8)
        }
        if descriptors[1].revents != 0 { onReadable() }
    }
}
