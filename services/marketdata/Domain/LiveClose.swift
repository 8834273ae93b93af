import Bars
import Contracts
import FoundationEssentials

/// The numbers of a closed interval, exact.
struct LivePrices: Sendable, Equatable {
    var open: DecimalNumber
    var high: DecimalNumber
    var low: DecimalNumber
    var close: DecimalNumber
    var volume: DecimalNumber?
    var trades: Int64?
}

/// One interval of the shortest bars of a feed, closed or revised.
struct LiveClose: Sendable, Equatable {
    var instrumentID: InstrumentID
    /// The length of the interval, the price, and who made the bar: `derived` out of trades by us, `imported` by the source.
    var series: SeriesKey
    /// Microseconds since 1970, as `end`.
    var start: Int64
    var end: Int64
    /// 0 is the close; 1 and more are what late ticks made of it.
    var version: Int
    /// Nothing for an interval that is over without a trade: a marker.
    var prices: LivePrices?

    /// The day whose chunk the row becomes part of.
    var day: CivilDay { CivilDay(utcMicroseconds: start) }
}

/// Bars of an interval that closed for all who are watched, and that an event is due for.
struct LiveAnnouncement: Sendable, Equatable {
    var intervalSeconds: Int
    var closeAt: Timestamp
    /// Filled in by the store: what is announced is read as of it.
    var knownAt: Timestamp
    var instruments: [InstrumentID]
}

/// What a feed says at one moment; all of it becomes known together or not at all.
struct LiveStep: Sendable {
    var closes: [LiveClose] = []
    /// Watched intervals that closed.
    var announcements: [LiveAnnouncement] = []
    /// The step is not known before it.
    var notBefore: Timestamp?
    /// Tells it from others, for who does not know what became of it.
    var id = UUID()
}

/// A stretch of a series that a feed missed.
struct LiveHole: Sendable, Equatable {
    enum State: String, Sendable {
        case open
        /// The source had it after all.
        case repaired
        /// The source did not have it.
        case lost
    }

    var id: UUID
    var source: String
    var instrumentID: InstrumentID
    var series: SeriesKey
    var from: Timestamp
    var to: Timestamp
    var reason: String
    var state = State.open
}
