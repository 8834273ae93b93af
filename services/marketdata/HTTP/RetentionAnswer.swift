import Bars
import Contracts

/// A rule as administrators read it.
struct RetentionRuleAnswer: Encodable, Sendable {
    /// Null for all.
    let instrument: String?
    /// Null for all.
    let interval: String?
    let intervalSeconds: Int?
    /// Null for ever.
    let keepDays: Int?
    let changedAt: Timestamp

    init(_ rule: RetentionRule) {
        instrument = rule.instrument
        interval = rule.intervalSeconds.map { BarInterval(seconds: $0).text }
        intervalSeconds = rule.intervalSeconds
        keepDays = rule.keepDays
        changedAt = rule.changedAt
    }

    private enum CodingKeys: String, CodingKey { case instrument, interval, intervalSeconds, keepDays, changedAt }

    /// Null is said here: it means all, and for ever.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(instrument, forKey: .instrument)
        try container.encode(interval, forKey: .interval)
        try container.encode(intervalSeconds, forKey: .intervalSeconds)
        try container.encode(keepDays, forKey: .keepDays)
        try container.encode(changedAt, forKey: .changedAt)
    }
}

/// The rules.
struct RetentionAnswer: Encodable, Sendable {
    let items: [RetentionRuleAnswer]
}

/// The rule that applies to a series, and from which day on it keeps.
struct SeriesRetentionAnswer: Encodable, Sendable {
    /// What the rule is about, which tells it in the list of rules: an interval, an instrument, both or all.
    let rule: String
    let keepDays: Int?
    let keptFrom: String?
    let heldByReplay: Bool

    init(_ retention: SeriesRetention) {
        rule =
            switch (retention.namesInstrument, retention.namesInterval) {
            case (true, true): "instrument_and_interval"
            case (true, false): "instrument"
            case (false, true): "interval"
            case (false, false): "all"
            }
        keepDays = retention.keepDays
        keptFrom = retention.keptFrom?.text
        heldByReplay = retention.isHeld
    }
}
