import Contracts
import HTTPServing

/// The scheduler's ledger of jobs, as marketdata uses it.
protocol JobLedger: Sendable {
    /// Makes a job, or finds the one that the same idempotency key made before.
    func create(_ request: JobRequest) async throws -> JobReceipt
}

/// The ledger behind the scheduler's internal API.
struct SchedulerJobs: JobLedger {
    let scheduler: ServiceClient

    func create(_ request: JobRequest) async throws -> JobReceipt {
        // The key makes it safe to ask again.
        try await scheduler.post("/internal/v1/jobs", body: request, isIdempotent: true)
    }
}
