import Bars
import Contracts

/// Which days have to be looked at for a request: from the end backward, or from the start forward, a stretch at a time until there are enough bars.
struct DayWindow: Sendable {
    /// The stretch to look at now.
    private(set) var days: ClosedRange<CivilDay>
    /// Whether the request counts back from its end.
    let isBackward: Bool
    /// So many bars are asked for.
    let wanted: Int
    private let limits: ClosedRange<CivilDay>
    private var width: Int

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
        isBackward = request.start == nil || request.countback != nil
        wanted = isBackward ? min(request.countback ?? request.limit, request.limit) : request.limit
        width = max(2, wanted * request.interval.seconds / 86_400 * 3 / 2 + periodDays + 4)
        days = limits
        let reach = min(width, limits.upperBound.number - limits.lowerBound.number)
        days = isBackward ? (limits.upperBound + -reach)...limits.upperBound : limits.lowerBound...(limits.lowerBound + reach)
    }

    /// Whether nothing that could count lies beyond the stretch.
    var isLast: Bool { isBackward ? days.lowerBound == limits.lowerBound : days.upperBound == limits.upperBound }

    /// Leaves out the earliest days, which most likely are not needed.
    mutating func begin(at day: CivilDay) { days = max(day, days.lowerBound)...days.upperBound }

    /// Goes on to the next stretch, four times as long. `edge` is the last day, or going forward the first, that it has to hold.
    mutating func advance(from edge: CivilDay) {
        width = min(width * 4, 1_000_000)
        if isBackward {
            // A bar of weeks may end beyond the last day there is.
            let upper = min(edge, limits.upperBound)
            days = max(limits.lowerBound, min(upper, days.lowerBound) + -width)...upper
        } else {
            days = edge...min(limits.upperBound, edge + width)
        }
    }

    /// The days, counted from where the window begins, that most likely hold the asked bars: enough choices, or all of them. What lies from `seam` on was
    /// read already, so the day that it cuts in two promises nothing.
    func likelyEnough(_ choices: [DayChoice], interval: BarInterval, cut: Int64, seam: Int64 = .max) -> [DayChoice] {
        // One more than asked, and one on either side that may be cut short.
        var missing = Double(wanted + 3)
        if interval.isDaily { missing *= 1.1 }
        var count = 0
        for choice in isBackward ? choices.reversed() : choices {
            count += 1
            if (choice.day + 1).seconds * 1_000_000 <= seam { missing -= choice.likelyBars(interval, cut: cut) }
            if missing <= 0 { break }
        }
        return Array(isBackward ? choices.suffix(count) : choices.prefix(count))
    }

    /// The asked bars out of those that were put together; nothing when there have to be more days.
    func cutOut(_ made: BarAssembly.Result, request: BarRequest, isWhole: Bool) -> CachedAnswer? {
        var bars = made.bars
        var lastIsPartial = made.lastIsPartial
        if let end = request.end {
            let upper = bars.firstRow(startingFrom: end.microseconds)
            lastIsPartial = lastIsPartial && upper == bars.count
            bars = bars.slice(0..<upper)
        }
        var nextStart: Int64?
        if isBackward {
            if let start = request.start { bars = bars.slice(bars.firstRow(startingFrom: start.microseconds)..<bars.count) }
            // One more than asked: a vendor's bar of an earlier day may reach into the first one.
            if bars.count <= wanted, !isWhole { return nil }
            bars = bars.slice(max(0, bars.count - wanted)..<bars.count)
        } else {
            let lower = bars.firstRow(startingFrom: request.start?.microseconds ?? .min)
            bars = bars.slice(lower..<bars.count)
            if bars.count <= wanted, !isWhole { return nil }
            if bars.count > wanted {
                nextStart = bars.starts[wanted]
                bars = bars.slice(0..<wanted)
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
            isApproximate: vector.contains(where: \.isHalfOfMiddle),
            nextStart: nextStart,
            dataSHA256: BarAssembly.digest(vector),
            revision: vector.map(\.edition).max() ?? 0,
            through: made.through
        )
    }
}

extension DayChoice {
    /// How many bars of an interval the day most likely gives, told by its first and last row; the day of the moment itself counts for nothing, since how
    /// long it becomes is not known then.
    func likelyBars(_ interval: BarInterval, cut: Int64) -> Double {
        guard (day + 1).seconds * 1_000_000 <= cut, let info = infos.first else { return 0 }
        let seconds = Double(info.lastEnd - info.firstEnd) / 1e6 + Double(intervalSeconds)
        // Six hours make a trading day; a Sunday evening of foreign exchange does not.
        if interval.isDaily { return min(1, seconds / 21_600) * 86_400 / Double(interval.seconds) }
        return min(seconds / Double(interval.seconds), Double(info.rows))
    }

    /// How many stored bars have to be read.
    var rows: Int { infos.reduce(0) { $0 + $1.rows } }
}
