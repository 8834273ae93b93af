/// Bars of one instrument and one interval as columns, in strictly rising order of their start.
///
/// A bar is `[start, end)`. The end is carried, not computed: a session's last bar ends at the close, and a month has its own length.
public struct BarSeries: Sendable, Equatable {
    /// Microseconds since 1970 UTC at which each bar begins.
    public var starts: [Int64]
    /// Microseconds since 1970 UTC at which each bar is over, and known.
    public var ends: [Int64]
    /// First prices.
    public var open: ScaledColumn
    /// Highest prices.
    public var high: ScaledColumn
    /// Lowest prices.
    public var low: ScaledColumn
    /// Last prices.
    public var close: ScaledColumn
    /// Traded volumes (for quotes: the last size); nothing when no bar has one.
    public var volume: ScaledColumn?
    /// Numbers of trades, -1 where unknown; nothing when no bar has one.
    public var trades: [Int64]?

    /// Takes columns of equal length whose rows rise in time.
    public init(
        starts: [Int64],
        ends: [Int64],
        open: ScaledColumn,
        high: ScaledColumn,
        low: ScaledColumn,
        close: ScaledColumn,
        volume: ScaledColumn? = nil,
        trades: [Int64]? = nil
    ) throws(BarsError) {
        self.init(unchecked: starts, ends: ends, open: open, high: high, low: low, close: close, volume: volume, trades: trades)
        for count in [ends.count, open.count, high.count, low.count, close.count, volume?.count ?? starts.count, trades?.count ?? starts.count]
        where count != starts.count {
            throw BarsError.unequalColumns(expected: starts.count, found: count)
        }
        for index in 0..<starts.count where ends[index] <= starts[index] || (index > 0 && starts[index] <= starts[index - 1]) {
            throw BarsError.unsortedRows(index: index)
        }
    }

    init(
        unchecked starts: [Int64],
        ends: [Int64],
        open: ScaledColumn,
        high: ScaledColumn,
        low: ScaledColumn,
        close: ScaledColumn,
        volume: ScaledColumn?,
        trades: [Int64]?
    ) {
        self.starts = starts
        self.ends = ends
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.trades = trades
    }

    /// No bars.
    public static let empty: BarSeries = {
        let none = ScaledColumn(.integers([], scale: 0))
        return BarSeries(unchecked: [], ends: [], open: none, high: none, low: none, close: none, volume: nil, trades: nil)
    }()

    /// The number of bars.
    public var count: Int { starts.count }

    /// Memory that the columns take.
    public var byteCount: Int {
        let prices = open.stride + high.stride + low.stride + close.stride
        return count * (16 + prices + (volume?.stride ?? 0) + (trades == nil ? 0 : 8))
    }

    /// Whether there is no bar.
    public var isEmpty: Bool { starts.isEmpty }

    /// The bars of a range of rows.
    public func slice(_ range: Range<Int>) -> BarSeries {
        if range == 0..<count { return self }
        return BarSeries(
            unchecked: Array(starts[range]),
            ends: Array(ends[range]),
            open: open.slice(range),
            high: high.slice(range),
            low: low.slice(range),
            close: close.slice(range),
            volume: volume?.slice(range),
            trades: trades.map { Array($0[range]) }
        )
    }

    /// The bars at the given rising rows.
    public func gather(_ rows: [Int]) -> BarSeries {
        if rows.count == count { return self }
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

    /// The first row that starts at or after an instant.
    public func firstRow(startingFrom instant: Int64) -> Int {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] < instant { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Bars that follow one another in time as one series.
    public static func concatenate(_ parts: [BarSeries]) throws(BarsError) -> BarSeries {
        let parts = parts.filter { !$0.isEmpty }
        guard let first = parts.first else { return .empty }
        if parts.count == 1 { return first }
        let hasVolume = parts.contains { $0.volume != nil }
        let hasTrades = parts.contains { $0.trades != nil }
        return try BarSeries(
            starts: parts.flatMap(\.starts),
            ends: parts.flatMap(\.ends),
            open: .concatenate(parts.map(\.open)),
            high: .concatenate(parts.map(\.high)),
            low: .concatenate(parts.map(\.low)),
            close: .concatenate(parts.map(\.close)),
            volume: hasVolume ? .concatenate(parts.map { $0.volume ?? .unknown(count: $0.count) }) : nil,
            trades: hasTrades ? parts.flatMap { $0.trades ?? [Int64](repeating: -1, count: $0.count) } : nil
        )
    }
}
