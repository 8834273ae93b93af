public import Contracts

/// Does the work of one or more kinds of jobs.
public protocol JobHandler: Sendable {
    /// The kinds that it does, by their names on the wire.
    var kinds: [String] { get }

    /// Does one job. Cancelling the task asks it to stop; ``JobInterruption`` says why and how fast.
    ///
    /// - Parameter reporter: takes what there is to see of the job while it runs; it reaches the scheduler with the renewals.
    func run(_ job: ClaimedJob, reporter: JobReporter) async -> JobResult
}

/// How a job ended, in the words of its handler.
public struct JobResult: Sendable {
    /// Well or badly.
    public var outcome: FinishedJob.Outcome
    /// Whose fault, when it ended badly.
    public var failureKind: FailureKind?
    /// What went wrong, in words for the job's owner.
    public var errorMessage: String?
    /// What came of it; of any size.
    public var result: JSONValue?
    /// CPU time used, in seconds.
    public var cpuSeconds = 0.0
    /// The most memory held at once, in bytes.
    public var memoryPeakBytes: Int64 = 0
    /// What was read for it, in bytes; nil when that was not counted.
    public var bytesIn: Int64?
    /// What it printed, at most 64 KiB.
    public var log: String?
    /// Whether it printed more than that.
    public var logTruncated = false

    private init(outcome: FinishedJob.Outcome, failureKind: FailureKind?, errorMessage: String?, result: JSONValue?) {
        self.outcome = outcome
        self.failureKind = failureKind
        self.errorMessage = errorMessage
        self.result = result
    }

    /// The job is done.
    public static func completed(_ result: JSONValue? = nil) -> JobResult {
        JobResult(outcome: .completed, failureKind: nil, errorMessage: nil, result: result)
    }

    /// The job failed; the kind decides whether it is tried again.
    public static func failed(_ kind: FailureKind, _ message: String) -> JobResult {
        JobResult(outcome: .failed, failureKind: kind, errorMessage: message, result: nil)
    }
}
