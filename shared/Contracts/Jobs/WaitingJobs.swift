/// What waits and runs in one class, as the scheduler saw it some seconds ago: the signal for adding and removing executors.
public struct ClassLoad: Sendable, Hashable, Codable {
    /// The class.
    public var `class`: ResourceClass
    /// Jobs that could be claimed now; counted up to ``WaitingJobs/mostCounted``.
    public var claimable: Int
    /// How long the one that waits longest could have been claimed, in seconds; 0 when there is none.
    public var oldestAgeSeconds: Double
    /// Jobs that are held by workers.
    public var running: Int
    /// What the claimable ones are expected to take together, in seconds, as far as that is known of them.
    public var expectedSeconds: Double

    /// All fields.
    public init(class: ResourceClass, claimable: Int = 0, oldestAgeSeconds: Double = 0, running: Int = 0, expectedSeconds: Double = 0) {
        self.class = `class`
        self.claimable = claimable
        self.oldestAgeSeconds = oldestAgeSeconds
        self.running = running
        self.expectedSeconds = expectedSeconds
    }
}

/// Answer of `GET /internal/v1/waiting`.
public struct WaitingJobs: Sendable, Hashable, Codable {
    /// When it was counted.
    public var countedAt: Timestamp
    /// Every class, also those in which nothing waits.
    public var classes: [ClassLoad]

    /// Both fields.
    public init(countedAt: Timestamp, classes: [ClassLoad]) {
        self.countedAt = countedAt
        self.classes = classes
    }

    /// A class with more claimable jobs than this is said to have this many: counting a million would cost more than knowing it is worth.
    public static let mostCounted = 10_000
}
