import Bars
import Contracts
import Testing

/// Exchanges that close for lunch.
@Suite struct PauseTests {
    private let tokyo = ExchangeCalendar(
        name: "tokyo",
        timeZone: "Asia/Tokyo",
        regular: (0..<7).map { $0 < 5 ? SessionHours(open: 32_400, close: 54_000) : nil },
        breaks: (0..<7).map { $0 < 4 ? SessionHours(open: 41_400, close: 45_000) : nil }
    )

    @Test func barsAreCountedAnewAfterIt() throws {
        let clock = try TradingClock(tokyo)
        let day = CivilDay(year: 2016, month: 10, day: 11)
        let grid = SessionGrid(clock: clock, kind: .regular, intervalMicroseconds: 3_600 * second)
        func slot(_ hour: Int, _ minute: Int, on day: CivilDay) -> GridSlot { grid.slot(at: clock.instant(day, hour * 3_600 + minute * 60)) }
        func bucket(_ from: Int, _ to: Int, on day: CivilDay) -> GridSlot {
            .bucket(start: clock.instant(day, from * 60), end: clock.instant(day, to * 60), spanEnd: clock.instant(day, to * 60))
        }
        #expect(slot(11, 29, on: day) == bucket(660, 690, on: day))
        #expect(slot(11, 30, on: day) == .gap(until: clock.instant(day, 45_000)))
        #expect(slot(12, 29, on: day) == .gap(until: clock.instant(day, 45_000)))
        #expect(slot(12, 30, on: day) == bucket(750, 810, on: day))
        #expect(slot(14, 59, on: day) == bucket(870, 900, on: day))
        // Fridays have none, nor have all stored hours.
        let friday = CivilDay(year: 2016, month: 10, day: 14)
        #expect(slot(11, 45, on: friday) == bucket(660, 720, on: friday))
        let all = SessionGrid(clock: clock, kind: .all, intervalMicroseconds: 3_600 * second)
        #expect(all.slot(at: clock.instant(day, 42_000)) == bucket(660, 720, on: day))
    }

    @Test func aHalfDayMayEndBeforeIt() throws {
        var half = tokyo
        half.earlyCloses = [CivilDay(year: 2016, month: 10, day: 11): 41_400]
        let clock = try TradingClock(half)
        let day = CivilDay(year: 2016, month: 10, day: 11)
        let grid = SessionGrid(clock: clock, kind: .regular, intervalMicroseconds: 3_600 * second)
        #expect(grid.slot(at: clock.instant(day, 42_000)) == .gap(until: clock.beginning(of: day + 1)))
        #expect(half.parts(of: SessionHours(open: 32_400, close: 41_400), weekday: 1) == [SessionHours(open: 32_400, close: 41_400)])
    }

    @Test func whatBeginsInItIsNoneOfTheSession() throws {
        let clock = try TradingClock(tokyo)
        let day = CivilDay(year: 2016, month: 10, day: 11)
        let bars = try makeBars([40_500, 41_400, 43_200, 45_000].map { clock.instant(day, $0) }, length: 1_800 * second)
        #expect(SessionFilter(clock: clock, kind: .regular).apply(bars).starts == [40_500, 45_000].map { clock.instant(day, $0) })
    }

    @Test func calendarsWithoutOneReadAsBefore() throws {
        let old = try WireJSON.encode(CalendarCatalogue.eurex)
        #expect(!String(decoding: old, as: UTF8.self).contains("breaks"))
        #expect(try WireJSON.decode(ExchangeCalendar.self, from: old) == CalendarCatalogue.eurex)
        #expect(try WireJSON.decode(ExchangeCalendar.self, from: WireJSON.encode(tokyo)) == tokyo)
    }
}
