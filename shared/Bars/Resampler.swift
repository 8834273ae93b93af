/// Builds longer bars of shorter ones: first open, highest high, lowest low, last close; intervals without a bar stay empty.
public struct Resampler: Sendable {
    /// What becomes of the volumes of the bars that are put together.
    public enum VolumeRule: Sendable {
        /// Trades: the volumes add up, exactly.
        case sum
        /// Quotes: the last size stands.
        case last
    }

    private let grid: any BarGrid
    private let volumeRule: VolumeRule

    /// Takes the grid of the longer bars.
    public init(grid: any BarGrid, volumeRule: VolumeRule = .sum) {
        self.grid = grid
        self.volumeRule = volumeRule
    }

    /// The longer bars. A row outside every bar of the grid, or reaching beyond its bar's end, is left out.
    public func resample(_ series: BarSeries) -> BarSeries { bars(of: series, in: groups(of: series)) }

    /// Rows of one bar each, with the bar's start and end.
    private struct Groups {
        var rows = Aggregation()
        var starts: [Int64] = []
        var ends: [Int64] = []
        /// Whether rows that follow would still belong to the last bar.
        var lastIsOpen = false

        /// Takes the rows from one on that start before a bar's end; those that reach beyond it are left out.
        mutating func add(_ first: Int, _ span: Int, start: Int64, end: Int64, rowEnds: UnsafeBufferPointer<Int64>) {
            var upper = span
            while upper > first, rowEnds[upper - 1] > end { upper -= 1 }
            lastIsOpen = upper > first
            guard lastIsOpen else { return }
            rows.append(first..<upper)
            starts.append(start)
            ends.append(end)
        }

        mutating func removeLast() -> Range<Int>? {
            _ = starts.popLast()
            _ = ends.popLast()
            return rows.removeLast()
        }
    }

    private func groups(of series: BarSeries) -> Groups {
        var groups = Groups()
        series.starts.withUnsafeBufferPointer { rowStarts in
            series.ends.withUnsafeBufferPointer { rowEnds in
                let rows = RowSearch(starts: rowStarts)
                var row = 0
                while row < rowStarts.count {
                    switch grid.stretch(at: rowStarts[row]) {
                    case .gap(let until):
                        groups.lastIsOpen = false
                        row = rows.first(notBefore: until, after: row, rowLength: rowEnds[row] - rowStarts[row])
                    case .period(let start, let end, let spanEnd):
                        let next = rows.first(notBefore: spanEnd, after: row, rowLength: rowEnds[row] - rowStarts[row])
                        groups.add(row, next, start: start, end: end, rowEnds: rowEnds)
                        row = next
                    case .bars(let origin, let length, let until):
                        while row < rowStarts.count, rowStarts[row] < until {
                            let start = origin + floorDivide(rowStarts[row] - origin, length) * length
                            let end = min(start + length, until)
                            let next = rows.first(notBefore: end, after: row, rowLength: rowEnds[row] - rowStarts[row])
                            groups.add(row, next, start: start, end: end, rowEnds: rowEnds)
                            rows.expect(next + 8 * (next - row), rowEnds)
                            row = next
                        }
                    }
                }
            }
        }
        return groups
    }

    private func bars(of series: BarSeries, in groups: Groups) -> BarSeries {
        let rows = groups.rows
        return BarSeries(
            unchecked: groups.starts,
            ends: groups.ends,
            open: rows.first(series.open),
            high: rows.largest(series.high),
            low: rows.smallest(series.low),
            close: rows.last(series.close),
            volume: series.volume.map { volumeRule == .sum ? rows.sum($0) : rows.last($0) },
            trades: series.trades.map { rows.sum(counts: $0) }
        )
    }

    /// Resamples a series that comes in pieces, in order of time: what is held between two pieces is one row, however long the bars are.
    public struct InPieces: Sendable {
        private let resampler: Resampler
        /// The rows so far of the bar that still grows, folded into one with the first start and the last end of them.
        private var open = BarSeries.empty

        /// Nothing has come yet.
        public init(_ resampler: Resampler) { self.resampler = resampler }

        /// The bars that nothing can be added to any more.
        public mutating func add(_ piece: BarSeries) throws(BarsError) -> BarSeries {
            if piece.isEmpty { return .empty }
            let series = try BarSeries.concatenate([open, piece])
            var groups = resampler.groups(of: series)
            open = .empty
            if groups.lastIsOpen, let rows = groups.removeLast() {
                var last = Groups(starts: [series.starts[rows.lowerBound]], ends: [series.ends[rows.upperBound - 1]])
                last.rows.append(rows)
                open = resampler.bars(of: series, in: last)
            }
            return resampler.bars(of: series, in: groups)
        }

        /// The last bar, after the last piece.
        public mutating func finish() -> BarSeries {
            defer { open = .empty }
            return resampler.resample(open)
        }
    }
}
