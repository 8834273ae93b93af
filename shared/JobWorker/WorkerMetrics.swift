import Contracts
import ServiceRuntime

/// What operators see of a worker.
struct WorkerMetrics: Sendable {
    private let worker: String
    private let running: Gauge
    let lostLeases: Counter
    let failedCalls: Counter

    init(worker: String) {
        self.worker = worker
        running = Metrics.shared.gauge("auspex_worker_jobs_running", help: "Jobs that run now.")
        lostLeases = Metrics.shared.counter("auspex_worker_leases_lost_total", help: "Jobs killed because their lease was lost or not confirmed.")
        failedCalls = Metrics.shared.counter("auspex_worker_scheduler_calls_failed_total", help: "Calls to the scheduler without an answer.")
    }

    func runs(_ count: Int) { running.set(Double(count)) }

    func ended(_ job: ClaimedJob, _ result: JobResult, seconds: Double) {
        let outcome = result.failureKind?.rawValue ?? result.outcome.rawValue
        Metrics.shared.counter(
            "auspex_worker_jobs_total",
            help: "Jobs that ended, by kind and outcome.",
            labels: ["kind": job.kind.rawValue, "outcome": outcome]
        ).increment()
        Metrics.shared.histogram(
            "auspex_worker_job_seconds",
            help: "From the claim's answer to the handler's result.",
            labels: ["kind": job.kind.rawValue]
        ).observe(seconds)
    }
}
