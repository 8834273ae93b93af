import Contracts

/// What marketdata knows of an instrument, as far as signals cares.
struct InstrumentFacts: Sendable, Hashable {
    var symbol: String
    var feed: FeedKind
    var baseIntervalSeconds: Int
}

/// Marketdata has no bars of that length of the instrument, and asking again would not help until others are imported.
struct BarsRefused: Error, Sendable, Hashable {
    var reason: String
}

/// The bars and instruments of marketdata, as signals uses them. What asks for bars throws ``BarsRefused`` where there are none of that length.
protocol MarketData: Sendable {
    /// Nil when there is no such instrument.
    func instrument(_ symbol: String) async throws -> InstrumentFacts?
    /// The last bar that was known at a moment; nil when none was.
    func lastBar(_ symbol: String, intervalSeconds: Int, asOf: Timestamp) async throws -> OutcomeBar?
    /// Bars known at `asOf` that start in `start..<end`, in order.
    func bars(_ symbol: String, intervalSeconds: Int, asOf: Timestamp, start: Timestamp, end: Timestamp) async throws -> [OutcomeBar]
}
