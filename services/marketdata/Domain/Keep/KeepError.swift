/// Why a rule that keeps an instrument up to date is refused.
enum KeepError: Error, Sendable, Equatable {
    case unknownRule
    /// There is one for this instrument, source and interval.
    case ruleExists(instrument: String, source: String, interval: String)
    /// The rule is off.
    case disabled
    /// A stored interval that nobody understands.
    case unreadable(String)
}
