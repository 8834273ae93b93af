/// An instrument came to be or changed.
public struct InstrumentChanged: EventBody, Hashable {
    /// `marketdata.instrument.changed.v1`.
    public static let eventType = "marketdata.instrument.changed.v1"
    /// The instrument; permanent, unlike its symbol.
    public let instrumentID: InstrumentID
    /// Its symbol today, such as `BTCUSD`.
    public let symbol: String
    /// `equity`, `crypto`, `forex`, `commodity`, `future`, `index`, `cfd`; older events say `fx` for `forex`.
    public let assetClass: String
    /// Where its bars come from.
    public let feed: FeedKind
    /// Whether it may be used by new signals.
    public let active: Bool

    /// The instrument.
    public var subject: String { instrumentID.description }

    /// All fields.
    public init(
        instrumentID: InstrumentID,
        symbol: String,
        assetClass: String,
        feed: FeedKind,
        active: Bool
    ) {
        self.instrumentID = instrumentID
        self.symbol = symbol
        self.assetClass = assetClass
        self.feed = feed
        self.active = active
    }
}
