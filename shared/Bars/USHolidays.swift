/// The New York Stock Exchange's holidays and half days by rule, with the closures that no rule foretold, for 1998 to 2050.
enum USHolidays {
    static let holidays: Set<CivilDay> = {
        var days: Set<CivilDay> = []
        for year in 1998...2050 {
            let newYear = CivilDay(year: year, month: 1, day: 1)
            // A New Year's Day on a Saturday is not made up for on the Friday of the old year.
            if newYear.weekday == 6 { days.insert(newYear + 1) } else { days.insert(newYear) }
            days.insert(nth(3, weekday: 0, year, 1))
            days.insert(nth(3, weekday: 0, year, 2))
            days.insert(easter(year) + -2)
            days.insert(last(weekday: 0, year, 5))
            if year >= 2022 { days.insert(observed(CivilDay(year: year, month: 6, day: 19))) }
            days.insert(observed(CivilDay(year: year, month: 7, day: 4)))
            days.insert(nth(1, weekday: 0, year, 9))
            days.insert(nth(4, weekday: 3, year, 11))
            days.insert(observed(CivilDay(year: year, month: 12, day: 25)))
        }
        let closures = [
            (2001, 9, 11), (2001, 9, 12), (2001, 9, 13), (2001, 9, 14), (2004, 6, 11), (2007, 1, 2), (2012, 10, 29), (2012, 10, 30), (2018, 12, 5),
            (2025, 1, 9),
        ]
        for (year, month, day) in closures { days.insert(CivilDay(year: year, month: month, day: day)) }
        return days
    }()

    static let earlyCloses: [CivilDay: Int] = {
        var days: Set<CivilDay> = []
        for year in 1998...2050 {
            days.insert(nth(4, weekday: 3, year, 11) + 1)
            let eveOfJuly = CivilDay(year: year, month: 7, day: 3)
            // With the 4th on a Saturday the 3rd is the holiday itself; on a Sunday or Monday the day before is no trading day.
            if eveOfJuly.weekday < 4 { days.insert(eveOfJuly) }
            let christmasEve = CivilDay(year: year, month: 12, day: 24)
            if christmasEve.weekday < 4 { days.insert(christmasEve) }
        }
        days.insert(CivilDay(year: 2002, month: 7, day: 5))
        days.remove(CivilDay(year: 2002, month: 7, day: 3))
        days.insert(CivilDay(year: 2003, month: 12, day: 26))
        var closes: [CivilDay: Int] = [:]
        for day in days where !holidays.contains(day) { closes[day] = 46_800 }
        return closes
    }()

    private static func observed(_ day: CivilDay) -> CivilDay {
        switch day.weekday {
        case 5: day + -1
        case 6: day + 1
        default: day
        }
    }

    private static func nth(_ count: Int, weekday: Int, _ year: Int, _ month: Int) -> CivilDay {
        let first = CivilDay(year: year, month: month, day: 1)
        return first + floorModulo(weekday - first.weekday, 7) + (count - 1) * 7
    }

    private static func last(weekday: Int, _ year: Int, _ month: Int) -> CivilDay {
        let end = CivilDay(year: year, month: month, day: 1).firstOfNextMonth + -1
        return end + -floorModulo(end.weekday - weekday, 7)
    }

    /// Easter Sunday by the anonymous Gregorian computus.
    private static func easter(_ year: Int) -> CivilDay {
        let golden = year % 19
        let century = year / 100
        let rest = year % 100
        let skipped = (8 * century + 13) / 25
        let epact = (19 * golden + century - century / 4 - skipped + 15) % 30
        let leap = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4) % 7
        let correction = (golden + 11 * epact + 22 * leap) / 451
        let total = epact + leap - 7 * correction + 114
        return CivilDay(year: year, month: total / 31, day: total % 31 + 1)
    }
}
