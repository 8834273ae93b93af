/// Puts a bar into each interval of a session that has none: open, high, low and close are the close before it, volume and trades unknown.
///
/// Only for who asks, and each such bar is marked: nobody traded at that price. What is made is bounded by what is asked, however long a gap is.
public struct ForwardFill: Sendable {
    /// Bars with those that were put between them.
    public struct Result: Sendable {
        /// All bars, in order.
        public var bars: BarSeries
        /// Which of them were put in.
        public var isFilled: [Bool]
        /// Where the bars beyond the limit begin.
        public var nextStart: Int64?
        /// No bars.
        public static let empty = Result(bars: .empty, isFilled: [], nextStart: nil)
    }

    private let grid: any BarGrid
    private let clock: TradingClock
    private let session: SessionKind
    private let lengthMicroseconds: Int64

    /// Takes the grid of the bars, and the sessions outside of which nothing is put in.
    public init(grid: any BarGrid, clock: TradingClock, session: SessionKind, lengthMicroseconds: Int64) {
        self.grid = grid
        self.clock = clock
        self.session = session == .regular ? .regular : .extended
        self.lengthMicroseconds = lengthMicroseconds
    }

    /// From a start on, at most so many bars. `earlier` is the last bar before the start, if there is one; `nextStart` where the bars that follow begin, if
    /// there are more. A bar is put in if it starts before `end` and is over by `cut` (microseconds since 1970).
    public func forward(
        _ bars: BarSeries,
        after earlier: BarSeries,
        start: Int64,
        end: Int64,
        cut: Int64,
        limit: Int,
        nextStart: Int64?,
        lastIsPartial: Bool
    ) -> Result {
        var made = Rows()
        var last = earlier.count - 1
        var at = max(start, earlier.ends.last ?? start)
        // Rows of `earlier` and `bars` one after the other.
        let offset = earlier.count
        for row in 0..<bars.count {
            if last >= 0 {
                let gap = slots(from: at, to: bars.starts[row], over: bars.starts[row], limit: limit + 1 - made.count)
                for slot in gap { made.append(last, slot, isFilled: true) }
            }
            made.append(offset + row, (bars.starts[row], bars.ends[row]), isFilled: false)
            last = offset + row
            at = bars.ends[row]
            if made.count > limit { break }
        }
        if made.count <= limit, last >= 0, !lastIsPartial {
            for slot in slots(from: at, to: min(end, nextStart ?? end), over: min(cut, nextStart ?? cut), limit: limit + 1 - made.count) {
                made.append(last, slot, isFilled: true)
            }
        }
        guard let all = try? BarSeries.concatenate([earlier, bars]), made.count > 0 else { return .empty }
        let isCut = made.count > limit
        let next = isCut ? made.spans[limit].0 : nextStart
        return Result(bars: all.filled(made, made.count - min(made.count, limit)), isFilled: Array(made.isFilled.prefix(limit)), nextStart: next)
    }

    /// The last so many bars before an end.
    public func backward(_ bars: BarSeries, end: Int64, cut: Int64, wanted: Int, lastIsPartial: Bool) -> Result {
        guard !bars.isEmpty, wanted > 0 else { return .empty }
        // Made from the end on, the latest first.
        var made = Rows()
        var row = bars.count - 1
        if !lastIsPartial {
            for slot in lastSlots(wanted, from: bars.ends[row], to: end, over: cut) { made.append(row, slot, isFilled: true) }
        }
        while made.count < wanted {
            made.append(row, (bars.starts[row], bars.ends[row]), isFilled: false)
            row -= 1
            guard row >= 0 else { break }
            let next = bars.starts[row + 1]
            for slot in lastSlots(wanted - made.count, from: bars.ends[row], to: next, over: next) { made.append(row, slot, isFilled: true) }
        }
        made.reverse()
        return Result(bars: bars.filled(made, 0), isFilled: made.isFilled, nextStart: nil)
    }

    /// The last of the empty slots, the latest first.
    private func lastSlots(_ count: Int, from: Int64, to end: Int64, over cut: Int64) -> [(Int64, Int64)] {
        guard count > 0, min(end, cut) > from else { return [] }
        let upper = min(end, cut)
        var width = lengthMicroseconds.multipliedReportingOverflow(by: Int64(count) + 2).partialValue
        while true {
            let lower = width <= 0 || upper - from < width ? from : upper - width
            // A slot that began before the stretch is not whole in it.
            let found = slots(from: lower, to: end, over: cut, limit: .max)
            if found.count >= count || lower == from { return found.suffix(count).reversed() }
            width = width.multipliedReportingOverflow(by: 4).partialValue
        }
    }

