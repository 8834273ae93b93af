import Bars
import Contracts

/// An instrument as clients and other services read it.
struct InstrumentAnswer: Encodable, Sendable {
    let id: InstrumentID
    let symbol: String
    let assetClass: String
    let timeZone: String
    let calendar: String
    let tickSize: DecimalText?
    let lotSize: DecimalText?
    let volumeUnit: String
    let feed: FeedKind
    let baseIntervalSeconds: Int?
    let active: Bool
    let series: [Series]?
    let names: [NameAnswer]?

    /// A stored series.
    struct Series: Encodable, Sendable {
        let intervalSeconds: Int
        let price: String
        let origin: String
        let firstDay: String
        let lastDay: String
        /// Absent where nothing is ever removed.
        let retention: SeriesRetentionAnswer?
    }

    init(
        _ instrument: Instrument,
        series stored: [StoredSeries]? = nil,
        names called: [InstrumentName]? = nil,
        retention: [SeriesKey: SeriesRetention] = [:]
    ) {
        id = instrument.id
        symbol = instrument.symbol
        assetClass = instrument.assetClass.rawValue
        timeZone = instrument.timeZone
        calendar = instrument.calendar
        tickSize = instrument.tickSize
        lotSize = instrument.lotSize
        volumeUnit = instrument.volumeUnit.rawValue
        feed = instrument.feed
        baseIntervalSeconds = instrument.baseIntervalSeconds
        active = instrument.active
        names = called?.map { NameAnswer($0) }
        series = stored?.map { one in
            Series(
                intervalSeconds: one.key.intervalSeconds,
                price: one.key.side.rawValue,
                origin: one.key.origin.rawValue,
                firstDay: one.firstDay.text,
                lastDay: one.lastDay.text,
                retention: retention[one.key].map { SeriesRetentionAnswer($0) }
            )
        }
    }
}
