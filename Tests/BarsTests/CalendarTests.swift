import Bars
import Testing

@Suite struct ZoneRulesTests {
    @Test func newYorkChangesItsClockOnTheRightSecond() throws {
        let zone = try ZoneRules(identifier: "America/New_York")
        #expect(zone.offset(atUTC: 1_489_301_999) == -18_000)  // 2017-03-12T06:59:59Z
        #expect(zone.offset(atUTC: 1_489_302_000) == -14_400)
        #expect(zone.offset(atUTC: 4_102_444_800) == -18_000)  // 2100-01-01: beyond the table, by the rule
        #expect(zone.offset(atUTC: 4_118_083_200) == -14_400)  // 2100-07-01
    }

    @Test func zonesWithoutSummerTimeAndSouthOfTheEquator() throws {
        #expect(try ZoneRules(identifier: "Asia/Kolkata").offset(atUTC: 1_546_300_800) == 19_800)
        let sydney = try ZoneRules(identifier: "Australia/Sydney")
        #expect(sydney.offset(atUTC: 4_102_444_800) == 39_600)
        #expect(sydney.offset(atUTC: 4_118_083_200) == 36_000)
    }

    @Test func localTimesThatRepeatOrAreSkipped() throws {
        let berlin = try ZoneRules(identifier: "Europe/Berlin")
        let skipped = CivilDay(year: 2026, month: 3, day: 29).seconds + 9_000
        #expect(berlin.utc(fromLocal: skipped) == CivilDay(year: 2026, month: 3, day: 29).seconds + 3_600)
        let repeated = CivilDay(year: 2026, month: 10, day: 25).seconds + 9_000
        #expect(berlin.utc(fromLocal: repeated) == CivilDay(year: 2026, month: 10, day: 25).seconds + 1_800)
    }

    @Test(arguments: ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "Europe"])
    func unknownNamesAreRefused(name: String) {
        #expect(throws: BarsError.unknownTimeZone(name)) { try ZoneRules(identifier: name) }
    }
}

@Suite struct CivilDayTests {
    @Test func everyDayOfFourCenturiesComesBack() {
        var day = CivilDay(year: 1800, month: 1, day: 1)
        let end = CivilDay(year: 2200, month: 1, day: 1)
        while day < end {
            let parts = day.components
            #expect(CivilDay(year: parts.year, month: parts.month, day: parts.day) == day)
            day = day + 1
        }
        #expect(CivilDay(year: 2016, month: 10, day: 8).weekday == 5)
        #expect(CivilDay(text: "2016-10-08")?.text == "2016-10-08")
        #expect(CivilDay(text: "2015-02-29") == nil)
        #expect(CivilDay(text: "2015-2-28") == nil)
    }
}

@Suite struct ExchangeCalendarTests {
    @Test func halfDaysHolidaysAndClosures() throws {
        let clock = try TradingClock(CalendarCatalogue.usEquity)
        let halfDay = try #require(clock.session(on: CivilDay(year: 2015, month: 12, day: 24), kind: .regular))
        #expect(halfDay.upperBound - halfDay.lowerBound == 12_600 * 1_000_000)
        let full = try #require(clock.session(on: CivilDay(year: 2015, month: 12, day: 23), kind: .regular))
        #expect(full.upperBound - full.lowerBound == 23_400 * 1_000_000)
        for (year, month, day) in [(2001, 9, 11), (2015, 12, 25), (2014, 4, 18), (2012, 10, 29), (2021, 12, 24), (2022, 6, 20), (2024, 1, 15)] {
            #expect(clock.session(on: CivilDay(year: year, month: month, day: day), kind: .regular) == nil, "\(year)-\(month)-\(day)")
        }
        #expect(clock.session(on: CivilDay(year: 2010, month: 12, day: 31), kind: .regular) != nil)
    }

    @Test func aForexDayEndsAtFiveInNewYork() throws {
        let clock = try TradingClock(CalendarCatalogue.forex)
        let sundayEvening = CivilDay(year: 2014, month: 5, day: 4).seconds * 1_000_000 + 75_600 * 1_000_000
        #expect(clock.tradingDate(of: sundayEvening) == CivilDay(year: 2014, month: 5, day: 5))
        #expect(clock.tradingDate(of: sundayEvening - 1) == CivilDay(year: 2014, month: 5, day: 4))
        #expect(clock.session(on: CivilDay(year: 2014, month: 5, day: 5), kind: .regular)?.lowerBound == sundayEvening)
        #expect(clock.session(on: CivilDay(year: 2014, month: 5, day: 4), kind: .regular) == nil)
    }
}
