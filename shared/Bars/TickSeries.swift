/// Trades or quotes of one side in the order in which they happened; several may share an instant.
public struct TickSeries: Sendable {
    /// Microseconds since 1970 UTC, never falling.
    public let times: [Int64]
    /// Prices.
    public let prices: ScaledColumn
    /// Sizes; nothing where the source has none.
    public let sizes: ScaledColumn?

    /// Takes columns of equal length whose times never fall.
    public init(times: [Int64], prices: ScaledColumn, sizes: ScaledColumn?) throws(BarsError) {
        for count in [prices.count, sizes?.count ?? times.count] where count != times.count {
            throw BarsError.unequalColumns(expected: times.count, found: count)
        }
        for index in 1..<max(times.count, 1) where times[index] < times[index - 1] { throw BarsError.unsortedRows(index: index) }
        self.times = times
        self.prices = prices
        self.sizes = sizes
    }

    /// The bars of these ticks on a grid: first, highest, lowest and last price, sum (or last) of sizes, number of ticks.
    public func bars(grid: any BarGrid, volumeRule: Resampler.VolumeRule = .sum) -> BarSeries {
        var groups = Aggregation()
        var starts: [Int64] = []
        var ends: [Int64] = []
        var row = 0
        while row < times.count {
            let first = row
            row += 1
            switch grid.slot(at: times[first]) {
            case .gap(let until): while row < times.count, times[row] < until { row += 1 }
            case .bucket(let start, let end, _):
                while row < times.count, times[row] < end { row += 1 }
                groups.append(first..<row)
                starts.append(start)
                ends.append(end)
            }
        }
        let counts = (0..<groups.count).map { Int64(groups.upper[$0] - groups.lower[$0]) }
        return BarSeries(
            unchecked: starts,
            ends: ends,
            open: groups.first(prices),
            high: groups.largest(prices),
            low: groups.smallest(prices),
            close: groups.last(prices),
            volume: sizes.map { volumeRule == .sum ? groups.sum($0) : groups.last($0) },
            trades: counts
        )
    }
}
