import Contracts

/// An instrument that is made of what a source tells while it happens.
struct LiveSubscription: Sendable, Equatable {
    /// What the feed says of it.
    enum State: String, Sendable {
        /// No feed has looked at it yet.
        case waiting
        /// The source tells of it.
        case live
        /// There is no connection, or the source is without its own.
        case away
        /// The source does not tell of that symbol.
        case refused
    }

    /// The longest bars of a source that are taken as the shortest of an instrument.
    static let barSeconds = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600]

    var source: String
    var instrumentID: InstrumentID
    var symbol: String
    /// The instrument as the source spells it.
    var sourceSymbol: String
    /// Bars of so many seconds as the source builds them; nothing for bars of a second out of trades.
    var barSeconds: Int?
    var changedAt: Timestamp
    var state = State.waiting
    var stateDetail = ""
    var stateAt: Timestamp

    /// The series that its bars are of.
    var series: SeriesKey {
        SeriesKey(intervalSeconds: barSeconds ?? 1, side: .trade, origin: barSeconds == nil ? .derived : .imported)
    }

    /// The stream that tells of it.
    var stream: StreamKind { barSeconds.map { .bars(seconds: $0) } ?? .trades }
}
