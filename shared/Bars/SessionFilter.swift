/// Keeps the rows that lie wholly inside a session; a closing print stamped after the bell is outside.
public struct SessionFilter: Sendable {
    private let clock: TradingClock
    private let kind: SessionKind

    /// Takes the calendar and the part of the day to keep.
    public init(clock: TradingClock, kind: SessionKind) {
        self.clock = clock
        self.kind = kind
    }

    /// The bars inside the session; the same series if all are.
    public func apply(_ series: BarSeries) -> BarSeries {
        if kind == .all || series.isEmpty { return series }
        var kept: [Int] = []
        kept.reserveCapacity(series.count)
        var dateEnd = Int64.min
        var session: Range<Int64>?
        var pause: Range<Int64>?
        for row in 0..<series.count {
            let start = series.starts[row]
            if start >= dateEnd {
                let day = clock.tradingDate(of: start)
                dateEnd = clock.beginning(of: day + 1)
                session = clock.session(on: day, kind: kind)
                pause = clock.pause(on: day, kind: kind)
            }
            guard let session, start >= session.lowerBound, series.ends[row] <= session.upperBound else { continue }
            // What begins in the pause is none of the session; a vendor's long bar that reaches into it was traded before.
            if pause?.contains(start) != true { kept.append(row) }
        }
        return series.gather(kept)
    }
}
