/// Bars that the code of a run asked for besides the inputs of its manifest.
public struct BarsRead: Sendable, Hashable, Codable {
    /// The instrument's symbol.
    public var instrument: String
    /// The bars' length, such as `15s`.
    public var interval: String
    /// How many bars, counted back from the end; nil for those from a start on.
    public var lookback: Int?
    /// Bars that start here or later.
    public var start: Timestamp?
    /// Bars that start earlier than this; the run's point in time when absent.
    public var end: Timestamp?
    /// Hash of the revisions that were served.
    public var dataSHA256: SHA256Digest

    /// All fields.
    public init(instrument: String, interval: String, lookback: Int?, start: Timestamp?, end: Timestamp?, dataSHA256: SHA256Digest) {
        self.instrument = instrument
        self.interval = interval
        self.lookback = lookback
        self.start = start
        self.end = end
        self.dataSHA256 = dataSHA256
    }
}
