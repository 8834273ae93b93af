/// How many jobs of a class a worker can take.
public struct ClassSlots: Sendable, Hashable, Codable {
    /// The class.
    public var `class`: ResourceClass
    /// Free slots, 1 or more.
    public var slots: Int

    /// Both fields.
    public init(class: ResourceClass, slots: Int) {
        self.class = `class`
        self.slots = slots
    }
}

/// Body of `POST /internal/v1/jobs/claim`.
public struct ClaimRequest: Sendable, Hashable, Codable {
    /// The same id again gives the same jobs.
    public var claimID: ClaimID
    /// Who claims, as it names itself.
    public var worker: String
    /// What it has room for.
    public var classes: [ClassSlots]

    /// All fields.
    public init(claimID: ClaimID, worker: String, classes: [ClassSlots]) {
        self.claimID = claimID
        self.worker = worker
        self.classes = classes
    }
}

/// Answers a claim.
public struct ClaimAnswer: Sendable, Hashable, Codable {
    /// The jobs that are the worker's now; may be fewer than it has room for.
    public var jobs: [ClaimedJob]

    /// The jobs.
    public init(jobs: [ClaimedJob]) {
        self.jobs = jobs
    }
}
