import Contracts

/// The time of a row in a chain: it rises together with `seq`, so that either gives the order.
enum MadeAt {
    /// What the clock says, or a microsecond after the last row where the clock has not moved on or was set back.
    static func next(clock: Timestamp, last: Timestamp?) -> Timestamp {
        guard let last else { return clock }
        return max(clock, last + .microseconds(1))
    }
}
