/// The rows of a run are in the ledger.
public struct RunRecorded: EventBody, Hashable {
    /// `signals.run.recorded.v1`.
    public static let eventType = "signals.run.recorded.v1"
    /// The job whose rows they are.
    public let jobID: JobID
    /// The signal.
    public let signalID: SignalID
    /// The due time's row; nil when no schedule asked for the run.
    public let occurrenceID: OccurrenceID?
    /// The first row's number in the ledger of the signal.
    public let firstSeq: Int64
    /// The last row's number.
    public let lastSeq: Int64
    /// How many.
    public let rows: Int
    /// Whether they came too late to be scored.
    public let late: Bool
    /// `made_at` of the last row.
    public let recordedAt: Timestamp

    /// The job.
    public var subject: String { jobID.description }

    /// All fields.
    public init(
        jobID: JobID,
        signalID: SignalID,
        occurrenceID: OccurrenceID? = nil,
        firstSeq: Int64,
        lastSeq: Int64,
        rows: Int,
        late: Bool,
        recordedAt: Timestamp
    ) {
        self.jobID = jobID
        self.signalID = signalID
        self.occurrenceID = occurrenceID
        self.firstSeq = firstSeq
        self.lastSeq = lastSeq
        self.rows = rows
        self.late = late
        self.recordedAt = recordedAt
    }
}
