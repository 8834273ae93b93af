import Contracts
import ServiceRuntime

/// Counts the days that are over, tells of them, and moves their occurrences to the archive.
final class CadenceKeeper: Component {
    let name = "cadence keeper"
    static let interval = Duration.seconds(10)
    /// Between two parts of the same day: a hundred thousand schedules are gone through in minutes, and nothing else waits for it.
    static let partPause = Duration.milliseconds(100)

    private let cadence: CadenceStore
    private let archive: OccurrenceArchive
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("cadence")

    init(cadence: CadenceStore, archive: OccurrenceArchive, time: any TimeSource, loop: EventLoop) {
        self.cadence = cadence
        self.archive = archive
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true, logger: logger, failure: "could not count the days that are over") {
            [self] in
            try await round()
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Everything that is due to be counted or moved.
    func round() async throws {
        while try await cadence.settle(now: time.now()) { try await time.sleep(for: Self.partPause) }
        while try await archive.move(now: time.now()) == OccurrenceArchive.batch { try await time.sleep(for: Self.partPause) }
    }
}
