import Bars
import Contracts

/// Which days have to be read for a request: a guess that grows until it holds enough bars.
struct DayWindow: Sendable {
    private(set) var days: ClosedRange<CivilDay>
    private let limits: ClosedRange<CivilDay>
    private let isBackward: Bool
    private var span: Int

    /// Nothing when no day can hold a known bar.
    init?(_ request: BarRequest, series: [StoredSeries], cut: Int64) {
        guard let first = series.map(\.firstDay).min(), let last = series.map(\.lastDay).max() else { return nil }
        let periodDays = request.interval.isDaily ? request.interval.seconds / 86_400 * 2 : 1
        var upper = min(last, CivilDay(utcMicroseconds: cut))
        // Bars that begin before the end may run past it.
        if let end = request.end { upper = min(upper, CivilDay(utcMicroseconds: end.microseconds) + periodDays) }
        var lower = first
        // A session, a week or a month that begins at the start may have begun in UTC the day before.
        if let start = request.start { lower = max(lower, CivilDay(utcMicroseconds: start.microseconds) + -1) }
        guard lower <= upper else { return nil }
        limits = lower...upper
        isBackward = request.start == nil
        let wanted = isBackward ? request.countback ?? request.limit : request.limit
        span = max(2, wanted * request.interval.seconds / 86_400 * 3 / 2 + periodDays + 4)
        days = limits
        apply()
    }

    /// Doubles the reach, four times each step.
    mutating func grow() {
        span *= 4
        apply()
    }

    private mutating func apply() {
        let width = min(span, limits.upperBound.number - limits.lowerBound.number)
        days = isBackward ? (limits.upperBound + -width)...limits.upperBound : limits.lowerBound...(limits.lowerBound + width)
    }

    /// Whether nothing that could count lies beyond the window on the side to which it grows.
    private var isWhole: Bool { days == limits }

    /// Whether the window reaches the last known bar.
    var reachesTheEnd: Bool { days.upperBound == limits.upperBound }

    /// Beyond this moment the window says nothing (microseconds since 1970): a bar that runs past it is not whole.
    var knownUntil: Int64 { reachesTheEnd ? .max : (days.upperBound + 1).seconds * 1_000_000 }

    /// The asked bars out of those that the window gave; nothing when it has to grow.
    func cutOut(_ made: BarAssembly.Result, request: BarRequest) -> CachedAnswer? {
        var bars = made.bars
        var lastIsPartial = made.lastIsPartial
        if let end = request.end {
            let upper = bars.firstRow(startingFrom: end.microseconds)
            lastIsPartial = lastIsPartial && upper == bars.count
            bars = bars.slice(0..<upper)
        }
        var nextStart: Int64?
        if isBackward {
            let wanted = min(request.countback ?? request.limit, request.limit)
            // One more than asked: the first bar of the window may have begun before it.
            if bars.count <= wanted, !isWhole { return nil }
            bars = bars.slice(max(0, bars.count - wanted)..<bars.count)
        } else {
            let lower = bars.firstRow(startingFrom: request.start?.microseconds ?? .min)
            bars = bars.slice(lower..<bars.count)
            if bars.count <= request.limit, !isWhole { return nil }
            if bars.count > request.limit {
                nextStart = bars.starts[request.limit]
                bars = bars.slice(0..<request.limit)
                lastIsPartial = false
            }
        }
        var vector: [BarAssembly.VectorEntry] = []
        if let first = bars.starts.first, let last = bars.ends.last {
            let range = CivilDay(utcMicroseconds: first)...CivilDay(utcMicroseconds: last)
            vector = made.vector.filter { range.contains($0.key.day) && $0.knownRows > 0 }
        }
        return CachedAnswer(
            bars: bars,
            lastIsPartial: lastIsPartial,
            isApproximate: made.isApproximate,
            nextStart: nextStart,
            dataSHA256: BarAssembly.digest(vector),
            revision: vector.map(\.edition).max() ?? 0
        )
    }
}
