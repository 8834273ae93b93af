import Contracts
import ServiceRuntime

/// Looks at the schedules whenever one is due, and four times a second in any case, for those that another replica armed.
final class Ticker: Component {
    let name = "ticker"
    static let longestSleep = Duration.milliseconds(250)

    private let store: any SchedulerStore
    private let maker: OccurrenceMaker
    private let time: any TimeSource
    private let loop: EventLoop
    private let hint: @Sendable (ResourceClass) -> Void
    private let work = BackgroundTask()
    private let logger = Logger("ticker")
    private let made = Metrics.shared.counter("auspex_scheduler_runs_made_total", help: "Jobs made of due times.")
    private let lag = Metrics.shared.histogram(
        "auspex_scheduler_tick_lag_seconds",
        help: "How long after the first of them was due a transaction worked off schedules."
    )

    init(store: any SchedulerStore, time: any TimeSource, loop: EventLoop, hint: @escaping @Sendable (ResourceClass) -> Void) {
        self.store = store
        maker = OccurrenceMaker(store: store)
        self.time = time
        self.loop = loop
        self.hint = hint
    }

    func start() async throws {
        work.start(on: loop) { [self] in await run() }
    }

    func stop() async {
        await work.stop()
    }

    private func run() async {
        while !Task.isCancelled {
            var pause = Self.longestSleep
            do {
                pause = try await look()
            } catch is CancellationError {
                return
            } catch {
                logger.warning("could not look at the schedules; trying again", ["reason": .string(String(reflecting: error))])
            }
            if pause > .zero { do { try await time.sleep(for: pause) } catch { return } }
        }
    }

    /// Works off what is due and gives how long to sleep.
    func look() async throws -> Duration {
        let earliest = try await store.earliestDueTime(besides: maker.resting(at: time.now()))
        let now = time.now()
        guard let earliest else { return Self.longestSleep }
        guard earliest <= now else { return min(Self.longestSleep, earliest - now) }
        let schedules = try await make()
        if schedules == OccurrenceMaker.batch { try await workOffTheCrowd() }
        // Nothing although something is due: another replica has it.
        return schedules == 0 ? .milliseconds(20) : .zero
    }

    /// Two transactions beside each other, as of two replicas: while the database works for one, the runs of the other are planned.
    private func workOffTheCrowd() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 { group.addTask { while try await self.make() == OccurrenceMaker.batch {} } }
            try await group.waitForAll()
        }
    }

    /// Works off as much as fits one transaction; gives how many schedules there were.
    private func make() async throws -> Int {
        let round = try await maker.makeDue(at: self.time.now())
        if round.schedules > 0 { lag.observe(Double(round.lag.wholeMicroseconds) / 1e6) }
        if round.jobs > 0 {
            made.increment(by: round.jobs)
            hint(.signal)
        }
        return round.schedules
    }
}

extension Duration {
    /// Whole microseconds, cut.
    var wholeMicroseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
