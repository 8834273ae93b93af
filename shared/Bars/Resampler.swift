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
    public func resample(_ series: BarSeries) -> BarSeries {
        var groups = Aggregation()
        var starts: [Int64] = []
        var ends: [Int64] = []
        series.starts.withUnsafeBufferPointer { rowStarts in
            var row = 0
            while row < rowStarts.count {
                switch grid.slot(at: rowStarts[row]) {
                case .gap(let until):
                    row += 1
                    while row < rowStarts.count, rowStarts[row] < until { row += 1 }
                case .bucket(let start, let end, let spanEnd):
                    let first = row
                    row += 1
                    while row < rowStarts.count, rowStarts[row] < spanEnd { row += 1 }
                    var upper = row
                    while upper > first, series.ends[upper - 1] > end { upper -= 1 }
                    guard upper > first else { continue }
                    groups.append(first..<upper)
                    starts.append(start)
                    ends.append(end)
                }
            }
        }
        let volume = series.volume.map { volumeRule == .sum ? groups.sum($0) : groups.last($0) }
        return BarSeries(
            unchecked: starts,
            ends: ends,
            open: groups.first(series.open),
            high: groups.largest(series.high),
            low: groups.smallest(series.low),
            close: groups.last(series.close),
            volume: volume,
            trades: series.trades.map { groups.sum(counts: $0) }
        )
    }
}
