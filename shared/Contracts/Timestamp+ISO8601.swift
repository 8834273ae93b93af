/// The calendar arithmetic is Howard Hinnant's days-from-civil: exact for every Gregorian date and free of a date library.
extension Timestamp {
    /// `2016-10-08T12:01:00.000000Z`: always UTC, always six decimals. Moments outside the years 1–9999 are clamped to them.
    public var iso8601: String {
        let clamped = Swift.min(Swift.max(microseconds, Timestamp.distantPast.microseconds), Timestamp.distantFuture.microseconds)
        let parts = CivilTime(microseconds: clamped)
        return String(unsafeUninitializedCapacity: 27) { out in
            func put(_ value: Int, _ digits: Int, at offset: Int) {
                var rest = value
                var position = offset + digits - 1
                while position >= offset {
                    out[position] = UInt8(48 + rest % 10)
                    rest /= 10
                    position -= 1
                }
            }
            put(parts.year, 4, at: 0)
            out[4] = UInt8(ascii: "-")
            put(parts.month, 2, at: 5)
            out[7] = UInt8(ascii: "-")
            put(parts.day, 2, at: 8)
            out[10] = UInt8(ascii: "T")
            put(parts.hour, 2, at: 11)
            out[13] = UInt8(ascii: ":")
            put(parts.minute, 2, at: 14)
            out[16] = UInt8(ascii: ":")
            put(parts.second, 2, at: 17)
            out[19] = UInt8(ascii: ".")
            put(parts.microsecond, 6, at: 20)
            out[26] = UInt8(ascii: "Z")
            return 27
        }
    }

    /// Reads an RFC 3339 time: `T` (or a blank) between date and time, 0–9 decimals, `Z` or an offset such as `+02:00`.
    ///
    /// Nil for nonsense (13th month, 30 February, hour 24, second 60) and for anything left over. Decimals beyond the sixth are cut.
    public init?(iso8601 text: String) {
        var reader = DigitReader(text.utf8)
        guard let year = reader.digits(4), year >= 1, reader.take("-"),
            let month = reader.digits(2), (1...12).contains(month), reader.take("-"),
            let day = reader.digits(2), day >= 1, day <= CivilTime.daysInMonth(month, year: year),
            reader.take("T") || reader.take("t") || reader.take(" "),
            let hour = reader.digits(2), hour < 24, reader.take(":"),
            let minute = reader.digits(2), minute < 60, reader.take(":"),
            let second = reader.digits(2), second < 60
        else { return nil }
        var fraction = 0
        if reader.take(".") {
            guard let value = reader.fractionInMicroseconds() else { return nil }
            fraction = value
        }
        guard let offset = reader.zoneOffsetInSeconds(), reader.atEnd else { return nil }
        let days = CivilTime.daysSince1970(year: year, month: month, day: day)
        let seconds = days * 86_400 + Int64(hour * 3_600 + minute * 60 + second - offset)
        let value = seconds * 1_000_000 + Int64(fraction)
        guard value >= Timestamp.distantPast.microseconds, value <= Timestamp.distantFuture.microseconds else { return nil }
        self.init(microseconds: value)
    }
}

/// A moment split into calendar fields, UTC.
public struct CivilTime: Sendable, Hashable {
    /// The year, 1–9999 for every moment that has a wire form.
    public let year: Int
    /// 1–12.
    public let month: Int
    /// 1–31.
    public let day: Int
    /// 0–23.
    public let hour: Int
    /// 0–59.
    public let minute: Int
    /// 0–59.
    public let second: Int
    /// 0–999,999.
    public let microsecond: Int

    /// Splits microseconds since 1970 UTC.
    public init(microseconds: Int64) {
        let day = microseconds.flooredQuotient(86_400_000_000)
        let rest = microseconds - day * 86_400_000_000
        let date = CivilTime.date(daysSince1970: day)
        (year, month, self.day) = date
        hour = Int(rest / 3_600_000_000)
        minute = Int(rest / 60_000_000 % 60)
        second = Int(rest / 1_000_000 % 60)
        microsecond = Int(rest % 1_000_000)
    }

    /// The number of days from 1970-01-01 to a Gregorian date.
    public static func daysSince1970(year: Int, month: Int, day: Int) -> Int64 {
        let shifted = Int64(month <= 2 ? year - 1 : year)
        let era = shifted.flooredQuotient(400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The Gregorian date that many days after 1970-01-01.
    public static func date(daysSince1970 days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (Int(yearOfEra + era * 400 + (month <= 2 ? 1 : 0)), Int(month), Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1))
    }

    /// 28–31, by the Gregorian leap rule.
    public static func daysInMonth(_ month: Int, year: Int) -> Int {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }
}

extension Int64 {
    func flooredQuotient(_ divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

private struct DigitReader {
    private var rest: Substring.UTF8View

    init(_ text: String.UTF8View) {
        rest = text[...]
    }

    var atEnd: Bool { rest.isEmpty }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    mutating func digits(_ count: Int) -> Int? {
        var value = 0
        for _ in 0..<count {
            guard let byte = rest.first, byte >= 48, byte <= 57 else { return nil }
            value = value * 10 + Int(byte - 48)
            rest.removeFirst()
        }
        return value
    }

    mutating func fractionInMicroseconds() -> Int? {
        var value = 0
        var count = 0
        while let byte = rest.first, byte >= 48, byte <= 57 {
            if count < 6 { value = value * 10 + Int(byte - 48) }
            count += 1
            rest.removeFirst()
        }
        guard (1...9).contains(count) else { return nil }
        while count < 6 {
            value *= 10
            count += 1
        }
        return value
    }

    mutating func zoneOffsetInSeconds() -> Int? {
        if take("Z") || take("z") { return 0 }
        let sign: Int
        if take("+") {
            sign = 1
        } else if take("-") {
            sign = -1
        } else {
            return nil
        }
        guard let hours = digits(2), hours < 24, take(":"), let minutes = digits(2), minutes < 60 else { return nil }
        return sign * (hours * 3_600 + minutes * 60)
    }
}
