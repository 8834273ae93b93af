import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization

/// Counts every few seconds what waits in each class: the metrics by which executors are added and removed, and what executors ask for to keep room
/// for a job that is too large for what is left of them.
final class WaitingGauge: Component {
    let name = "waiting"
    static let interval = Duration.seconds(5)

    private let count: @Sendable () async throws -> [ClassLoad]
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let latest = Mutex<WaitingJobs?>(nil)
    private let logger = Logger("waiting")

    init(count: @escaping @Sendable () async throws -> [ClassLoad], time: any TimeSource, loop: EventLoop) {
        self.count = count
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time) { [self] in await round() }
    }

    func stop() async {
        await work.stop()
    }

    /// Counts once.
    func round() async {
        do {
            let loads = try await count()
            latest.withLock { $0 = WaitingJobs(countedAt: time.now(), classes: loads) }
            for load in loads { show(load) }
        } catch is CancellationError {
            return
        } catch {
            logger.warning("could not count what waits", ["reason": .string(String(reflecting: error))])
        }
    }

    /// What was counted last; nil before the first time.
    var jobs: WaitingJobs? { latest.withLock { $0 } }

    private func show(_ load: ClassLoad) {
        func set(_ name: String, _ help: String, _ value: Double) {
            Metrics.shared.gauge(name, help: help, labels: ["class": load.class.rawValue]).set(value)
        }
        set("auspex_scheduler_claimable_jobs", "Jobs that could be claimed, counted up to \(WaitingJobs.mostCounted).", Double(load.claimable))
        set("auspex_scheduler_claimable_oldest_seconds", "How long the oldest of them could have been claimed.", load.oldestAgeSeconds)
        set("auspex_scheduler_claimable_work_seconds", "What they are expected to take together, as far as known.", load.expectedSeconds)
        set("auspex_scheduler_running_jobs", "Jobs that workers hold.", Double(load.running))
    }
}

/// `GET /internal/v1/waiting`
struct WaitingRoutes: Sendable {
    let gauge: WaitingGauge

    func add(to router: inout Router, authenticating callers: ([String]) -> any Middleware) {
        router.grouped(callers(["executor", "marketdata", "signals"])).get("/internal/v1/waiting") { _ in
            guard let jobs = gauge.jobs else {
                throw Problem.unavailable(code: "not_counted_yet", detail: "What waits has not been counted yet; try again in some seconds.")
            }
            return try .json(jobs)
        }
    }
}
