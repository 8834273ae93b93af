import Contracts
import HTTPServing

/// How a job stands, as the scheduler says.
struct JobStanding: Decodable, Sendable {
    var state: JobState
    var progress: Int
    var result: JSONValue?
    var failureKind: FailureKind?
    var errorMessage: String?
}

/// The ledger of jobs, for those who wait for the end of what they ordered.
protocol WatchedJobLedger: JobLedger {
    /// How a job stands; nil when the ledger has none of this id.
    func standing(of job: JobID) async throws -> JobStanding?
}

extension SchedulerJobs: WatchedJobLedger {
    func standing(of job: JobID) async throws -> JobStanding? {
        try await scheduler.getIfFound("/internal/v1/jobs/\(job)")
    }
}
