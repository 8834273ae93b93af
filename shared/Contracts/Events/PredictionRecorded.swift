/// A signal's ledger has grown; said to caches and streams, which read the rows from the store.
public struct PredictionRecorded: EventBody, Hashable {
    /// `signals.prediction.recorded.v1`.
    public static let eventType = "signals.prediction.recorded.v1"
    /// The signal.
    public let signalID: SignalID
    /// The first new row's number.
    public let firstSeq: Int64
    /// The last new row's number: the head.
    public let lastSeq: Int64
    /// The chain's link at the head.
    public let headLink: SHA256Digest
    /// `made_at` of the head.
    public let madeAt: Timestamp

    /// The signal.
    public var subject: String { signalID.description }

    /// All fields.
    public init(
        signalID: SignalID,
        firstSeq: Int64,
        lastSeq: Int64,
        headLink: SHA256Digest,
        madeAt: Timestamp
    ) {
        self.signalID = signalID
        self.firstSeq = firstSeq
        self.lastSeq = lastSeq
        self.headLink = headLink
        self.madeAt = madeAt
    }
}
