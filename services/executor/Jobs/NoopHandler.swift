import Contracts
import JobWorker

/// Does nothing, for benchmarks of what lies around a job.
struct NoopHandler: JobHandler {
    var kinds: [String] { [JobKind.noop.rawValue] }

    func run(_ job: ClaimedJob, progress: @escaping @Sendable (Int) -> Void) async -> JobResult { .completed() }
}
