/// The bars of an interval that end at one moment are closed: one event for all instruments with a live schedule.
public struct BarsClosed: EventBody, Hashable {
    /// `marketdata.bars.closed.v1`.
    public static let eventType = "marketdata.bars.closed.v1"

    /// The bar length in seconds, 5 or more.
    public let intervalSeconds: Int
    /// The end of the bars.
    public let closeAt: Timestamp
    /// When they became known: what a run that they set off may read up to.
    public let knownAt: Timestamp
    /// One entry per watched instrument.
    public let bars: [ClosedBar]

    /// `<interval_seconds>@<close_at>`.
    public var subject: String { "\(intervalSeconds)@\(closeAt.iso8601)" }

    /// All fields.
    public init(intervalSeconds: Int, closeAt: Timestamp, knownAt: Timestamp, bars: [ClosedBar]) {
        self.intervalSeconds = intervalSeconds
        self.closeAt = closeAt
        self.knownAt = knownAt
        self.bars = bars
    }
}

/// One instrument's part of `BarsClosed`.
public struct ClosedBar: Sendable, Hashable, Codable {
    /// The instrument.
    public let instrumentID: InstrumentID
    /// Its symbol today.
    public let symbol: String
    /// Where its bars come from.
    public let feed: FeedKind
    /// The revision of the day's chunk that holds the bar.
    public let revision: Int64
    /// The bar; nil (`null`) for an interval without trades, which closes all the same.
    public let bar: Bar?

    /// All fields.
    public init(instrumentID: InstrumentID, symbol: String, feed: FeedKind, revision: Int64, bar: Bar?) {
        self.instrumentID = instrumentID
        self.symbol = symbol
        self.feed = feed
        self.revision = revision
        self.bar = bar
    }

    private enum CodingKeys: CodingKey { case instrumentID, symbol, feed, revision, bar }

    /// Writes `bar` even when there is none: silence and absence differ.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(instrumentID, forKey: .instrumentID)
        try container.encode(symbol, forKey: .symbol)
        try container.encode(feed, forKey: .feed)
        try container.encode(revision, forKey: .revision)
        try container.encode(bar, forKey: .bar)
    }

    /// A bar `[start, end)`.
    public struct Bar: Sendable, Hashable, Codable {
        /// Included.
        public let start: Timestamp
        /// Not included.
        public let end: Timestamp
        /// The first price.
        public let open: Price
        /// The highest price.
        public let high: Price
        /// The lowest price.
        public let low: Price
        /// The last price.
        public let close: Price
        /// In the instrument's volume unit; nil when unknown, never 0 for that.
        public let volume: DecimalText?

        /// All fields.
        public init(start: Timestamp, end: Timestamp, open: Price, high: Price, low: Price, close: Price, volume: DecimalText?) {
            self.start = start
            self.end = end
            self.open = open
            self.high = high
            self.low = low
            self.close = close
            self.volume = volume
        }
    }
}
