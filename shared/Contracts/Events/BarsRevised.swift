/// The bars of a day were corrected.
public struct BarsRevised: EventBody, Hashable {
    /// `marketdata.bars.revised.v1`.
    public static let eventType = "marketdata.bars.revised.v1"
    /// A revision is stored with its time anyway; who follows it live may listen.
    public static let mustBeHeard = false
    /// The instrument.
    public let instrumentID: InstrumentID
    /// Its symbol today.
    public let symbol: String
    /// The UTC date of the chunk.
    public let day: CivilDate
    /// The revision in force now, from 1.
    public let revision: Int64

    /// The instrument.
    public var subject: String { instrumentID.description }

    /// All fields.
    public init(
        instrumentID: InstrumentID,
        symbol: String,
        day: CivilDate,
        revision: Int64
    ) {
        self.instrumentID = instrumentID
        self.symbol = symbol
        self.day = day
        self.revision = revision
    }
}
