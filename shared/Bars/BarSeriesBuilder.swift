/// Collects bars row by row, as an importer reads them, into columns that hold every number exactly where 64 bits allow.
public struct BarSeriesBuilder: Sendable {
    private var starts: [Int64] = []
    private var ends: [Int64] = []
    private var prices = [ScaledColumnBuilder](repeating: ScaledColumnBuilder(), count: 4)
    private var volume = ScaledColumnBuilder()
    private var trades: [Int64] = []
    private var hasVolume = false
    private var hasTrades = false

    /// No rows yet.
    public init() {}

    /// The number of rows so far.
    public var count: Int { starts.count }

    /// The start of the last row.
    public var lastStart: Int64? { starts.last }

    /// Takes memory for so many rows at once.
    public mutating func reserveCapacity(_ count: Int) {
        starts.reserveCapacity(count)
        ends.reserveCapacity(count)
        for index in 0..<4 { prices[index].reserveCapacity(count) }
        volume.reserveCapacity(count)
    }

    /// Adds one bar; times in microseconds since 1970 UTC; an unknown volume or count of trades is nothing.
    public mutating func append(
        start: Int64,
        end: Int64,
        open: DecimalNumber,
        high: DecimalNumber,
        low: DecimalNumber,
        close: DecimalNumber,
        volume amount: DecimalNumber?,
        trades tradeCount: Int64? = nil
    ) {
        starts.append(start)
        ends.append(end)
        prices[0].append(open)
        prices[1].append(high)
        prices[2].append(low)
        prices[3].append(close)
        volume.append(amount)
        trades.append(tradeCount ?? -1)
        if amount != nil { hasVolume = true }
        if tradeCount != nil { hasTrades = true }
    }

    /// The finished columns; all four prices share one scale. Rows that came newest first are turned round.
    public func finish() throws(BarsError) -> BarSeries {
        let scale = prices.reduce(0) { max($0, $1.scale) }
        let columns = prices.map { $0.finish(atLeastScale: scale) }
        let series = BarSeries(
            unchecked: starts,
            ends: ends,
            open: columns[0],
            high: columns[1],
            low: columns[2],
            close: columns[3],
            volume: hasVolume ? volume.finish() : nil,
            trades: hasTrades ? trades : nil
        )
        let isNewestFirst = starts.count > 1 && starts[0] > starts[starts.count - 1]
        let ordered = isNewestFirst ? series.reversed() : series
        return try BarSeries(
            starts: ordered.starts,
            ends: ordered.ends,
            open: ordered.open,
            high: ordered.high,
            low: ordered.low,
            close: ordered.close,
            volume: ordered.volume,
            trades: ordered.trades
        )
    }
}

extension BarSeries {
    fileprivate func reversed() -> BarSeries {
        let rows = Array((0..<count).reversed())
        return BarSeries(
            unchecked: rows.map { starts[$0] },
            ends: rows.map { ends[$0] },
            open: open.gather(rows),
            high: high.gather(rows),
            low: low.gather(rows),
            close: close.gather(rows),
            volume: volume?.gather(rows),
            trades: trades.map { all in rows.map { all[$0] } }
        )
    }
}
