/// Opening and closing of one session, in seconds from local midnight of the trading date (negative: the evening before).
public struct SessionHours: Sendable, Equatable, Codable {
    /// Seconds from local midnight of the trading date to the opening.
    public var open: Int
    /// Seconds from local midnight of the trading date to the close.
    public var close: Int

    /// Takes both ends.
    public init(open: Int, close: Int) {
        self.open = open
        self.close = close
    }
}

/// Which part of the trading day counts.
public enum SessionKind: String, Sendable, CaseIterable, Codable {
    /// The exchange's main session.
    case regular
    /// The main session with what is traded before and after it.
    case extended
    /// Everything that is stored.
    case all
}
