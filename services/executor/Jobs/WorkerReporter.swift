import Contracts
import HTTPServing
import ServiceRuntime

/// Tells the scheduler every ten seconds what this executor can do.
final class WorkerReporter: Component {
    let name = "worker report"
    static let interval = Duration.seconds(10)

    private let scheduler: ServiceClient
    private let report: @Sendable () async -> WorkerReport
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("worker report")

    /// Sends what `report` says.
    init(scheduler: ServiceClient, time: any TimeSource, loop: EventLoop, report: @escaping @Sendable () async -> WorkerReport) {
        self.scheduler = scheduler
        self.report = report
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(on: loop, every: Self.interval, time: time) { [self] in await round() }
    }

    func stop() async {
        await work.stop()
    }

    private func round() async {
        do {
            // One report replaces another: twice is as good as once.
            try await scheduler.post("/internal/v1/workers/report", body: await report(), isIdempotent: true)
        } catch is CancellationError {
            return
        } catch {
            // The next round is near, and the worker itself says whether the scheduler answers.
            logger.info("could not report", ["error": .string("\(error)")])
        }
    }
}
