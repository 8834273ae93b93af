import Contracts

/// A row of the job ledger.
struct Job: Sendable, Hashable {
    let id: JobID
    let accountID: AccountID
    let kind: JobKind
    let resourceClass: ResourceClass
    let priority: Priority
    var state: JobState
    let createdAt: Timestamp
    var availableAt: Timestamp
    var startedAt: Timestamp?
    var completedAt: Timestamp?
    var attempt: Int
    let maximumAttempts: Int
    var claimID: ClaimID?
    var worker: String?
    /// The fencing token: every write of a worker names it.
    var attemptID: AttemptID?
    var cancelRequestedAt: Timestamp?
    var failureKind: FailureKind?
    var errorMessage: String?
    var progress: Int
    let parentJobID: JobID?
    let idempotencyKey: String
    let inputSHA256: SHA256Digest
    let spec: JSONValue
    var result: JSONValue?
    var resultSHA256: SHA256Digest?
    var estimatedSeconds: Double?
    var cpuSeconds: Double?
    var memoryPeakBytes: Int64?
    let scheduleID: ScheduleID?
    let occurrenceID: OccurrenceID?
    let traceparent: String?
    /// How many of the jobs that it waits for have not ended yet; while there are any, nobody can claim it.
    var blockedBy = 0
    var waitsFor: [JobDependency] = []
    var batchID: BatchID?
    /// Raised by every change that can be seen.
    var version: Int64 = 1
    /// Of all attempts together, as the CPU's time is.
    var memoryGiBSeconds: Double?
    var bytesIn: Int64?
    var bytesOut: Int64?
}

/// A job that is to be written into the ledger.
struct NewJob: Sendable, Hashable {
    var id: JobID = .make()
    var accountID: AccountID
    var kind: JobKind
    var resourceClass: ResourceClass
    var priority: Priority
    var spec: JSONValue
    var inputSHA256: SHA256Digest
    var idempotencyKey: String
    var maximumAttempts: Int = JobLimits.maximumAttempts
    /// Nil is at once.
    var availableAt: Timestamp?
    var parentJobID: JobID?
    var scheduleID: ScheduleID?
    var occurrenceID: OccurrenceID?
    var traceparent: String?
    /// Jobs that have to end first: existing ones, or such as stand before it among those that are written with it.
    var waitsFor: [JobDependency] = []
    var batchID: BatchID?
    var estimatedSeconds: Double?
}

/// What became of a request for a job.
enum Insertion: Sendable, Hashable {
    case created(JobID)
    /// The same request came before.
    case existing(JobID)
    /// Another request came with the same key before.
    case keyReused(JobID)
    /// It was to wait for a job that there is not, or that is not its account's; nothing was written.
    case unknownDependency(JobID)
    /// The account has as many open jobs as it may have: this one was not made.
    case queueFull(most: Int)
}

/// What became of a request to cancel.
enum Cancellation: Sendable, Hashable {
    /// It was waiting and is cancelled now.
    case cancelled
    /// It runs; its worker will be told.
    case requested
    /// It had ended before.
    case alreadyEnded(JobState)
    case unknown
}

/// A line of a list of jobs.
struct JobFilter: Sendable, Hashable {
    /// Nil is all accounts.
    var accountID: AccountID?
    var state: JobState?
    /// Nil is all kinds.
    var kinds: [JobKind]?
    var signalID: SignalID?
    var parentJobID: JobID?
    var batchID: BatchID?
    /// Made at this moment or later.
    var createdFrom: Timestamp?
    /// Made before this moment.
    var createdTo: Timestamp?
    var isOldestFirst = false
    /// Only jobs that come after this one in the list's order.
    var beyond: JobID?
    var limit: Int
}

/// What a run printed.
struct JobLog: Sendable, Hashable {
    let attempt: Int
    let text: String
    let isTruncated: Bool
    let storedAt: Timestamp
}

extension JobFilter {
    /// How far the moment at which an id was made may lie from that of its row.
    static let slack = Duration.seconds(3_600)
}

extension JobID {
    /// The least id that can be made at a moment. Ids are made of the nanoseconds since 1970, which end in 2554: what lies beyond them is as late as can be.
    static func least(_ moment: Timestamp) -> JobID {
        let microseconds = min(UInt64(max(0, moment.microseconds)), UInt64.max / 1_000)
        return JobID(uuid: UUIDv7.make(nanosecondsSince1970: microseconds * 1_000, random: 0))
    }
}
