import Contracts

/// What becomes of a running or waiting job: an end, or another attempt.
struct JobEnding: Sendable, Hashable {
    /// The job as it was.
    let job: Job
    /// `pending` for another attempt.
    let state: JobState
    /// How long another attempt waits.
    var retryAfter: Duration = .zero
    var failureKind: FailureKind?
    var errorMessage: String?
    var result: JSONValue?
    var resultSHA256: SHA256Digest?
    var cpuSeconds: Double?
    var memoryPeakBytes: Int64?
    var memoryGiBSeconds: Double?
    var bytesIn: Int64?
    var bytesOut: Int64?
    /// Whether its worker said so. Otherwise the attempt is taken from its worker, who must not believe that what it says later still counts.
    var isReported = false
    /// Whether the wait itself counts as an attempt.
    var countsAttempt = false

    /// What a worker's report means: a job that was to be cancelled is cancelled whatever came of it.
    static func reported(_ finished: FinishedJob, job: Job, at now: Timestamp = .now()) -> JobEnding {
        var ending = meaning(of: finished, job: job)
        ending.isReported = true
        ending.cpuSeconds = finished.cpuSeconds
        ending.memoryPeakBytes = finished.memoryPeakBytes
        ending.memoryGiBSeconds = finished.memoryGiBSeconds(since: job.startedAt, now: now)
        ending.bytesIn = finished.bytesIn.map { max(0, $0) }
        ending.bytesOut = finished.outgoingBytes
        return ending
    }

    private static func meaning(of finished: FinishedJob, job: Job) -> JobEnding {
        if job.cancelRequestedAt != nil { return JobEnding(job: job, state: .cancelled) }
        let message = finished.errorMessage.map { FinishedJob.message($0) }
        guard finished.outcome == .failed else {
            return JobEnding(
                job: job,
                state: .completed,
                result: finished.result,
                resultSHA256: finished.resultSHA256
            )
        }
        return failed(finished.failureKind ?? .infra, message, job: job, attempt: job.attempt)
    }

    /// Why a run was cancelled for the sake of the next.
    static let forALaterRun = "a later due time took its place"

    /// Its lease has ended.
    static func lost(_ job: Job) -> JobEnding {
        if job.cancelRequestedAt != nil { return JobEnding(job: job, state: .cancelled) }
        return failed(.lostWorker, "the worker \(job.worker ?? "") fell silent", job: job, attempt: job.attempt)
    }

    /// Nobody claimed it in time.
    static func waitedTooLong(_ job: Job) -> JobEnding {
        var ending = failed(.queueTimeout, "no worker was free in time", job: job, attempt: job.attempt + 1)
        ending.countsAttempt = true
        return ending
    }

    private static func failed(_ kind: FailureKind, _ message: String?, job: Job, attempt: Int) -> JobEnding {
        switch RetryPolicy.verdict(kind, attempt: attempt, maximumAttempts: job.maximumAttempts) {
        case .retry(let pause): JobEnding(job: job, state: .pending, retryAfter: pause, failureKind: kind, errorMessage: message)
        case .fail: JobEnding(job: job, state: .failed, failureKind: kind, errorMessage: message)
        }
    }

    /// The job as it is after this; `now` is when it ended.
    func applied(at now: Timestamp) -> Job {
        var job = job
        job.state = state
        job.failureKind = failureKind
        job.errorMessage = errorMessage
        // What the attempts have used is added up; of the peaks the highest counts.
        job.cpuSeconds = cpuSeconds.map { $0 + (job.cpuSeconds ?? 0) } ?? job.cpuSeconds
        job.memoryPeakBytes = memoryPeakBytes.map { max($0, job.memoryPeakBytes ?? 0) } ?? job.memoryPeakBytes
        job.memoryGiBSeconds = memoryGiBSeconds.map { $0 + (job.memoryGiBSeconds ?? 0) } ?? job.memoryGiBSeconds
        job.bytesIn = bytesIn.map { $0 + (job.bytesIn ?? 0) } ?? job.bytesIn
        job.bytesOut = bytesOut.map { $0 + (job.bytesOut ?? 0) } ?? job.bytesOut
        if countsAttempt { job.attempt += 1 }
        if state == .pending {
            job.availableAt = now + retryAfter
            job.attemptID = nil
            job.worker = nil
            job.claimID = nil
        } else {
            if !isReported { job.attemptID = nil }
            job.completedAt = now
            job.result = result
            job.resultSHA256 = resultSHA256
            if state == .completed { job.progress = 100 }
        }
        return job
    }
}
