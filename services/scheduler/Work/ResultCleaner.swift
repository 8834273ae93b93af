import BlobStore
import Contracts
import ServiceRuntime

/// Deletes results that no job names: a lost attempt leaves its own, and what a killed writer left is in nobody's way either.
final class ResultCleaner: Component {
    let name = "result cleaner"
    /// It looks at each file.
    static let interval = Duration.seconds(3_600)

    private let store: any SchedulerStore
    private let blobs: any BlobStore
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("results")

    init(store: any SchedulerStore, blobs: any BlobStore, time: any TimeSource, loop: EventLoop) {
        self.store = store
        self.blobs = blobs
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true, logger: logger, failure: "results were not cleaned up") { [self] in
            try await round()
        }
    }

    func stop() async {
        await work.stop()
    }

    /// One look at every file. A result is put before the report that names it, so a young one may wait for its job.
    func round() async throws {
        let deleted = try await blobs.cleanUp(at: time.now()) { [store] in try await store.namedResults(among: $0) }
        if deleted > 0 { logger.info("deleted results that no job names", ["results": .integer(deleted)]) }
    }
}
