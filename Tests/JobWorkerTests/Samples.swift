import Contracts

extension ClaimedJob {
    static func sample(kind: JobKind = .noop, class: ResourceClass = .small, spec: JSONValue = .object([:])) -> ClaimedJob {
        ClaimedJob(
            jobID: JobID.make(),
            attemptID: AttemptID.make(),
            attempt: 1,
            kind: kind,
            resourceClass: `class`,
            accountID: AccountID.make(),
            priority: .normal,
            spec: spec,
            leaseSeconds: 30,
            timeLimitSeconds: 60,
            jobToken: "token",
            enqueuedAt: Timestamp(seconds: 1_475_928_060)
        )
    }
}

extension FinishedJob {
    static func sample(_ job: ClaimedJob) -> FinishedJob {
        FinishedJob(jobID: job.jobID, attemptID: job.attemptID, outcome: .completed)
    }
}
