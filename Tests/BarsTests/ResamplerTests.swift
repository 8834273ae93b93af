import Bars
import Testing

let second: Int64 = 1_000_000

/// Bars of a given length at the given starts (microseconds), each with its own price and volume.
func makeBars(_ starts: [Int64], length: Int64, volumes: [String?]? = nil) throws -> BarSeries {
    var builder = BarSeriesBuilder()
    for (index, start) in starts.enumerated() {
        let price = Int64(1_000 + index)
        builder.append(
            start: start,
            end: start + length,
            open: .exact(mantissa: price, scale: 1),
            high: .exact(mantissa: price + 5, scale: 1),
            low: .exact(mantissa: price - 5, scale: 1),
            close: .exact(mantissa: price + 1, scale: 1),
            volume: volumes.map { list in list[index].flatMap { DecimalNumber($0) } } ?? .exact(mantissa: 1, scale: 0)
        )
    }
    return try builder.finish()
}

@Suite struct ResamplerTests {
    private let midnight = CivilDay(year: 2016, month: 10, day: 8).seconds * second

    @Test func firstHighestLowestLastAndTheSum() throws {
        let bars = try makeBars([0, 1, 14, 15, 47].map { midnight + $0 * second }, length: second, volumes: ["0.1", "0.2", "0.3", "1", "2"])
        let coarse = Resampler(grid: EpochGrid(intervalMicroseconds: 15 * second)).resample(bars)
        #expect(coarse.starts == [0, 15, 45].map { midnight + $0 * second })  // 30 has no bar and stays empty
        #expect(coarse.ends == [15, 30, 60].map { midnight + $0 * second })
        #expect(coarse.open.text(at: 0) == "100")
        #expect(coarse.high.text(at: 0) == "100.7")
        #expect(coarse.low.text(at: 0) == "99.5")
        #expect(coarse.close.text(at: 0) == "100.3")
        #expect(coarse.volume?.text(at: 0) == "0.6")
    }

    @Test func anUnknownVolumeMakesTheSumUnknown() throws {
        let bars = try makeBars([0, 1, 15].map { midnight + $0 * second }, length: second, volumes: ["0.1", nil, "3"])
        let coarse = Resampler(grid: EpochGrid(intervalMicroseconds: 15 * second)).resample(bars)
        #expect(coarse.volume?.text(at: 0) == nil)
        #expect(coarse.volume?.text(at: 1) == "3")
    }

    @Test func sumsBeyondSixtyFourBitsBecomeFloats() throws {
        let bars = try makeBars([0, 1].map { midnight + $0 * second }, length: second, volumes: ["9223372036854775807", "9223372036854775807"])
        let coarse = Resampler(grid: EpochGrid(intervalMicroseconds: 15 * second)).resample(bars)
        #expect(coarse.volume?.scale == nil)
        #expect(coarse.volume?.double(at: 0) == 18_446_744_073_709_551_616)
    }

    @Test func resamplingInTwoStepsIsResamplingAtOnce() throws {
        var starts: [Int64] = []
        for step in 0..<5_000 { starts.append(midnight + Int64(step * 17 + step * step % 11) * second) }
        let bars = try makeBars(starts, length: second)
        let once = Resampler(grid: EpochGrid(intervalMicroseconds: 300 * second)).resample(bars)
        let minutes = Resampler(grid: EpochGrid(intervalMicroseconds: 60 * second)).resample(bars)
        #expect(Resampler(grid: EpochGrid(intervalMicroseconds: 300 * second)).resample(minutes) == once)
    }

    @Test func aHalfDayEndsAtItsClose() throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let day = CivilDay(year: 2015, month: 12, day: 24)
        let open = try #require(clock.session(on: day, kind: .regular)?.lowerBound)
        let starts = (-10..<400).map { open + Int64($0) * 60 * second }
        let bars = try makeBars(starts, length: 60 * second)
        let hours = Resampler(grid: SessionGrid(clock: clock, kind: .regular, intervalMicroseconds: 3_600 * second)).resample(bars)
        #expect(hours.starts == [0, 60, 120, 180].map { open + $0 * 60 * second })
        #expect(hours.ends.last == open + 210 * 60 * second)
        let regular = SessionFilter(clock: clock, kind: .regular).apply(bars)
        #expect(regular.count == 210)
        let days = Resampler(grid: PeriodGrid(clock: clock, kind: .regular, interval: .days(1))).resample(regular)
        #expect(days.count == 1)
        #expect(days.starts == [open])
        #expect(days.ends == [open + 210 * 60 * second])
        #expect(days.volume?.text(at: 0) == "210")
    }

    @Test func weeksStartOnMondayAndMonthsOnTheFirst() throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        var starts: [Int64] = []
        var ends: [Int64] = []
        var day = CivilDay(year: 2015, month: 12, day: 21)
        while day < CivilDay(year: 2016, month: 1, day: 9) {
            if let session = clock.session(on: day, kind: .regular) {
                starts.append(session.lowerBound)
                ends.append(session.upperBound)
            }
            day = day + 1
        }
        var bars = try makeBars(starts, length: second)
        bars.ends = ends
        let weeks = Resampler(grid: PeriodGrid(clock: clock, kind: .regular, interval: .weeks(1))).resample(bars)
        #expect(weeks.starts.map { clock.tradingDate(of: $0).text } == ["2015-12-21", "2015-12-28", "2016-01-04"])
        #expect(weeks.ends.map { clock.tradingDate(of: $0).text } == ["2015-12-24", "2015-12-31", "2016-01-08"])
        #expect(weeks.volume?.text(at: 0) == "4")
        let months = Resampler(grid: PeriodGrid(clock: clock, kind: .regular, interval: .months(1))).resample(bars)
        #expect(months.starts.map { clock.tradingDate(of: $0).text } == ["2015-12-01", "2016-01-04"])
        #expect(months.volume?.text(at: 0) == "8")
    }
}

