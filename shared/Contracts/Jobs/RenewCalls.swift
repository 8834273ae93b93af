/// A lease that its worker wants to keep.
public struct LeaseRenewal: Sendable, Hashable, Codable {
    /// The job.
    public var jobID: JobID
    /// The attempt that holds it.
    public var attemptID: AttemptID
    /// How far it is, in percent; nil when it cannot say.
    public var progress: Int?
    /// What it printed since the last piece; nil when nothing is new.
    public var log: LogChunk?

    /// All fields.
    public init(jobID: JobID, attemptID: AttemptID, progress: Int? = nil, log: LogChunk? = nil) {
        self.jobID = jobID
        self.attemptID = attemptID
        self.progress = progress
        self.log = log
    }
}

/// Body of `POST /internal/v1/jobs/renew`: all leases of a worker in one call.
public struct RenewRequest: Sendable, Hashable, Codable {
    /// Who holds them.
    public var worker: String
    /// What it holds.
    public var leases: [LeaseRenewal]

    /// Both fields.
    public init(worker: String, leases: [LeaseRenewal]) {
        self.worker = worker
        self.leases = leases
    }
}

/// What became of a lease.
public struct LeaseStanding: Sendable, Hashable, Codable {
    /// What the worker has to do now.
    public enum State: String, Sendable, Hashable, Codable {
        /// Go on.
        case held
        /// Stop the job and finish it.
        case cancelRequested = "cancel_requested"
        /// Kill the job and say nothing: it is somebody else's.
        case lost
    }

    /// The job.
    public var jobID: JobID
    /// The attempt that asked.
    public var attemptID: AttemptID
    /// What to do.
    public var state: State

    /// All fields.
    public init(jobID: JobID, attemptID: AttemptID, state: State) {
        self.jobID = jobID
        self.attemptID = attemptID
        self.state = state
    }
}

/// Answers a renewal.
public struct RenewAnswer: Sendable, Hashable, Codable {
    /// One standing for each lease that was asked for.
    public var leases: [LeaseStanding]

    /// The standings.
    public init(leases: [LeaseStanding]) {
        self.leases = leases
    }
}
