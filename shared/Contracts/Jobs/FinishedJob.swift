/// How an attempt ended, as its worker tells the scheduler.
public struct FinishedJob: Sendable, Hashable, Codable {
    /// What a worker can say of an attempt; cancelling is the scheduler's word.
    public enum Outcome: String, Sendable, Hashable, Codable {
        /// There is a result.
        case completed
        /// There is a failure kind.
        case failed
    }

    /// The job.
    public var jobID: JobID
    /// The attempt that ended; a stale one is refused.
    public var attemptID: AttemptID
    /// Well or badly.
    public var outcome: Outcome
    /// Whose fault, when it failed.
    public var failureKind: FailureKind?
    /// What went wrong, in words for the author.
    public var errorMessage: String?
    /// Up to 16 KiB of JSON; larger results are put first and named by hash.
    public var result: JSONValue?
    /// The hash of a result that was put.
    public var resultSHA256: SHA256Digest?
    /// CPU time used, in seconds.
    public var cpuSeconds: Double
    /// The most memory held at once, in bytes.
    public var memoryPeakBytes: Int64
    /// The wall clock's time from the start of the attempt, in seconds; nil of a worker that does not measure it.
    public var wallSeconds: Double?
    /// Memory held, times how long it was held, in GiB·s; nil is reckoned from the peak.
    public var memoryGibSeconds: Double?
    /// What was read for the attempt: bars, files, in bytes.
    public var bytesIn: Int64?
    /// What it brought out: result and log, in bytes; nil is reckoned from what is here.
    public var bytesOut: Int64?
    /// What the code printed, at most 64 KiB.
    public var log: String?
    /// Whether it printed more than that.
    public var logTruncated: Bool

    /// All fields; what is not told is absent or zero.
    public init(
        jobID: JobID,
        attemptID: AttemptID,
        outcome: Outcome,
        failureKind: FailureKind? = nil,
        errorMessage: String? = nil,
        result: JSONValue? = nil,
        resultSHA256: SHA256Digest? = nil,
        cpuSeconds: Double = 0,
        memoryPeakBytes: Int64 = 0,
        log: String? = nil,
        logTruncated: Bool = false,
        wallSeconds: Double? = nil,
        memoryGibSeconds: Double? = nil,
        bytesIn: Int64? = nil,
        bytesOut: Int64? = nil
    ) {
        self.jobID = jobID
        self.attemptID = attemptID
        self.outcome = outcome
        self.failureKind = failureKind
        self.errorMessage = errorMessage
        self.result = result
        self.resultSHA256 = resultSHA256
        self.cpuSeconds = cpuSeconds
        self.memoryPeakBytes = memoryPeakBytes
        self.log = log
        self.logTruncated = logTruncated
        self.wallSeconds = wallSeconds
        self.memoryGibSeconds = memoryGibSeconds
        self.bytesIn = bytesIn
        self.bytesOut = bytesOut
    }

    /// The largest result that may travel inside, in bytes of JSON.
    public static let maximumResultBytes = 16_384
    /// The longest log that may travel inside, in bytes.
    public static let maximumLogBytes = 65_536
    /// The most of an error message that is kept, in bytes of UTF-8.
    public static let maximumMessageBytes = 4_096

    /// Text for a job's owner as every store, every event and every terminal can take it: at most ``maximumMessageBytes``, and harmless.
    public static func message(_ text: some StringProtocol) -> String { plain(text, maximumBytes: maximumMessageBytes) }

    /// Text of at most so many bytes of UTF-8, without what databases refuse or terminals obey; see ``HarmlessText``.
    public static func plain(_ text: some StringProtocol, maximumBytes: Int) -> String {
        HarmlessText.clean(text.prefix(utf8Bytes: maximumBytes)).prefix(utf8Bytes: maximumBytes)
    }
}
