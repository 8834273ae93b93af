import Contracts

/// What marketdata knows of an instrument, as far as signals cares.
struct InstrumentFacts: Sendable, Hashable {
    var symbol: String
    var feed: FeedKind
    var baseIntervalSeconds: Int
}

/// The bars and instruments of marketdata, as signals uses them.
protocol MarketData: Sendable {
    /// Nil when there is no such instrument.
    func instrument(_ symbol: String) async throws -> InstrumentFacts?
    /// The last bar that was known at a moment; nil when none was.
    func lastBar(_ symbol: String, intervalSeconds: Int, asOf: Timestamp) async throws -> OutcomeBar?
    /// Bars known at `asOf` that start in `start..<end`, in order.
    func bars(_ symbol: String, intervalSeconds: Int, asOf: Timestamp, start: Timestamp, end: Timestamp) async throws -> [OutcomeBar]
}
