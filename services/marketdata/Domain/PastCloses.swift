import Bars
import Contracts

/// Which closes of the past somebody asks for.
struct PastClosesQuestion: Sendable {
    var symbol: String
    var interval: BarInterval
    /// Bars that end here, or earlier, do not count.
    var after: Timestamp
    /// Bars that end later do not count.
    var through: Timestamp
    var limit: Int
}

/// Bars of an instrument that closed, in order.
struct PastCloses: Sendable {
    struct Close: Sendable {
        var end: Timestamp
        /// From when on it could be read: its end for history, and the moment of its close for what a feed told.
        var knownAt: Timestamp
    }

    var symbol: String
    var closes: [Close] = []
    /// Whether there are more than were asked for.
    var hasMore = false
}
