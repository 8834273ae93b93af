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
        var day = CivilDay(number: .min / 2)
        var date: [UInt8] = []
        for index in 0..<instants.count {
            if index > 0 { bytes.append(0x2C) }
            let seconds = floorDivide(instants[index], 1_000_000)
            let number = Int(floorDivide(seconds, 86_400))
            if number != day.number {
                day = CivilDay(number: number)
                date = Array("\"\(day.text)T".utf8)
            }
            bytes.append(contentsOf: date)
            let second = Int(seconds - Int64(number) * 86_400)
            digits(second / 3_600, 2, to: &bytes)
            bytes.append(0x3A)
            digits(second / 60 % 60, 2, to: &bytes)
            bytes.append(0x3A)
            digits(second % 60, 2, to: &bytes)
            bytes.append(0x2E)
            digits(Int(instants[index] - seconds * 1_000_000), 6, to: &bytes)
            bytes.append(contentsOf: [0x5A, 0x22])
        }
    }

    private static func digits(_ value: Int, _ width: Int, to bytes: inout [UInt8]) {
        var divisor = width == 6 ? 100_000 : 10
        while divisor > 0 {
            bytes.append(UInt8(value / divisor % 10) + 0x30)
            divisor /= 10
        }
    }
}
