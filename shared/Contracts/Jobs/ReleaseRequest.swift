/// A lease, named.
public struct LeaseReference: Sendable, Hashable, Codable {
    /// The job.
    public var jobID: JobID
    /// The attempt that holds it.
    public var attemptID: AttemptID

    /// Both fields.
    public init(jobID: JobID, attemptID: AttemptID) {
        self.jobID = jobID
        self.attemptID = attemptID
    }
}

/// Body of `POST /internal/v1/jobs/release`: gives jobs back without using up an attempt.
public struct ReleaseRequest: Sendable, Hashable, Codable {
    /// Who held them.
    public var worker: String
    /// What it gives back.
    public var leases: [LeaseReference]

    /// Both fields.
    public init(worker: String, leases: [LeaseReference]) {
        self.worker = worker
        self.leases = leases
    }
}
