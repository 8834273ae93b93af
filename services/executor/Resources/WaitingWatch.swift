import Contracts
import HTTPServing
import ServiceRuntime

/// Asks the scheduler what waits while a class has no room here, so that a job that is larger than what small ones leave gets its turn.
final class WaitingWatch: Component {
    let name = "waiting-watch"
    static let interval = Duration.seconds(5)
    /// A job that has waited this long without room for it has its room kept.
    static let patienceSeconds = 15.0

    private let resources: ResourceManager
    private let scheduler: ServiceClient
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()

    init(resources: ResourceManager, scheduler: ServiceClient, time: any TimeSource, loop: EventLoop) {
        self.resources = resources
        self.scheduler = scheduler
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true) { [self] in await look() }
    }

    func stop() async {
        await work.stop()
    }

    private func look() async {
        let crowded = resources.crowded
        guard !crowded.isEmpty else { return resources.save(for: nil) }
        // Without an answer nothing is kept: room that nobody needs is worse than a large job that waits a little longer.
        let waiting = try? await scheduler.get("/internal/v1/waiting", as: WaitingJobs.self)
        resources.save(for: waiting.flatMap { Self.choice(of: crowded, $0) })
    }

    /// The class without room whose oldest job waits longest, beyond the patience.
    static func choice(of crowded: Set<ResourceClass>, _ waiting: WaitingJobs) -> ResourceClass? {
        waiting.classes.filter { crowded.contains($0.class) && $0.claimable > 0 && $0.oldestAgeSeconds >= patienceSeconds }
            .max { ($0.oldestAgeSeconds, $1.class.rawValue) < ($1.oldestAgeSeconds, $0.class.rawValue) }?.class
    }
}
