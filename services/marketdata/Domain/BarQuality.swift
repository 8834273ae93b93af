import Bars

/// Bars that a vendor most likely got wrong: kept as they are, and named.
enum BarQuality {
    /// Rows whose range is more than half of the highest price: no minute of a liquid market does that, a mixed-up print does.
    static func suspects(_ series: BarSeries) -> [Int] {
        (0..<series.count).filter { row in
            let high = series.high.double(at: row)
            return high - series.low.double(at: row) > high / 2
        }
    }
}
