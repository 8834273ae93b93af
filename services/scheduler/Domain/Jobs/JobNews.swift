import Contracts

/// Whom the store tells of jobs once something of them is committed, and whom it asks before one is written. All of it may be lost without harm.
struct JobNews: Sendable {
    /// Jobs of these accounts have changed in a way that can be seen.
    var changed: @Sendable (Set<AccountID>) -> Void = { _ in }
    /// These have ended for good.
    var ended: @Sendable ([Job]) -> Void = { _ in }
    /// How long a job will probably run, in seconds.
    var estimate: @Sendable (NewJob) -> Double? = { _ in nil }

    /// The jobs, each with its estimate.
    func estimated(_ jobs: [NewJob]) -> [NewJob] {
        jobs.map { job in
            var job = job
            job.estimatedSeconds = job.estimatedSeconds ?? estimate(job)
            return job
        }
    }
}
