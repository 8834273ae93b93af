/// The rows of a run were refused whole.
public struct RunRejected: EventBody, Hashable {
    /// `signals.run.rejected.v1`.
    public static let eventType = "signals.run.rejected.v1"
    /// The job whose rows they were.
    public let jobID: JobID
    /// The signal.
    public let signalID: SignalID
    /// The due time's row; nil when no schedule asked for the run.
    public let occurrenceID: OccurrenceID?
    /// The first bad row, from 0; nil when the run as a whole is at fault.
    public let row: Int?
    /// What is wrong with it, for the author.
    public let reason: String

    /// The job.
    public var subject: String { jobID.description }

    /// All fields.
    public init(
        jobID: JobID,
        signalID: SignalID,
        occurrenceID: OccurrenceID? = nil,
        row: Int? = nil,
        reason: String
    ) {
        self.jobID = jobID
        self.signalID = signalID
        self.occurrenceID = occurrenceID
        self.row = row
        self.reason = reason
    }
}
