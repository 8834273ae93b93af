/// Bars as CSV: a header, then one bar a line; times are UTC with microseconds, numbers exact to the last digit, what is unknown is empty.
public enum RowCSV {
    /// The media type of the form.
    public static let mediaType = "text/csv; charset=utf-8; header=present"

    /// The first line.
    public static let header = "start,end,open,high,low,close,volume,trades"

    /// Writes header and lines; each ends with a line feed.
    public static func encode(_ series: BarSeries) -> [UInt8] {
        var bytes = Array(header.utf8)
        bytes.reserveCapacity(series.count * 112 + 64)
        bytes.append(0x0A)
        var times = InstantText()
        let prices = [series.open, series.high, series.low, series.close]
        for row in 0..<series.count {
            times.append(series.starts[row], to: &bytes)
            bytes.append(0x2C)
            times.append(series.ends[row], to: &bytes)
            for column in prices {
                bytes.append(0x2C)
                if !column.isMissing(at: row) { column.append(at: row, to: &bytes) }
            }
            bytes.append(0x2C)
            if let volume = series.volume, !volume.isMissing(at: row) { volume.append(at: row, to: &bytes) }
            bytes.append(0x2C)
            if let trades = series.trades, trades[row] >= 0 { bytes.append(contentsOf: String(trades[row]).utf8) }
            bytes.append(0x0A)
        }
        return bytes
    }
}
