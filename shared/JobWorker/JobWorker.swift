public import Contracts
public import HTTPServing
public import ServiceRuntime
internal import Synchronization

/// Takes jobs of some classes from the scheduler and does them: claims by free slots, renews leases, stops what is cancelled or lost.
public final class JobWorker: Component {
    /// `worker`, in logs.
    public let name = "worker"
    private let core: WorkerCore
    private let grace: Mutex<Duration>

    /// A worker that begins to claim once it is started.
    ///
    /// - Parameters:
    ///   - worker: how it names itself to the scheduler: unique among running workers.
    ///   - slots: for how many jobs of each class it has room.
    ///   - control: the loop of claims and renewals: one that nothing slow shares.
    ///   - loops: where handlers run.
    ///   - readiness: says whether the scheduler answers.
    ///   - grace: how long running jobs may take to end when the worker stops, before they are given back.
    public init(
        worker: String,
        scheduler: ServiceClient,
        slots: any SlotSource,
        handlers: [any JobHandler],
        wakeups: (any WakeupSource)? = nil,
        timeSource: any TimeSource = SystemTimeSource(),
        control: EventLoop,
        loops: [EventLoop],
        readiness: ReadinessCheck? = nil,
        grace: Duration = .seconds(3)
    ) {
        precondition(!loops.isEmpty, "a worker needs a loop")
        self.grace = Mutex(grace)
        core = WorkerCore(
            calls: SchedulerCalls(client: scheduler, worker: worker),
            slots: slots,
            handlers: handlers,
            wakeups: wakeups,
            time: timeSource,
            control: control,
            loops: loops,
            readiness: readiness,
            metrics: WorkerMetrics()
        )
    }

    /// A worker with a number of slots for each class.
    public convenience init(
        worker: String,
        scheduler: ServiceClient,
        classes: [ResourceClass: Int],
        handlers: [any JobHandler],
        wakeups: (any WakeupSource)? = nil,
        timeSource: any TimeSource = SystemTimeSource(),
        control: EventLoop,
        loops: [EventLoop],
        readiness: ReadinessCheck? = nil,
        grace: Duration = .seconds(3)
    ) {
        self.init(
            worker: worker,
            scheduler: scheduler,
            slots: FixedSlots(classes),
            handlers: handlers,
            wakeups: wakeups,
            timeSource: timeSource,
            control: control,
            loops: loops,
            readiness: readiness,
            grace: grace
        )
    }

    /// A worker of a service, on its loops and clocks, named after it.
    public convenience init(
        worker: String,
        scheduler: ServiceClient,
        classes: [String: Int],
        handlers: [any JobHandler],
        wakeups: (any WakeupSource)? = nil,
        environment: ServiceEnvironment
    ) {
        var slots: [ResourceClass: Int] = [:]
        for (name, count) in classes {
            guard let known = ResourceClass(rawValue: name) else { preconditionFailure("there is no class of jobs '\(name)'") }
            slots[known] = count
        }
        self.init(
            worker: worker,
            scheduler: scheduler,
            classes: slots,
            handlers: handlers,
            wakeups: wakeups,
            timeSource: environment.time,
            control: environment.loops.control,
            loops: environment.loops.serving,
            readiness: environment.readiness.register("scheduler")
        )
    }

    /// The slots of each class, and how many of them jobs have now.
    public var occupancy: [WorkerClass] {
        get async { await core.occupancy }
    }

    /// Begins to claim; a scheduler that is away is tried again and again.
    public func start() async throws {
        await core.start()
    }

    /// Claims no more, lets short jobs end, gives the others back, delivers what is done.
    public func stop() async {
        await core.stop(grace: grace.withLock { $0 })
    }

    /// Changes how long running jobs may take to end when the worker stops: a notice may leave more time, or less, than an ordinary stop.
    public func setGrace(_ grace: Duration) {
        self.grace.withLock { $0 = grace }
    }
}
