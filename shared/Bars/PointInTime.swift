/// What of a series may be seen at a moment: the only door between stored bars and anybody who forecasts.
public enum PointInTime {
    /// The stored bars whose end is not after the moment (microseconds since 1970).
    public static func known(_ series: BarSeries, asOf moment: Int64) -> BarSeries {
        guard let last = series.ends.last, last > moment else { return series }
        var low = 0
        var high = series.count
        while low < high {
            let middle = (low + high) / 2
            if series.ends[middle] <= moment { low = middle + 1 } else { high = middle }
        }
        return series.slice(0..<low)
    }

    /// Longer bars made of known ones: those whose own end is known, and with `partial` the one that still runs.
    public static func complete(_ series: BarSeries, asOf moment: Int64, partial: Bool) -> (series: BarSeries, lastIsPartial: Bool) {
        guard let last = series.ends.last, last > moment else { return (series, false) }
        let known = known(series, asOf: moment)
        guard partial else { return (known, false) }
        return (series.slice(0..<(known.count + 1)), true)
    }
}
