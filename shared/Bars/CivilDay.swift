/// A day of the proleptic Gregorian calendar, counted from 1970-01-01, without any time zone.
public struct CivilDay: Sendable, Hashable, Comparable, Codable {
    /// Days since 1970-01-01.
    public var number: Int

    /// Takes the count of days since 1970-01-01.
    public init(number: Int) { self.number = number }

    /// Takes year, month 1–12 and day 1–31; the day is not checked against the month's length.
    public init(year: Int, month: Int, day: Int) {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        number = era * 146_097 + dayOfEra - 719_468
    }

    /// Year, month 1–12 and day 1–31.
    public var components: (year: Int, month: Int, day: Int) {
        let shifted = number + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthPart = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthPart + 2) / 5 + 1
        let month = monthPart < 10 ? monthPart + 3 : monthPart - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    /// 0 for Monday to 6 for Sunday.
    public var weekday: Int { floorModulo(number + 3, 7) }

    /// The Monday of this day's week.
    public var monday: CivilDay { CivilDay(number: number - weekday) }

    /// The first day of this day's month.
    public var firstOfMonth: CivilDay {
        let parts = components
        return CivilDay(year: parts.year, month: parts.month, day: 1)
    }

    /// The first day of the month after this day's month.
    public var firstOfNextMonth: CivilDay {
        let parts = components
        return parts.month == 12
            ? CivilDay(year: parts.year + 1, month: 1, day: 1) : CivilDay(year: parts.year, month: parts.month + 1, day: 1)
    }

    /// Seconds from 1970-01-01T00:00 to this day's midnight, both on the same clock.
    public var seconds: Int64 { Int64(number) * 86_400 }

    /// The UTC date of an instant in microseconds since 1970.
    public init(utcMicroseconds: Int64) { number = Int(floorDivide(utcMicroseconds, 86_400_000_000)) }

    /// `2016-10-08`.
    public var text: String {
        let parts = components
        return "\(padded(parts.year, 4))-\(padded(parts.month, 2))-\(padded(parts.day, 2))"
    }

    /// Reads `2016-10-08` and refuses days that no month has.
    public init?(text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count == 4, parts[1].count == 2, parts[2].count == 2,
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2])
        else { return nil }
        self.init(checkedYear: year, month: month, day: day)
    }

    /// Takes year, month and day, and gives nothing for a day that the month does not have.
    public init?(checkedYear year: Int, month: Int, day: Int) {
        guard (1...12).contains(month), day >= 1 else { return nil }
        self.init(year: year, month: month, day: day)
        guard components == (year, month, day) else { return nil }
    }

    /// Earlier days come first.
    public static func < (left: CivilDay, right: CivilDay) -> Bool { left.number < right.number }
    /// The day so many days later.
    public static func + (day: CivilDay, days: Int) -> CivilDay { CivilDay(number: day.number + days) }
}

/// Division that rounds towards negative infinity, so that times before 1970 fall into the right bucket.
@inlinable public func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
    let quotient = value / divisor
    return (value % divisor != 0) && ((value < 0) != (divisor < 0)) ? quotient - 1 : quotient
}

/// The remainder that goes with `floorDivide`: never negative for a positive divisor.
@inlinable public func floorModulo(_ value: Int, _ divisor: Int) -> Int {
    let rest = value % divisor
    return rest < 0 ? rest + divisor : rest
}

func padded(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return text.count >= width ? text : String(repeating: "0", count: width - text.count) + text
}