    /// Slots of the grid that start from an instant on and before another, are over by a third, and lie in a session.
    private func slots(from: Int64, to end: Int64, over cut: Int64, limit: Int) -> [(Int64, Int64)] {
        var found: [(Int64, Int64)] = []
        var at = from
        let upper = min(end, cut)
        while at < upper, found.count < limit {
            switch grid.slot(at: at) {
            case .gap(let until): at = max(until, at + 1)
            case .bucket(let start, let slotEnd, let spanEnd):
                at = max(spanEnd, at + 1)
                guard start >= from, start < end, slotEnd <= cut else { continue }
                if let opening = opening(from: start, to: slotEnd) { at = max(at, opening) } else { found.append((start, slotEnd)) }
            }
        }
        return found
    }

    /// Nothing when the slot lies in a session, else an instant before which none is open.
    private func opening(from start: Int64, to end: Int64) -> Int64? {
        // A period of days always holds a session, or the grid has no bar for it.
        if end - start > 86_400_000_000 { return nil }
        let first = clock.tradingDate(of: start)
        let last = clock.tradingDate(of: end - 1)
        for day in [first, last] {
            if let open = clock.session(on: day, kind: session), open.overlaps(start..<end) { return nil }
        }
        if let open = clock.session(on: last, kind: session), open.lowerBound >= end {
            // The slot that holds the opening may have begun before it.
            return max(end, open.lowerBound - lengthMicroseconds + 1)
        }
        return max(end, clock.beginning(of: last + 1) - lengthMicroseconds + 1)
    }

    /// Rows to be made: where each takes its values from, its time, and whether it is put in.
    struct Rows {
        private(set) var sources: [Int] = []
        private(set) var spans: [(Int64, Int64)] = []
        private(set) var isFilled: [Bool] = []
        var count: Int { sources.count }

        mutating func append(_ source: Int, _ span: (Int64, Int64), isFilled filled: Bool) {
            sources.append(source)
            spans.append(span)
            isFilled.append(filled)
        }

        mutating func reverse() {
            sources.reverse()
            spans.reverse()
            isFilled.reverse()
        }
    }
}

extension BarSeries {
    /// The rows without the last so many, each put-in one flat at the close of its source.
    fileprivate func filled(_ rows: ForwardFill.Rows, _ leftOut: Int) -> BarSeries {
        let count = rows.count - leftOut
        let sources = Array(rows.sources.prefix(count))
        let flat = close.gather(sources)
        func price(_ column: ScaledColumn) -> ScaledColumn { column.gather(sources).replaced(by: flat, where: rows.isFilled) }
        return BarSeries(
            unchecked: rows.spans.prefix(count).map(\.0),
            ends: rows.spans.prefix(count).map(\.1),
            open: price(open),
            high: price(high),
            low: price(low),
            close: flat,
            volume: volume.map { $0.gather(sources).replaced(by: nil, where: rows.isFilled) },
            trades: trades.map { all in sources.indices.map { rows.isFilled[$0] ? -1 : all[sources[$0]] } }
        )
    }
}

extension ScaledColumn {
    /// The column with the values of another, or unknown ones, in the marked rows.
    fileprivate func replaced(by other: ScaledColumn?, where marked: [Bool]) -> ScaledColumn {
        guard let scale, let values = integers(at: scale) else { return floats(other, marked) }
        var theirs: [Int64]?
        if let other {
            // Prices of one series share one scale; where they do not, the nearest floats are.
            guard other.scale == scale, let same = other.integers(at: scale) else { return floats(other, marked) }
            theirs = same
        }
        return ScaledColumn(integers: values.indices.map { marked[$0] ? theirs?[$0] ?? Self.missing : values[$0] }, scale: scale)
    }

    private func floats(_ other: ScaledColumn?, _ marked: [Bool]) -> ScaledColumn {
        let values = doubles()
        return ScaledColumn(.floats(values.indices.map { marked[$0] ? other?.double(at: $0) ?? .nan : values[$0] }))
    }
}
