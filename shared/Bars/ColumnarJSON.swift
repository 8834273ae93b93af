/// The columns of a series as one JSON object, written byte by byte: `{"start":[…],"end":[…],"open":["616.53",…],…,"volume":[…]}`.
///
/// Prices and volumes are decimal text, exact to the last digit; an unknown volume is `null`.
public enum ColumnarJSON {
    /// Writes the object; `volume` and `trades` are there only when the series has them.
    public static func append(_ series: BarSeries, to bytes: inout [UInt8]) {
        bytes.reserveCapacity(bytes.count + series.count * 120)
        bytes.append(contentsOf: "{\"start\":[".utf8)
        times(series.starts, to: &bytes)
        bytes.append(contentsOf: "],\"end\":[".utf8)
        times(series.ends, to: &bytes)
        let prices: [(StaticString, ScaledColumn)] = [
            ("],\"open\":[", series.open), ("],\"high\":[", series.high), ("],\"low\":[", series.low), ("],\"close\":[", series.close),
        ]
        for (name, column) in prices {
            name.withUTF8Buffer { bytes.append(contentsOf: $0) }
            numbers(column, to: &bytes)
        }
        if let volume = series.volume {
            bytes.append(contentsOf: "],\"volume\":[".utf8)
            numbers(volume, to: &bytes)
        }
        if let trades = series.trades {
            bytes.append(contentsOf: "],\"trades\":[".utf8)
            for index in 0..<trades.count {
                if index > 0 { bytes.append(0x2C) }
                bytes.append(contentsOf: trades[index] < 0 ? "null".utf8 : String(trades[index]).utf8)
            }
        }
        bytes.append(contentsOf: "]}".utf8)
    }

    private static func numbers(_ column: ScaledColumn, to bytes: inout [UInt8]) {
        for index in 0..<column.count {
            if index > 0 { bytes.append(0x2C) }
            if column.isMissing(at: index) {
                bytes.append(contentsOf: "null".utf8)
            } else {
                bytes.append(0x22)
                column.append(at: index, to: &bytes)
                bytes.append(0x22)
            }
        }
    }

    private static func times(_ instants: [Int64], to bytes: inout [UInt8]) {
        var text = InstantText()
        for index in 0..<instants.count {
            if index > 0 { bytes.append(0x2C) }
            bytes.append(0x22)
            text.append(instants[index], to: &bytes)
            bytes.append(0x22)
        }
    }
}
