import Contracts
import HTTPServing

/// The scheduler's ledger of jobs, as signals uses it.
protocol JobLedger: Sendable {
    /// Makes a job, or finds the one that the same idempotency key made before.
    func create(_ request: JobRequest) async throws -> JobReceipt
    /// The same for up to `BulkRequest.mostJobs` at once: a line a job in their order, each refused for itself.
    func create(_ requests: [JobRequest]) async throws -> [BulkReceipt.Line]
    /// A job as it stands; nil when there is none.
    func job(_ id: JobID) async throws -> JobStanding?
    /// A result that was too large for its event; nil when it is gone.
    func result(_ sha256: SHA256Digest) async throws -> [UInt8]?
}

/// What the scheduler says of a job.
struct JobStanding: Sendable, Hashable, Decodable {
    var state: JobState
    var failureKind: String?
    var errorMessage: String?
    var result: JSONValue?
    var resultSHA256: SHA256Digest?
    var log: String?
    var logTruncated: Bool?
    var cpuSeconds: Double?
    var memoryPeakBytes: Int64?
}

/// The ledger behind the scheduler's internal API.
struct SchedulerJobs: JobLedger {
    let scheduler: ServiceClient

    func create(_ request: JobRequest) async throws -> JobReceipt {
        // The key makes it safe to ask again.
        try await scheduler.post("/internal/v1/jobs", body: request, isIdempotent: true)
    }

    func create(_ requests: [JobRequest]) async throws -> [BulkReceipt.Line] {
        let receipt: BulkReceipt = try await scheduler.post("/internal/v1/jobs/bulk", body: BulkRequest(jobs: requests), isIdempotent: true)
        return receipt.jobs
    }

    func job(_ id: JobID) async throws -> JobStanding? {
        try await scheduler.getIfFound("/internal/v1/jobs/\(id)")
    }

    func result(_ sha256: SHA256Digest) async throws -> [UInt8]? {
        try await scheduler.getBytes("/internal/v1/results/\(sha256.hex)", maximumBytes: 8 * 1024 * 1024)
    }
}
