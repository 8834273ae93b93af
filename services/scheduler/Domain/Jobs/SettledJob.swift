import Contracts

/// A job that has reached a terminal state, with what the event about it says.
struct SettledJob: Sendable, Hashable {
    let job: Job

    /// The event; a result over the limit travels by its hash.
    func completed(at time: Timestamp) -> JobCompleted {
        let outcome: JobOutcome =
            switch job.state {
            case .completed: .completed
            case .cancelled: .cancelled
            default: .failed
            }
        let isRun = JobKind.ofRuns.contains(job.kind)
        let spec: SignalRunSpec? = isRun ? try? WireJSON.decode(from: job.spec) : nil
        return JobCompleted(
            jobID: job.id,
            kind: job.kind,
            accountID: job.accountID,
            outcome: outcome,
            failureKind: job.failureKind,
            errorMessage: job.errorMessage.map { FinishedJob.message($0) },
            attempt: job.attempt,
            attemptID: job.attemptID,
            specSummary: spec.map(JobSpecSummary.init(of:)),
            result: job.result,
            resultSHA256: job.resultSHA256,
            finishedAt: job.completedAt ?? time
        )
    }
}
