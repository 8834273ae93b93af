import Bars
import Contracts

/// For how long bars are kept: of one instrument or all, of one interval or all. The most specific rule applies; an instrument goes before an interval.
struct RetentionRule: Sendable, Equatable {
    /// Whose audits read at least this far back.
    static let keepDays = 30...36_500

    /// The symbol; nil for all.
    var instrument: String?
    /// Nil for all.
    var intervalSeconds: Int?
    /// Nil for ever, which exempts from a wider rule.
    var keepDays: Int?
    var changedAt: Timestamp
}

/// What a rule may be about.
struct RetentionScope: Sendable, Equatable {
    /// The instrument; nil for all.
    var instrument: InstrumentID?
    /// Nil for all.
    var intervalSeconds: Int?
}

/// The rule that applies to a stored series.
struct SeriesRetention: Sendable, Equatable {
    var namesInstrument: Bool
    var namesInterval: Bool
    /// Nil for ever.
    var keepDays: Int?
    /// The first day that the rule keeps.
    var keptFrom: CivilDay?
    /// A running or paused replay needs the series, so that nothing of it is removed.
    var isHeld: Bool
}
