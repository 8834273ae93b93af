import Contracts

/// What was known of an instrument's bars when a run's rows came in; looked up before the ledger is locked.
struct MarketKnowledge: Sendable, Hashable {
    /// Length of the finest bars that exist of the instrument.
    var baseSeconds: Int
    /// Where the instrument's knowledge clock stood; nil where bars are known when they end, and where nobody could say.
    var replay: ReplayKnowledge?

    /// When marketdata could not be asked: the finest bars that there can be, and nothing known of a replay.
    static let unknown = MarketKnowledge(baseSeconds: 1)
}

/// How far a replay had been released.
struct ReplayKnowledge: Sendable, Hashable {
    /// How much later than the look a row may be made: after that more may have been released than was seen.
    static let lifetime: Duration = .seconds(1)

    /// The end of the last bar that was known at `as_of` of the run.
    var knownAtAsOf: Timestamp
    /// The end of the last bar that was known at `lookedAt`.
    var knownThrough: Timestamp
    var lookedAt: Timestamp
}

/// Relates the times of a replay's window to those of its bars, which keep times of years ago.
enum ReplayClock {
    /// What is to be added to the times of a window: a window that is told in today's time moves by the distance between `as_of` and the bars known then.
    static func shift(targetFrom: Timestamp, asOf: Timestamp, knownAtAsOf: Timestamp) -> Duration {
        let isWallClock = distance(targetFrom, asOf) <= distance(targetFrom, knownAtAsOf)
        return isWallClock ? knownAtAsOf - asOf : .zero
    }

    private static func distance(_ left: Timestamp, _ right: Timestamp) -> Int64 { abs(left.microseconds - right.microseconds) }
}
