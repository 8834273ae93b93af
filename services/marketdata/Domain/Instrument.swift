import Contracts

/// Something that can be forecast: a permanent id; the symbol is what it is called today.
struct Instrument: Sendable, Equatable {
    var id: InstrumentID
    var symbol: String
    var assetClass: AssetClass
    /// Name of the exchange calendar.
    var calendar: String
    /// The IANA zone of the exchange.
    var timeZone: String
    /// The least step of the price, where known.
    var tickSize: DecimalText?
    /// The least step of the size, where known.
    var lotSize: DecimalText?
    var volumeUnit: VolumeUnit
    /// The shortest stored bars; nothing before the first import.
    var baseIntervalSeconds: Int?
    var feed: FeedKind
    /// The instrument that a replay shows again.
    var replayOf: InstrumentID?
    var active: Bool
    /// Raised with every change.
    var version: Int64
    var createdAt: Timestamp
}
