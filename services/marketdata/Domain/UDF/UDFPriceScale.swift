import Bars
import Contracts

/// The step of a price as TradingView's library wants it: `minmov / pricescale`, the scale a power of ten.
struct UDFPriceScale: Sendable, Equatable {
    let minimumMove: Int64
    let scale: Int64
    private static let maximumDecimals = 10

    /// Of a tick such as `0.25` (25 of 100) or `5` (5 of 1).
    init?(tick: DecimalText) {
        guard case .exact(var mantissa, var decimals)? = DecimalNumber(tick.text), mantissa > 0 else { return nil }
        while decimals > 0, mantissa % 10 == 0 {
            mantissa /= 10
            decimals -= 1
        }
        guard decimals <= Self.maximumDecimals else { return nil }
        self.init(minimumMove: mantissa, decimals: decimals)
    }

    /// Of the decimals that the stored prices have.
    init(bars: BarSeries) {
        let decimals = [bars.open, bars.high, bars.low, bars.close].map(Self.decimals).max() ?? 0
        self.init(minimumMove: 1, decimals: bars.isEmpty ? 2 : min(decimals, Self.maximumDecimals))
    }

    private init(minimumMove: Int64, decimals: Int) {
        self.minimumMove = minimumMove
        var scale: Int64 = 1
        for _ in 0..<decimals { scale *= 10 }
        self.scale = scale
    }

    /// The most decimals that a column's values are written with.
    static func decimals(_ column: ScaledColumn) -> Int {
        var most = 0
        for row in 0..<column.count {
            guard let text = column.text(at: row), let point = text.utf8.firstIndex(of: 0x2E) else { continue }
            most = max(most, text.utf8.distance(from: point, to: text.utf8.endIndex) - 1)
        }
        return most
    }
}
