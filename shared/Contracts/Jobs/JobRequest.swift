/// Asks the scheduler for a job: body of `POST /internal/v1/jobs`.
public struct JobRequest: Sendable, Hashable, Codable {
    /// What to do.
    public var kind: JobKind
    /// Which slots it competes for.
    public var resourceClass: ResourceClass
    /// Who pays for it.
    public var accountID: AccountID
    /// Who goes first.
    public var priority: Priority
    /// What the handler of the kind needs to know.
    public var spec: JSONValue
    /// The same key again gives the same job instead of a second one.
    public var idempotencyKey: String
    /// Attempts at most, for faults of ours.
    public var maxAttempts: Int
    /// Not before this moment; at once when nil.
    public var availableAt: Timestamp?
    /// The job that this one is a part of, for those who look at it; it does not wait for that one.
    public var parentJobID: JobID?
    /// The jobs that have to end first; none when nil.
    public var waitsFor: [JobDependency]?
    /// The roles of who asks for it: they cap the priority. Nil when the service itself wants it.
    public var roles: [String]?

    /// All fields; three attempts, at once, no parent, no wait for others unless told.
    public init(
        kind: JobKind,
        resourceClass: ResourceClass,
        accountID: AccountID,
        priority: Priority = .normal,
        spec: JSONValue,
        idempotencyKey: String,
        maxAttempts: Int = 3,
        availableAt: Timestamp? = nil,
        parentJobID: JobID? = nil,
        waitsFor: [JobDependency]? = nil,
        roles: [String]? = nil
    ) {
        self.kind = kind
        self.resourceClass = resourceClass
        self.accountID = accountID
        self.priority = priority
        self.spec = spec
        self.idempotencyKey = idempotencyKey
        self.maxAttempts = maxAttempts
        self.availableAt = availableAt
        self.parentJobID = parentJobID
        self.waitsFor = waitsFor
        self.roles = roles
    }

    /// The spec without what differs when the same is asked for again: by this it is told whether a known key comes with another wish.
    public var comparedSpec: JSONValue { kind.compared(spec) }
}

extension JobKind {
    /// A spec of this kind without what differs when the same is asked for again.
    func compared(_ spec: JSONValue) -> JSONValue {
        let moments = JobKindRules.of(self).moments
        guard !moments.isEmpty, case .object(var members) = spec else { return spec }
        for moment in moments { members[moment] = nil }
        return .object(members)
    }
}

/// Answers a `JobRequest`.
public struct JobReceipt: Sendable, Hashable, Codable {
    /// The job, new or old.
    public var jobID: JobID
    /// False when the idempotency key had made it before.
    public var created: Bool

    /// Both fields.
    public init(jobID: JobID, created: Bool) {
        self.jobID = jobID
        self.created = created
    }
}
