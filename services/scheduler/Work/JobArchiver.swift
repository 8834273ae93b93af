import Contracts
import ServiceRuntime

/// Moves jobs that ended more than a day ago out of the hot table, a batch a transaction, and deletes archives that are older than they are kept.
final class JobArchiver: Component {
    let name = "job archiver"
    static let interval = Duration.seconds(60)
    static let batch = 500
    /// In one round; what is left waits for the next, so that a month of old jobs does not fill the log in one go.
    static let mostBatches = 120
    static let hotHours: Int64 = 24

    private let store: any JobArchives
    private let keptMonths: Int?
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("archives")
    private let moved = Metrics.shared.counter("auspex_scheduler_jobs_archived_total", help: "Jobs moved from the hot table to the archives.")

    /// - Parameter keptMonths: whole months that stay; nil keeps all.
    init(store: any JobArchives, keptMonths: Int?, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.keptMonths = keptMonths
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true, logger: logger, failure: "jobs were not archived") { [self] in
            try await round()
        }
    }

    func stop() async {
        await work.stop()
    }

    func round() async throws {
        for _ in 0..<Self.mostBatches {
            // Nil: another replica is at it.
            guard let count = try await store.archive(endedBefore: time.now() - .seconds(Self.hotHours * 3_600), limit: Self.batch) else { break }
            moved.increment(by: count)
            if count < Self.batch { break }
        }
        guard let keptMonths else { return }
        let dropped = try await store.dropArchives(keepingMonths: keptMonths, now: time.now())
        if dropped > 0 { logger.info("deleted archives of jobs", ["months": .integer(dropped)]) }
    }
}
