import Bars
import Testing

/// The kernel searches, skips and reduces whole vectors; this compares it with the plainest way to say the same.
@Suite struct ReferenceResamplingTests {
    /// Row by row: which bar a row belongs to, and what becomes of the bar.
    private func plainly(_ series: BarSeries, _ grid: any BarGrid) -> [[Double]] {
        var bars: [[Double]] = []
        var current: (start: Int64, end: Int64, spanEnd: Int64)?
        for row in 0..<series.count {
            let start = series.starts[row]
            if current.map({ start >= $0.spanEnd }) ?? true {
                guard case .bucket(let from, let to, let spanEnd) = grid.slot(at: start) else {
                    current = nil
                    continue
                }
                current = (from, to, spanEnd)
                bars.append([Double(from), Double(to)])
            }
            guard let bar = current, series.ends[row] <= bar.end else { continue }
            let (open, high, low) = (series.open.double(at: row), series.high.double(at: row), series.low.double(at: row))
            let (close, volume) = (series.close.double(at: row), series.volume?.double(at: row) ?? .nan)
            let last = bars.count - 1
            if bars[last].count == 2 {
                bars[last] += [open, high, low, close, volume]
            } else {
                bars[last][3] = max(bars[last][3], high)
                bars[last][4] = min(bars[last][4], low)
                bars[last][5] = close
                bars[last][6] += volume
            }
        }
        return bars.filter { $0.count > 2 }
    }

    private func rows(_ bars: BarSeries) -> [[Double]] {
        (0..<bars.count).map { row in
            [
                Double(bars.starts[row]), Double(bars.ends[row]), bars.open.double(at: row), bars.high.double(at: row), bars.low.double(at: row),
                bars.close.double(at: row), bars.volume?.double(at: row) ?? .nan,
            ]
        }
    }

    /// Bars of whole numbers with holes of all sizes, some of them longer than a second, over two days and a night.
    private func series(_ seed: UInt64, wide: Bool, float: Bool) throws -> BarSeries {
        var numbers = SeededNumbers(seed: seed)
        var builder = BarSeriesBuilder()
        var at = (CivilDay(year: 2024, month: 3, day: 7) + Int(seed % 5)).seconds * second + 50_000 * second
        let end = at + 150_000 * second
        let size: ClosedRange<Int64> = wide ? -4_000_000_000...4_000_000_000 : -2_000_000...2_000_000
        while at < end {
            let hole = [0, 0, 0, 0, 1, 2, 7, 61, 500, 9_000].randomElement(using: &numbers) ?? 0
            at += Int64(hole) * second
            let length = Int64([1, 1, 1, 1, 1, 1, 5, 60].randomElement(using: &numbers) ?? 1) * second
            let prices = (0..<4).map { _ in Int64.random(in: size, using: &numbers) }
            func decimal(_ value: Int64) -> DecimalNumber { float ? .float(Double(value)) : .exact(mantissa: value, scale: 0) }
            builder.append(
                start: at,
                end: at + length,
                open: decimal(prices[0]),
                high: decimal(prices[1]),
                low: decimal(prices[2]),
                close: decimal(prices[3]),
                volume: decimal(Int64.random(in: 0...size.upperBound, using: &numbers))
            )
            at += length
        }
        return try builder.finish()
    }

    @Test(arguments: [UInt64](1...12))
    func theSameAsRowByRow(seed: UInt64) throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let bars = try series(seed, wide: seed % 3 == 0, float: seed % 4 == 0)
        var grids: [any BarGrid] = [5, 15, 60, 61, 300, 3_600, 86_400].map { EpochGrid(intervalMicroseconds: $0 * second) }
        for kind in SessionKind.allCases {
            for length in [60, 300, 3_600, 14_400] {
                grids.append(SessionGrid(clock: clock, kind: kind, intervalMicroseconds: Int64(length) * second))
            }
            for interval in [BarInterval.days(1), .weeks(1), .months(1)] { grids.append(PeriodGrid(clock: clock, kind: kind, interval: interval)) }
        }
        for grid in grids {
            let made = Resampler(grid: grid).resample(bars)
            #expect(rows(made) == plainly(bars, grid))
            var pieces = Resampler.InPieces(Resampler(grid: grid))
            var parts: [BarSeries] = []
            var row = 0
            var numbers = SeededNumbers(seed: seed &+ 99)
            while row < bars.count {
                let next = min(bars.count, row + Int.random(in: 1...4_000, using: &numbers))
                parts.append(try pieces.add(bars.slice(row..<next)))
                row = next
            }
            parts.append(pieces.finish())
            #expect(rows(try .concatenate(parts)) == rows(made))
        }
    }

    @Test(arguments: 1...70)
    func everySizeOfABarIsReducedWhole(rows count: Int) throws {
        var numbers = SeededNumbers(seed: UInt64(count))
        for values in [
            (0..<count).map { _ in Int64.random(in: -1_000...1_000, using: &numbers) },
            (0..<count).map { _ in Int64.random(in: .min / 128 ... .max / 128, using: &numbers) },
        ] {
            let starts = (0..<count).map { Int64($0) * second }
            let column = ScaledColumn(integers: values, scale: 0)
            let bars = try BarSeries(
                starts: starts,
                ends: starts.map { $0 + second },
                open: column,
                high: column,
                low: column,
                close: column,
                volume: column
            )
            let made = Resampler(grid: EpochGrid(intervalMicroseconds: 3_600 * second)).resample(bars)
            #expect(made.high.text(at: 0) == values.max().map { "\($0)" })
            #expect(made.low.text(at: 0) == values.min().map { "\($0)" })
            #expect(made.volume?.text(at: 0) == "\(values.reduce(0, +))")
        }
    }
}
