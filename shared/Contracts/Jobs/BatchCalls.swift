/// Asks for jobs that belong together: body of `POST /internal/v1/jobs/batches`. All are made, or none is.
public struct BatchRequest: Sendable, Hashable, Codable {
    /// Who pays for it.
    public var accountID: AccountID
    /// The same key again gives the same batch instead of a second one.
    public var idempotencyKey: String
    /// What is to be done.
    public var jobs: [BatchItem]
    /// The roles of who asks for it: they cap the priorities. Nil when the service itself wants it.
    public var roles: [String]?

    /// All fields.
    public init(accountID: AccountID, idempotencyKey: String, jobs: [BatchItem], roles: [String]? = nil) {
        self.accountID = accountID
        self.idempotencyKey = idempotencyKey
        self.jobs = jobs
        self.roles = roles
    }

    /// How many jobs a batch may have.
    public static let mostJobs = 1_000
}

/// One job of a batch; its idempotency key is the batch's with its place.
public struct BatchItem: Sendable, Hashable, Codable {
    /// What to do.
    public var kind: JobKind
    /// Which slots it competes for.
    public var resourceClass: ResourceClass
    /// Who goes first; normal when nil.
    public var priority: Priority?
    /// What the handler of the kind needs to know.
    public var spec: JSONValue
    /// Attempts at most, for faults of ours; three when nil.
    public var maxAttempts: Int?
    /// Not before this moment; at once when nil.
    public var availableAt: Timestamp?
    /// The job that this one is a part of.
    public var parentJobID: JobID?
    /// The jobs that have to end first.
    public var waitsFor: [JobDependency]?
    /// Places of jobs of the same batch that have to be completed first; they stand before this one.
    public var waitsForItems: [Int]?

    /// All fields.
    public init(
        kind: JobKind,
        resourceClass: ResourceClass,
        priority: Priority? = nil,
        spec: JSONValue,
        maxAttempts: Int? = nil,
        availableAt: Timestamp? = nil,
        parentJobID: JobID? = nil,
        waitsFor: [JobDependency]? = nil,
        waitsForItems: [Int]? = nil
    ) {
        self.kind = kind
        self.resourceClass = resourceClass
        self.priority = priority
        self.spec = spec
        self.maxAttempts = maxAttempts
        self.availableAt = availableAt
        self.parentJobID = parentJobID
        self.waitsFor = waitsFor
        self.waitsForItems = waitsForItems
    }

    /// The same without what differs when the same is asked for again: by this it is told whether a known key comes with another wish.
    public var compared: BatchItem {
        var item = self
        item.spec = kind.compared(spec)
        return item
    }
}

/// Answers a `BatchRequest`.
public struct BatchReceipt: Sendable, Hashable, Codable {
    /// The batch, new or old.
    public var batchID: BatchID
    /// False when the idempotency key had made it before.
    public var created: Bool
    /// Its jobs in the order in which they were asked for.
    public var jobs: [JobID]

    /// All fields.
    public init(batchID: BatchID, created: Bool, jobs: [JobID]) {
        self.batchID = batchID
        self.created = created
        self.jobs = jobs
    }
}
