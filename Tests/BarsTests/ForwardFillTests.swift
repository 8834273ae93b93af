import Bars
import Testing

/// Minutes of a market that never closes, at the given numbers.
private func minutes(_ places: [Int]) throws -> BarSeries {
    var builder = BarSeriesBuilder()
    for place in places {
        let price = DecimalNumber.exact(mantissa: Int64(place), scale: 0)
        builder.append(
            start: Int64(place) * 60_000_000,
            end: Int64(place + 1) * 60_000_000,
            open: price,
            high: .exact(mantissa: Int64(place) + 5, scale: 0),
            low: price,
            close: price,
            volume: .exact(mantissa: 1, scale: 0),
            trades: 3
        )
    }
    return try builder.finish()
}

private func places(_ result: ForwardFill.Result) -> [String] {
    zip(result.bars.starts, result.isFilled).map { "\($0 / 60_000_000)\($1 ? "*" : "")" }
}

@Suite struct ForwardFillTests {
    private let minute: Int64 = 60_000_000

    private func filling(_ calendar: ExchangeCalendar = CalendarCatalogue.alwaysOpen, _ session: SessionKind = .all) throws -> ForwardFill {
        let clock = try TradingClock(calendar)
        let grid = SessionGrid(clock: clock, kind: session, intervalMicroseconds: minute)
        return ForwardFill(grid: grid, clock: clock, session: session, lengthMicroseconds: minute)
    }

    @Test func emptyIntervalsGetTheCloseBeforeThem() throws {
        let result = try filling().forward(
            try minutes([3, 6]),
            after: .empty,
            start: 0,
            end: 9 * minute,
            cut: .max,
            limit: 100,
            nextStart: nil,
            lastIsPartial: false
        )
        // Nothing is known before the first bar.
        #expect(places(result) == ["3", "4*", "5*", "6", "7*", "8*"])
        #expect(result.bars.open.text(at: 1) == "3")
        #expect(result.bars.high.text(at: 1) == "3")
        #expect(result.bars.high.text(at: 0) == "8")
        #expect(result.bars.volume?.text(at: 1) == nil)
        #expect(result.bars.volume?.text(at: 3) == "1")
        #expect(result.bars.trades == [3, -1, -1, 3, -1, -1])
        #expect(result.nextStart == nil)
    }

    @Test func aBarIsPutInOnlyWhenItIsOver() throws {
        for (seconds, expected) in [(300, ["3", "4*"]), (299, ["3"]), (240, ["3"])] {
            let result = try filling().forward(
                try minutes([3]),
                after: .empty,
                start: 0,
                end: .max,
                cut: Int64(seconds) * 1_000_000,
                limit: 100,
                nextStart: nil,
                lastIsPartial: false
            )
            #expect(places(result) == expected, "\(seconds)")
            let backward = try filling().backward(
                try minutes([3]),
                end: .max,
                cut: Int64(seconds) * 1_000_000,
                wanted: 100,
                lastIsPartial: false
            )
            #expect(places(backward) == expected, "\(seconds)")
        }
    }

    @Test func theLimitCountsBothAndSaysWhereItGoesOn() throws {
        let bars = try minutes([3, 6])
        func page(_ start: Int, _ limit: Int, after earlier: BarSeries = .empty) throws -> ForwardFill.Result {
            let own = bars.slice(bars.firstRow(startingFrom: Int64(start) * minute)..<bars.count)
            let shown = own.slice(0..<min(limit, own.count))
            return try filling().forward(
                shown,
                after: earlier,
                start: Int64(start) * minute,
                end: 9 * minute,
                cut: .max,
                limit: limit,
                nextStart: own.count > limit ? own.starts[limit] : nil,
                lastIsPartial: false
            )
        }
        let first = try page(0, 2)
        #expect(places(first) == ["3", "4*"])
        #expect(first.nextStart == 5 * minute)
        let second = try page(5, 2, after: bars.slice(0..<1))
        #expect(places(second) == ["5*", "6"])
        #expect(second.bars.close.text(at: 0) == "3")
        #expect(second.nextStart == 7 * minute)
        let third = try page(7, 2, after: bars.slice(1..<2))
        #expect(places(third) == ["7*", "8*"])
        #expect(third.nextStart == nil)
        // One bar to a page, with a gap after it: the page that follows begins in the gap.
        #expect(try page(3, 1).nextStart == 4 * minute)
    }

    @Test func backwardTheLatestCount() throws {
        let bars = try minutes([3, 6])
        func last(_ wanted: Int, end: Int64 = 9, partial: Bool = false) throws -> [String] {
            places(try filling().backward(bars, end: end * minute, cut: .max, wanted: wanted, lastIsPartial: partial))
        }
        #expect(try last(1) == ["8*"])
        #expect(try last(4) == ["5*", "6", "7*", "8*"])
        #expect(try last(100) == ["3", "4*", "5*", "6", "7*", "8*"])
        #expect(try last(2, end: 7) == ["5*", "6"])
        // A bar that still runs is the last word.
        #expect(try last(2, partial: true) == ["5*", "6"])
    }

    /// A gap of years costs no more than what is asked of it.
    @Test func longGapsAreBounded() throws {
        let bars = try minutes([3, 20 * 525_600])
        let result = try filling().backward(bars, end: .max, cut: (20 * 525_600 + 1) * minute, wanted: 5, lastIsPartial: false)
        #expect(places(result).count == 5)
        #expect(result.isFilled == [true, true, true, true, false])
        let forward = try filling().forward(bars, after: .empty, start: 0, end: .max, cut: .max, limit: 5, nextStart: nil, lastIsPartial: false)
        #expect(places(forward) == ["3", "4*", "5*", "6*", "7*"])
        #expect(forward.nextStart == 8 * minute)
    }

    /// Nights, weekends and holidays are no empty intervals.
    @Test func nothingIsPutInOutsideSessions() throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let friday = CivilDay(year: 2014, month: 6, day: 6)
        let (last, first) = (clock.instant(friday, 57_540) / minute, clock.instant(friday + 3, 34_260) / minute)
        let bars = try minutes([Int(last), Int(first)])
        let regular = try filling(CalendarCatalogue.usEquity, .regular)
            .forward(bars, after: .empty, start: 0, end: .max, cut: bars.ends[1], limit: 10_000, nextStart: nil, lastIsPartial: false)
        // From 09:30 to 09:31 on Monday.
        #expect(regular.isFilled == [false, true, false])
        #expect(regular.bars.starts[1] == clock.instant(friday + 3, 34_200))
        let all = try filling(CalendarCatalogue.usEquity, .all)
            .forward(bars, after: .empty, start: 0, end: .max, cut: bars.ends[1], limit: 10_000, nextStart: nil, lastIsPartial: false)
        // From 16:00 to 20:00 on Friday, and from 04:00 to 09:31 on Monday.
        #expect(all.isFilled.count { $0 } == 240 + 331)
    }
}
