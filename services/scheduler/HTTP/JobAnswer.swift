import Contracts

/// A job as the API shows it.
struct JobAnswer: Encodable, Sendable {
    let jobID: JobID
    let accountID: AccountID
    let kind: JobKind
    let resourceClass: ResourceClass
    let state: JobState
    let priority: Priority
    let attempt: Int
    let maxAttempts: Int
    let progress: Int
    let createdAt: Timestamp
    /// Nil while it waits for others, or when it was cancelled doing so.
    let availableAt: Timestamp?
    let blockedBy: Int
    let waitsFor: [JobDependency]?
    let startedAt: Timestamp?
    let completedAt: Timestamp?
    let estimatedSeconds: Double?
    /// From the first claim to the end.
    let actualSeconds: Double?
    let cancelRequestedAt: Timestamp?
    let failureKind: FailureKind?
    let errorMessage: String?
    let parentJobID: JobID?
    let batchID: BatchID?
    /// Raised by every change that can be seen; the id of the events of its stream.
    let version: Int64
    let signalID: SignalID?
    let occurrenceID: OccurrenceID?
    let result: JSONValue?
    let resultSHA256: SHA256Digest?
    let cpuSeconds: Double?
    let memoryPeakBytes: Int64?
    let memoryGibSeconds: Double?
    let bytesIn: Int64?
    let bytesOut: Int64?
    let log: String?
    let logTruncated: Bool?
    /// What the job was asked to do; of one job, not in lists.
    var spec: JSONValue?
    /// While it waits for a worker; 1 is the next.
    var queuePosition: Int?
    /// Whether it may stand further back than that.
    var queuePositionIsBounded: Bool?
    var expectedStartAt: Timestamp?
    /// Of a job that has children.
    var children: TallyAnswer?

    init(_ job: Job, log: JobLog? = nil, withResult: Bool = true) {
        jobID = job.id
        accountID = job.accountID
        kind = job.kind
        resourceClass = job.resourceClass
        state = job.state
        priority = job.priority
        attempt = job.attempt
        maxAttempts = job.maximumAttempts
        progress = job.progress
        createdAt = job.createdAt
        availableAt = job.availableAt < JobDependency.blockedUntil ? job.availableAt : nil
        blockedBy = job.blockedBy
        waitsFor = job.waitsFor.isEmpty ? nil : job.waitsFor
        startedAt = job.startedAt
        completedAt = job.completedAt
        estimatedSeconds = job.estimatedSeconds
        if let start = job.startedAt, let end = job.completedAt {
            actualSeconds = Double((end - start).wholeMicroseconds) / 1e6
        } else {
            actualSeconds = nil
        }
        cancelRequestedAt = job.cancelRequestedAt
        failureKind = job.failureKind
        errorMessage = job.errorMessage
        parentJobID = job.parentJobID
        batchID = job.batchID
        version = job.version
        signalID = job.spec["signal_id"]?.string.flatMap { SignalID($0) }
        occurrenceID = job.occurrenceID
        result = withResult ? job.result : nil
        resultSHA256 = job.resultSHA256
        cpuSeconds = job.cpuSeconds
        memoryPeakBytes = job.memoryPeakBytes
        memoryGibSeconds = job.memoryGiBSeconds
        bytesIn = job.bytesIn
        bytesOut = job.bytesOut
        self.log = log?.text
        logTruncated = log?.isTruncated
    }
}

/// What a job printed, as the API shows it.
struct LogAnswer: Encodable, Sendable {
    let jobID: JobID
    let attempt: Int
    let log: String
    let truncated: Bool
    /// Whether the attempt's end has told the whole log; what is shown before is what came so far.
    let final: Bool
    /// The attempts of which something is kept, by their numbers.
    let attempts: [Int]?
    let storedAt: Timestamp?

    /// A job that has printed nothing yet has an empty log.
    init(_ log: JobLog?, of job: Job) {
        jobID = job.id
        attempt = log?.attempt ?? job.attempt
        self.log = log?.text ?? ""
        truncated = log?.isTruncated ?? false
        final = log != nil
        attempts = nil
        storedAt = log?.storedAt
    }

    /// What is known of an attempt's log, also while it runs.
    init(_ log: AttemptLog?, of job: Job, attempts: [Int]) {
        jobID = job.id
        attempt = log?.attempt ?? job.attempt
        self.log = log?.text ?? ""
        truncated = log.map { $0.leftOutBytes > 0 || $0.isCut } ?? false
        final = log?.isFinal ?? false
        self.attempts = attempts
        storedAt = log?.storedAt
    }
}
