import Contracts
import JobWorker

/// Does nothing, for benchmarks of what lies around a job.
struct NoopHandler: JobHandler {
    var kinds: [String] { [JobKind.noop.rawValue] }

    func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult { .completed() }
}