@Suite struct PointInTimeTests {
    @Test func aLongBarIsKnownOnlyAtItsOwnEnd() throws {
        let bars = try makeBars((0..<40).map { $0 * second }, length: second)
        for moment in 1...40 {
            let known = PointInTime.known(bars, asOf: Int64(moment) * second)
            #expect(known.count == moment)
            let coarse = Resampler(grid: EpochGrid(intervalMicroseconds: 15 * second)).resample(known)
            let closed = PointInTime.complete(coarse, asOf: Int64(moment) * second, partial: false)
            #expect(closed.series.count == moment / 15)
            let running = PointInTime.complete(coarse, asOf: Int64(moment) * second, partial: true)
            #expect(running.lastIsPartial == (moment % 15 != 0))
            #expect(running.series.count == (moment + 14) / 15)
        }
        #expect(PointInTime.known(bars, asOf: second - 1).isEmpty)
    }
}

@Suite struct TickTests {
    @Test func ticksOfOneSecondBecomeOneBar() throws {
        let ticks = try TickSeries(
            times: [0, 5, 999_999, 1_000_000, 3_000_000],
            prices: ScaledColumn(.integers([10, 12, 9, 11, 15], scale: 0)),
            sizes: ScaledColumn(.integers([1, 2, 3, 4, 5], scale: 1))
        )
        let bars = ticks.bars(grid: EpochGrid(intervalMicroseconds: second))
        #expect(bars.starts == [0, second, 3 * second])
        #expect((0..<3).map { bars.open.text(at: $0) } == ["10", "11", "15"])
        #expect(bars.high.text(at: 0) == "12")
        #expect(bars.low.text(at: 0) == "9")
        #expect(bars.close.text(at: 0) == "9")
        #expect(bars.volume?.text(at: 0) == "0.6")
        #expect(bars.trades == [3, 1, 1])
        #expect(throws: BarsError.unsortedRows(index: 1)) {
            try TickSeries(times: [2, 1], prices: ScaledColumn(.integers([1, 1], scale: 0)), sizes: nil)
        }
    }

    @Test func theMiddleIsExact() {
        let middle = MidPrice.middle(ScaledColumn(.integers([138_817], scale: 5)), ScaledColumn(.integers([13_888], scale: 4)))
        #expect(middle.text(at: 0) == "1.388485")
    }
}

@Suite struct ResamplingInPiecesTests {
    /// A few days of uneven rows, some volumes unknown.
    private func rows() throws -> BarSeries {
        let midnight = CivilDay(year: 2016, month: 10, day: 7).seconds * second
        let starts = (0..<4_000).map { midnight + Int64($0 * 61 + $0 * $0 % 17) * second }
        return try makeBars(starts, length: second, volumes: starts.indices.map { $0 % 97 == 0 ? nil : "0.\($0 % 9 + 1)" })
    }

    @Test(arguments: [1, 7, 300, 3_999, 4_000], [Resampler.VolumeRule.sum, .last])
    func piecesGiveWhatTheWholeGives(length: Int, rule: Resampler.VolumeRule) throws {
        let rows = try rows()
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let grids: [any BarGrid] = [
            EpochGrid(intervalMicroseconds: 420 * second), SessionGrid(clock: clock, kind: .regular, intervalMicroseconds: 3_600 * second),
            PeriodGrid(clock: clock, kind: .all, interval: .days(1)), PeriodGrid(clock: clock, kind: .regular, interval: .weeks(1)),
        ]
        for grid in grids {
            let resampler = Resampler(grid: grid, volumeRule: rule)
            var pieces = Resampler.InPieces(resampler)
            var made: [BarSeries] = []
            var row = 0
            while row < rows.count {
                made.append(try pieces.add(rows.slice(row..<min(row + length, rows.count))))
                row += length
            }
            made.append(pieces.finish())
            #expect(try BarSeries.concatenate(made) == resampler.resample(rows))
            #expect(pieces.finish().isEmpty)
        }
    }
}
