/// A job in the hands of a worker, with all it needs to run it.
public struct ClaimedJob: Sendable, Hashable, Codable {
    /// The job.
    public var jobID: JobID
    /// This attempt: the fencing token of every later write.
    public var attemptID: AttemptID
    /// Which attempt this is, from 1.
    public var attempt: Int
    /// What to do.
    public var kind: JobKind
    /// Which slots it took.
    public var resourceClass: ResourceClass
    /// Who pays for it.
    public var accountID: AccountID
    /// How it was ranked.
    public var priority: Priority
    /// What the handler of the kind needs to know.
    public var spec: JSONValue
    /// The lease, counted from the claim, in seconds.
    public var leaseSeconds: Int
    /// How long the code may run, in seconds.
    public var timeLimitSeconds: Int
    /// What the worker may read on this job's behalf (a JWT for `X-Auspex-Job`).
    public var jobToken: String
    /// W3C trace context of what asked for the job.
    public var traceparent: String?
    /// When the job was made.
    public var enqueuedAt: Timestamp

    /// All fields.
    public init(
        jobID: JobID,
        attemptID: AttemptID,
        attempt: Int,
        kind: JobKind,
        resourceClass: ResourceClass,
        accountID: AccountID,
        priority: Priority,
        spec: JSONValue,
        leaseSeconds: Int,
        timeLimitSeconds: Int,
        jobToken: String,
        traceparent: String? = nil,
        enqueuedAt: Timestamp
    ) {
        self.jobID = jobID
        self.attemptID = attemptID
        self.attempt = attempt
        self.kind = kind
        self.resourceClass = resourceClass
        self.accountID = accountID
        self.priority = priority
        self.spec = spec
        self.leaseSeconds = leaseSeconds
        self.timeLimitSeconds = timeLimitSeconds
        self.jobToken = jobToken
        self.traceparent = traceparent
        self.enqueuedAt = enqueuedAt
    }
}
