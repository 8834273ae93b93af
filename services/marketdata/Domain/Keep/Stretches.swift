import Contracts

/// Stretches of time in order, none touching another.
struct Stretches: Sendable, Equatable {
    let ranges: [Range<Timestamp>]

    /// Takes them as the database gives them: in order, none touching another.
    init(_ ranges: [Range<Timestamp>] = []) { self.ranges = ranges }

    /// What of a stretch is in none of them, in order.
    func missing(in wanted: Range<Timestamp>) -> [Range<Timestamp>] {
        var found: [Range<Timestamp>] = []
        var from = wanted.lowerBound
        for range in ranges where range.upperBound > from && range.lowerBound < wanted.upperBound {
            if range.lowerBound > from { found.append(from..<range.lowerBound) }
            from = range.upperBound
        }
        if from < wanted.upperBound { found.append(from..<wanted.upperBound) }
        return found
    }
}

extension Range<Timestamp> {
    /// Both halves, cut where a day or an hour of UTC begins; nothing for what is no longer than that.
    func halves(cutAt unit: Duration) -> (older: Range<Timestamp>, newer: Range<Timestamp>)? {
        guard upperBound - lowerBound > unit else { return nil }
        let middle = Timestamp(microseconds: lowerBound.microseconds + (upperBound.microseconds - lowerBound.microseconds) / 2)
        var cut = middle.floored(to: unit)
        if cut <= lowerBound { cut += unit }
        guard cut < upperBound else { return nil }
        return (lowerBound..<cut, cut..<upperBound)
    }
}
