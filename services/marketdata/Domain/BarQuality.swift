import Bars

/// Bars that a vendor most likely got wrong: kept as they are, and named.
enum BarQuality {
    /// Rows whose range is more than half of the highest price: no minute of a liquid market does that, a mixed-up print does. Bars of a day and longer
    /// may, where the market is like that: there the range has to be eight times the usual one as well.
    static func suspects(_ series: BarSeries, intervalSeconds: Int = 60) -> [Int] {
        let limit = intervalSeconds < 86_400 ? 0.5 : max(0.5, 8 * usualRange(series))
        return (0..<series.count).filter { range(series, $0) > limit }
    }

    /// Rows that reach far beyond the bars on both sides and come back: by a fifth, and by twenty times the usual range. A split, or an opening far from
    /// the last close, stays where it goes and is none.
    static func spikes(_ series: BarSeries) -> [Int] {
        guard series.count > 2 else { return [] }
        let factor = 1 + max(0.2, 20 * usualRange(series))
        return (1..<series.count - 1).filter { row in
            let (before, after) = (series.close.double(at: row - 1), series.open.double(at: row + 1))
            return series.high.double(at: row) > factor * max(before, after) || series.low.double(at: row) * factor < min(before, after)
        }
    }

    /// Rows of bid and ask bars of the same time where the bid is above the ask: (bid row, ask row).
    static func crossed(bid: BarSeries, ask: BarSeries) -> [(bid: Int, ask: Int)] {
        var found: [(bid: Int, ask: Int)] = []
        var (left, right) = (0, 0)
        while left < bid.count, right < ask.count {
            if bid.starts[left] != ask.starts[right] {
                if bid.starts[left] < ask.starts[right] { left += 1 } else { right += 1 }
                continue
            }
            for column in [\BarSeries.open, \.high, \.low, \.close]
            where bid[keyPath: column].double(at: left) > ask[keyPath: column].double(at: right) {
                found.append((left, right))
                break
            }
            left += 1
            right += 1
        }
        return found
    }

    /// Open, high, low and close in one line.
    static func text(_ series: BarSeries, _ row: Int) -> String {
        [series.open, series.high, series.low, series.close].map { $0.text(at: row) ?? "-" }.joined(separator: " ")
    }

    private static func range(_ series: BarSeries, _ row: Int) -> Double {
        let high = series.high.double(at: row)
        return high > 0 ? (high - series.low.double(at: row)) / high : 0
    }

    /// The median range of the rows, as a part of the price.
    private static func usualRange(_ series: BarSeries) -> Double {
        guard !series.isEmpty else { return 0 }
        let sorted = (0..<series.count).map { range(series, $0) }.sorted()
        return sorted[sorted.count / 2]
    }
}
