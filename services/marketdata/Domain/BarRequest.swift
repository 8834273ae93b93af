import Bars
import Contracts

/// From where bars of less than a day are counted, and where days begin.
enum BarAnchor: String, Sendable, CaseIterable {
    /// The opening of the exchange's session; trading dates.
    case session
    /// Midnight UTC.
    case clock
    /// Whole multiples since 1970.
    case epoch
}

/// Which bars somebody asks for, and from which moment they look.
struct BarRequest: Sendable, Equatable {
    var symbol: String
    var interval: BarInterval
    /// The moment whose knowledge counts; nothing means now.
    var asOf: Timestamp?
    /// Corrections recorded after this do not exist.
    var revisionsAsOf: Timestamp?
    /// When the symbol is meant; nothing means at the last moment that the question looks at.
    var symbolAt: Timestamp?
    /// The first start that counts.
    var start: Timestamp?
    /// Starts at or after this do not count.
    var end: Timestamp?
    /// So many of the latest bars before `end`; with `start` as well, none that starts earlier.
    var countback: Int?
    /// At most so many bars; the answer says where the rest begins.
    var limit = 5_000
    /// Whether the bar that still runs is added, flagged.
    var partial = false
    var session: SessionKind?
    var anchor: BarAnchor?
    var price: PriceSide?
    /// Which corporate actions the prices take into account.
    var adjustment = Adjustment.raw
    /// Whether empty intervals of a session get a marked bar at the close before them.
    var fillsForward = false
}

/// Bars with everything that a reader must know about them.
struct BarAnswer: Sendable {
    var instrument: Instrument
    var interval: BarInterval
    var price: PriceSide
    var session: SessionKind
    var anchor: BarAnchor
    var bars: BarSeries
    /// Whether the last bar still runs.
    var lastIsPartial: Bool
    /// Whether prices are the middle of bid and ask bars field by field.
    var isApproximate: Bool
    /// Where the bars that the limit cut off begin.
    var nextStart: Int64?
    /// Hash of the revision vector.
    var dataSHA256: SHA256Digest
    /// The highest revision that was read.
    var revision: Int
    /// Which corporate actions the prices take into account.
    var adjustment = Adjustment.raw
    /// Which bars stand for empty intervals; nothing when nobody asked for such.
    var isFilled: [Bool]?
    /// Of live days: everything that ends by here was known (microseconds since 1970). A feed that stalls closes nothing.
    var through: Int64?
}
