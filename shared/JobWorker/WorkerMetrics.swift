import Contracts
import ServiceRuntime

/// What operators see of a worker.
struct WorkerMetrics: Sendable {
    private struct End: Hashable {
        let kind: JobKind
        let outcome: String
    }

    private let running: Gauge
    // Kept, because to find a metric by its labels takes longer than a short job.
    private var jobs: [End: Counter] = [:]
    private var seconds: [JobKind: Histogram] = [:]
    let lostLeases: Counter
    let failedCalls: Counter

    init() {
        running = Metrics.shared.gauge("auspex_worker_jobs_running", help: "Jobs that run now.")
        lostLeases = Metrics.shared.counter("auspex_worker_leases_lost_total", help: "Jobs killed because their lease was lost or not confirmed.")
        failedCalls = Metrics.shared.counter("auspex_worker_scheduler_calls_failed_total", help: "Calls to the scheduler without an answer.")
    }

    func runs(_ count: Int) { running.set(Double(count)) }

    mutating func ended(_ job: ClaimedJob, _ result: JobResult, seconds: Double) {
        let end = End(kind: job.kind, outcome: result.failureKind?.rawValue ?? result.outcome.rawValue)
        jobs[end, inserting: Self.counter(end)].increment()
        self.seconds[job.kind, inserting: Self.histogram(job.kind)].observe(seconds)
    }

    private static func counter(_ end: End) -> Counter {
        Metrics.shared.counter(
            "auspex_worker_jobs_total",
            help: "Jobs that ended, by kind and outcome.",
            labels: ["kind": end.kind.rawValue, "outcome": end.outcome]
        )
    }

    private static func histogram(_ kind: JobKind) -> Histogram {
        Metrics.shared.histogram(
            "auspex_worker_job_seconds",
            help: "From the claim's answer to the handler's result.",
            labels: ["kind": kind.rawValue]
        )
    }
}

extension Dictionary {
    /// The value of a key, made and kept when there is none yet.
    fileprivate subscript(key: Key, inserting make: @autoclosure () -> Value) -> Value {
        mutating get {
            if let value = self[key] { return value }
            let value = make()
            self[key] = value
            return value
        }
    }
}
