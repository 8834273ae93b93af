import Bars

/// Cuts an imported series into UTC days, the unit of storage.
enum DayPartition {
    /// One day of a series with the part of the file's coverage that falls into it.
    struct Day: Sendable {
        var series: SeriesKey
        var day: CivilDay
        /// The file's bars, of which the day has these rows: a year is not copied to be cut.
        var source: BarSeries
        var rows: Range<Int>
        var coverage: Range<Int64>

        var bars: BarSeries { source.slice(rows) }
    }

    /// The days of a file that have no bad row.
    static func days(of file: ImportedFile) -> [Day] {
        var days: [Day] = []
        for part in file.series {
            let key = SeriesKey(intervalSeconds: part.intervalSeconds, side: part.side, origin: part.origin)
            var row = 0
            while row < part.bars.count {
                let day = CivilDay(utcMicroseconds: part.bars.starts[row])
                let next = (day + 1).seconds * 1_000_000
                var end = row
                while end < part.bars.count, part.bars.starts[end] < next { end += 1 }
                if !file.problems.days.contains(day) {
                    let midnight = day.seconds * 1_000_000
                    let from = min(max(part.coverage.lowerBound, midnight), part.bars.starts[row])
                    let to = max(min(part.coverage.upperBound, next), part.bars.starts[end - 1] + 1)
                    days.append(Day(series: key, day: day, source: part.bars, rows: row..<end, coverage: from..<to))
                }
                row = end
            }
        }
        return days
    }
}
