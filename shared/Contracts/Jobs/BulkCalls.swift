/// Asks the scheduler for many jobs at once: body of `POST /internal/v1/jobs/bulk`.
public struct BulkRequest: Sendable, Hashable, Codable {
    /// So many go into one call.
    public static let mostJobs = 500

    /// The jobs.
    public var jobs: [JobRequest]

    /// The jobs.
    public init(jobs: [JobRequest]) {
        self.jobs = jobs
    }
}

/// Answers a `BulkRequest`, a line a job in the same order.
public struct BulkReceipt: Sendable, Hashable, Codable {
    /// What became of one job: an id, or why there is none.
    public struct Line: Sendable, Hashable, Codable {
        /// The job, new or old.
        public var jobID: JobID?
        /// False when the idempotency key had made it before; absent when it was refused.
        public var created: Bool?
        /// Why it was refused.
        public var code: String?
        /// The same in words.
        public var detail: String?

        /// A job, or a refusal.
        public init(jobID: JobID? = nil, created: Bool? = nil, code: String? = nil, detail: String? = nil) {
            self.jobID = jobID
            self.created = created
            self.code = code
            self.detail = detail
        }
    }

    /// One line a job.
    public var jobs: [Line]

    /// The lines.
    public init(jobs: [Line]) {
        self.jobs = jobs
    }
}
