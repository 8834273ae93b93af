import CBars

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

        /// Takes all rows of a stretch of bars, and gives the first row after it.
        mutating func addBars(
            from first: Int,
            origin: Int64,
            length: Int64,
            until: Int64,
            rowStarts: UnsafeBufferPointer<Int64>,
            rowEnds: UnsafeBufferPointer<Int64>
        ) -> Int {
            var row = Int64(first)
            withUnsafeTemporaryAllocation(of: AuspexBarRows.self, capacity: 512) { bars in
                repeat {
                    let made = auspex_bars_cut(
                        rowStarts.baseAddress,
                        Int64(rowStarts.count),
                        &row,
                        origin,
                        length,
                        until,
                        rowEnds[first] - rowStarts[first],
                        bars.baseAddress,
                        Int64(bars.count)
                    )
                    for bar in bars.prefix(Int(made)) { add(Int(bar.lower), Int(bar.upper), start: bar.start, end: bar.end, rowEnds: rowEnds) }
                } while row < rowStarts.count && rowStarts[Int(row)] < until
            }
            return Int(row)
        }

        mutating func removeLast() {
            _ = starts.popLast()
            _ = ends.popLast()
            rows.removeLast()
        }
    }

    private func groups(of series: BarSeries, from first: Int = 0) -> Groups {
        var groups = Groups()
        series.starts.withUnsafeBufferPointer { rowStarts in
            series.ends.withUnsafeBufferPointer { rowEnds in
                let rows = RowSearch(starts: rowStarts)
                var row = first
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
                        row = groups.addBars(from: row, origin: origin, length: length, until: until, rowStarts: rowStarts, rowEnds: rowEnds)
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

        /// The bars that nothing can be added to any more. Only rows of the bar that grew are copied, whatever the length of the piece.
        public mutating func add(_ piece: BarSeries) throws(BarsError) -> BarSeries {
            if piece.isEmpty { return .empty }
            var finished = BarSeries.empty
            var row = 0
            if let start = open.starts.first {
                if case .bucket(_, _, let spanEnd) = resampler.grid.slot(at: start) { row = piece.firstRow(startingFrom: spanEnd) }
                let grown = row == 0 ? open : try BarSeries.concatenate([open, piece.slice(0..<row)])
                if row == piece.count {
                    open = last(of: grown, resampler.groups(of: grown))
                    return .empty
                }
                finished = resampler.resample(grown)
            }
            var groups = resampler.groups(of: piece, from: row)
            open = last(of: piece, groups)
            if !open.isEmpty { groups.removeLast() }
            return try BarSeries.concatenate([finished, resampler.bars(of: piece, in: groups)])
        }

        /// The rows of the last bar as one, if it still grows.
        private func last(of series: BarSeries, _ groups: Groups) -> BarSeries {
            guard groups.lastIsOpen, let rows = groups.rows.last else { return .empty }
            var last = Groups(starts: [series.starts[rows.lowerBound]], ends: [series.ends[rows.upperBound - 1]])
            last.rows.append(rows)
            return resampler.bars(of: series, in: last)
        }

        /// The last bar, after the last piece.
        public mutating func finish() -> BarSeries {
            defer { open = .empty }
            return resampler.resample(open)
        }
    }
}
