import Bars

/// When an instrument trades, as the closing of empty intervals needs to know it: its sessions with what comes before and after the main ones.
struct LiveSessions: Sendable {
    /// Empty intervals shorter than this say that they are over only at its multiples: what is watched closes at these.
    static let markerMicroseconds: Int64 = 5_000_000

    private let clock: TradingClock
    /// The session that was found last: a feed asks for the same one all day.
    private var last: Range<Int64>?

    init(_ clock: TradingClock) { self.clock = clock }

    /// Whether a session is open somewhere in a stretch of time.
    mutating func isOpen(in stretch: Range<Int64>) -> Bool { !sessions(in: stretch).isEmpty }

    /// Ends of intervals of a length, after one instant and up to another, that say that they are over though nothing happened in them.
    mutating func markers(after from: Int64, through to: Int64, length: Int64) -> [Int64] {
        guard from < to else { return [] }
        var step = length
        while length < Self.markerMicroseconds, step % Self.markerMicroseconds != 0 { step += length }
        var found: [Int64] = []
        // An interval that lies in a session overlaps it: it ends after the opening, and begins before the close.
        for session in sessions(in: from..<to) {
            var end = (floorDivide(max(session.lowerBound, from), step) + 1) * step
            while end - length < session.upperBound, end <= to {
                if end > found.last ?? from { found.append(end) }
                end += step
            }
            let close = floorDivide(session.upperBound + length - 1, length) * length
            if close <= to, close > found.last ?? from { found.append(close) }
        }
        return found
    }

    /// The sessions, whole, that overlap a stretch.
    private mutating func sessions(in stretch: Range<Int64>) -> [Range<Int64>] {
        guard !stretch.isEmpty else { return [] }
        if let last, last.lowerBound <= stretch.lowerBound, stretch.upperBound <= last.upperBound { return [last] }
        var found: [Range<Int64>] = []
        let final = clock.tradingDate(of: stretch.upperBound - 1) + 1
        var day = clock.tradingDate(of: stretch.lowerBound) + -1
        while day <= final {
            if let session = clock.session(on: day, kind: .extended), session.overlaps(stretch) { found.append(session) }
            day = day + 1
        }
        last = found.last
        return found
    }
}
