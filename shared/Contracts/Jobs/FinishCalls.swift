/// The claim that rides on a finish call.
public struct NextClaim: Sendable, Hashable, Codable {
    /// The same id again gives the same jobs.
    public var claimID: ClaimID
    /// What there is room for after the finished ones.
    public var classes: [ClassSlots]

    /// Both fields.
    public init(claimID: ClaimID, classes: [ClassSlots]) {
        self.claimID = claimID
        self.classes = classes
    }
}

/// Body of `POST /internal/v1/jobs/finish`.
public struct FinishRequest: Sendable, Hashable, Codable {
    /// Who finished.
    public var worker: String
    /// What ended.
    public var finished: [FinishedJob]
    /// Asks for the next jobs in the same call.
    public var next: NextClaim?

    /// All fields.
    public init(worker: String, finished: [FinishedJob], next: NextClaim? = nil) {
        self.worker = worker
        self.finished = finished
        self.next = next
    }
}

/// What became of a finished attempt.
public struct FinishReceipt: Sendable, Hashable, Codable {
    /// Whether the outcome counts.
    public enum State: String, Sendable, Hashable, Codable {
        /// It is in the ledger; saying it twice gives this again.
        case accepted
        /// The attempt was no longer the job's: its outcome is dropped.
        case stale
    }

    /// The job.
    public var jobID: JobID
    /// The attempt.
    public var attemptID: AttemptID
    /// Whether it counts.
    public var state: State

    /// All fields.
    public init(jobID: JobID, attemptID: AttemptID, state: State) {
        self.jobID = jobID
        self.attemptID = attemptID
        self.state = state
    }
}

/// Answers a finish call.
public struct FinishAnswer: Sendable, Hashable, Codable {
    /// One receipt for each finished attempt.
    public var finished: [FinishReceipt]
    /// The next jobs, when they were asked for.
    public var jobs: [ClaimedJob]

    /// Both fields.
    public init(finished: [FinishReceipt], jobs: [ClaimedJob] = []) {
        self.finished = finished
        self.jobs = jobs
    }
}
