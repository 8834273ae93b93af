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
    public func resample(_ series: BarSeries) -> BarSeries { bars(of: series, in: groups(of: series).groups) }

    /// Rows of one bar each, with the bar's start and end.
    private struct Groups {
        var rows = Aggregation()
        var starts: [Int64] = []
        var ends: [Int64] = []
    }

    /// The groups, and whether rows that follow would still belong to the last one.
    private func groups(of series: BarSeries) -> (groups: Groups, lastIsOpen: Bool) {
        var groups = Groups()
        var lastIsOpen = false
        series.starts.withUnsafeBufferPointer { rowStarts in
            var row = 0
            while row < rowStarts.count {
                switch grid.slot(at: rowStarts[row]) {
                case .gap(let until):
                    lastIsOpen = false
                    row += 1
                    while row < rowStarts.count, rowStarts[row] < until { row += 1 }
                case .bucket(let start, let end, let spanEnd):
                    let first = row
                    row += 1
                    while row < rowStarts.count, rowStarts[row] < spanEnd { row += 1 }
                    var upper = row
                    while upper > first, series.ends[upper - 1] > end { upper -= 1 }
                    lastIsOpen = upper > first
                    guard upper > first else { continue }
                    groups.rows.append(first..<upper)
                    groups.starts.append(start)
                    groups.ends.append(end)
                }
            }
        }
        return (groups, lastIsOpen)
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
            var (groups, lastIsOpen) = resampler.groups(of: series)
            open = .empty
            if lastIsOpen, let lower = groups.rows.lower.popLast(), let upper = groups.rows.upper.popLast() {
                _ = groups.starts.popLast()
                _ = groups.ends.popLast()
                var last = Groups(starts: [series.starts[lower]], ends: [series.ends[upper - 1]])
                last.rows.append(lower..<upper)
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
