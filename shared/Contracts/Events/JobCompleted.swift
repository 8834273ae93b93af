/// A job is in a terminal state.
public struct JobCompleted: EventBody, Hashable {
    /// `scheduler.job.completed.v1`.
    public static let eventType = "scheduler.job.completed.v1"
    /// The job.
    public let jobID: JobID
    /// What it did.
    public let kind: JobKind
    /// Who asked for it.
    public let accountID: AccountID
    /// How it ended.
    public let outcome: JobOutcome
    /// Whose fault, when it failed.
    public let failureKind: FailureKind?
    /// What went wrong, for the author.
    public let errorMessage: String?
    /// The number of the last attempt; 0 when it was cancelled before any.
    public let attempt: Int
    /// That attempt.
    public let attemptID: AttemptID?
    /// What a signal run was about; nil for other kinds.
    public let specSummary: JobSpecSummary?
    /// The result when it has at most 16 KiB.
    public let result: JSONValue?
    /// The result's hash when it is larger: `GET /internal/v1/results/{sha256}`.
    public let resultSHA256: SHA256Digest?
    /// When it ended.
    public let finishedAt: Timestamp

    /// The job.
    public var subject: String { jobID.description }

    /// All fields.
    public init(
        jobID: JobID,
        kind: JobKind,
        accountID: AccountID,
        outcome: JobOutcome,
        failureKind: FailureKind? = nil,
        errorMessage: String? = nil,
        attempt: Int,
        attemptID: AttemptID? = nil,
        specSummary: JobSpecSummary? = nil,
        result: JSONValue? = nil,
        resultSHA256: SHA256Digest? = nil,
        finishedAt: Timestamp
    ) {
        self.jobID = jobID
        self.kind = kind
        self.accountID = accountID
        self.outcome = outcome
        self.failureKind = failureKind
        self.errorMessage = errorMessage
        self.attempt = attempt
        self.attemptID = attemptID
        self.specSummary = specSummary
        self.result = result
        self.resultSHA256 = resultSHA256
        self.finishedAt = finishedAt
    }
}
