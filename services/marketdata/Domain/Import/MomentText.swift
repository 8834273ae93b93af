import Bars

/// In which order the numbers of a date stand that ends with its year.
enum DateOrder: String, Sendable, CaseIterable {
    case dayMonthYear = "dmy"
    case monthDayYear = "mdy"
}

/// A date or time as it was written: which numbers stand where, before anybody decides what they mean.
///
/// Read are ISO 8601 with or without zone, `20170103`, `20170103 093000`, `2017.01.03 09:30`, `03/01/2017 9:30 AM`, `3-Jan-17`, `Jan 3, 2017`,
/// `03.01.2017 09:30:00.000 GMT+0100`, and seconds to nanoseconds since 1970 by their number of digits.
struct MomentText {
    /// The date: complete, or two numbers and a year of which only the file can say which is the day.
    private enum Date {
        case day(CivilDay)
        case numbers(Int, Int, year: Int, separator: UInt8)
    }

    private let date: Date
    /// Microseconds since local midnight; nothing where there is a date only.
    private let time: Int64?
    /// Seconds east of UTC, where the text says so.
    let offset: Int?

    /// Nothing for text that is none of these.
    init?(_ bytes: UnsafeBufferPointer<UInt8>) {
        var scan = Scan(bytes)
        if let (instant, isUTC) = scan.digitsAlone() {
            let days = floorDivide(instant, 86_400_000_000)
            date = .day(CivilDay(number: Int(days)))
            time = instant - days * 86_400_000_000
            offset = isUTC ? 0 : nil
            return
        }
        guard let date = Self.date(&scan) else { return nil }
        self.date = date
        if scan.isAtEnd {
            time = nil
            offset = nil
            return
        }
        guard scan.skipBeforeTime(), let time = scan.timeOfDay(), let zone = scan.zone() else { return nil }
        self.time = time
        if case .east(let seconds) = zone { offset = seconds } else { offset = nil }
    }

    /// A time of day alone, in microseconds since midnight: `09:30`, `9:30:00.5 PM`, `093000`, `930`.
    static func timeOfDay(_ bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
        var scan = Scan(bytes)
        guard let time = scan.timeOfDay(), scan.isAtEnd else { return nil }
        return time
    }

    var isDateOnly: Bool { time == nil }

    /// The two numbers of a date that can be read in two ways.
    var doubtful: (first: Int, second: Int)? {
        // Who writes dots writes the day first.
        if case .numbers(let first, let second, _, let separator) = date, separator != 0x2E { return (first, second) }
        return nil
    }

    /// Microseconds since 1970 on the clock of the text; nothing for a date that does not exist. `timeOfDay` goes with a date alone.
    func microseconds(_ order: DateOrder?, timeOfDay: Int64 = 0) -> Int64? {
        let day: CivilDay?
        switch date {
        case .day(let known): day = known
        case .numbers(let first, let second, let year, _):
            switch order {
            case .monthDayYear: day = CivilDay(checkedYear: year, month: first, day: second)
            case .dayMonthYear, nil: day = CivilDay(checkedYear: year, month: second, day: first)
            }
        }
        return day.map { $0.seconds * 1_000_000 + (time ?? timeOfDay) }
    }

    private static func date(_ scan: inout Scan) -> Date? {
        scan.skipWeekday()
        if let month = scan.month() {
            // Jan 3, 2017
            scan.skip { $0 == 0x20 || $0 == 0x2D || $0 == 0x2E }
            guard let day = scan.number(1...2) else { return nil }
            scan.skip { $0 == 0x20 || $0 == 0x2C || $0 == 0x2D }
            guard let year = scan.year() else { return nil }
            return CivilDay(checkedYear: year, month: month, day: day).map { .day($0) }
        }
        if let digits = scan.number(8...8) {
            return CivilDay(checkedYear: digits / 10_000, month: digits / 100 % 100, day: digits % 100).map { .day($0) }
        }
        if let year = scan.number(4...4) {
            guard let separator = scan.dateSeparator(), let month = scan.month() ?? scan.number(1...2), scan.take(separator),
                let day = scan.number(1...2)
            else { return nil }
            return CivilDay(checkedYear: year, month: month, day: day).map { .day($0) }
        }
        guard let first = scan.number(1...2), let separator = scan.dateSeparator() else { return nil }
        if let month = scan.month() {
            // 3-Jan-17
            guard scan.take(separator), let year = scan.year() else { return nil }
            return CivilDay(checkedYear: year, month: month, day: first).map { .day($0) }
        }
        guard separator != 0x20, let second = scan.number(1...2), scan.take(separator), let year = scan.year() else { return nil }
        // 2017.03.04 is caught above; of the others the year stands last.
        return .numbers(first, second, year: year, separator: separator)
    }

    // MARK: Scanning

    /// A place in the text.
    private struct Scan {
        private let bytes: UnsafeBufferPointer<UInt8>
        private var at = 0
        private let end: Int

        init(_ bytes: UnsafeBufferPointer<UInt8>) {
            self.bytes = bytes
            var end = min(bytes.count, 64)
            while end > 0, bytes[end - 1] == 0x20 { end -= 1 }
            self.end = bytes.count > 64 ? 0 : end
            while at < self.end, bytes[at] == 0x20 { at += 1 }
        }

        var isAtEnd: Bool { at >= end }
        private var current: UInt8 { at < end ? bytes[at] : 0 }

        private func digits(from start: Int) -> Int {
            var count = 0
            while start + count < end, (0x30...0x39).contains(bytes[start + count]) { count += 1 }
            return count
        }

        /// A whole number of so many digits and no more.
        mutating func number(_ widths: ClosedRange<Int>) -> Int? {
            let count = digits(from: at)
            guard widths.contains(count), let value = parseDigits(UnsafeBufferPointer(rebasing: bytes[at..<at + count])) else { return nil }
            at += count
            return Int(value)
        }

        /// Four digits, or two: 69 to 99 are of the last century.
        mutating func year() -> Int? {
            if let year = number(4...4) { return year }
            return number(2...2).map { $0 < 69 ? 2_000 + $0 : 1_900 + $0 }
        }

        mutating func take(_ byte: UInt8) -> Bool {
            guard at < end, bytes[at] == byte else { return false }
            at += 1
            return true
        }

        mutating func skip(_ isSkipped: (UInt8) -> Bool) { while at < end, isSkipped(bytes[at]) { at += 1 } }

        mutating func dateSeparator() -> UInt8? {
            for separator: UInt8 in [0x2D, 0x2F, 0x2E, 0x20] where take(separator) { return separator }
            return nil
        }

        /// A word of letters in lower case, without moving on.
        private func word() -> String {
            var length = 0
            while at + length < end, (0x41...0x5A).contains(bytes[at + length] & 0xDF) { length += 1 }
            return String(decoding: bytes[at..<at + length], as: UTF8.self).lowercased()
        }

        private var isAtLetter: Bool { (0x41...0x5A).contains(current & 0xDF) }

        private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
        private static let weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

        mutating func month() -> Int? {
            guard isAtLetter else { return nil }
            let word = word()
            guard let index = Self.months.firstIndex(of: String(word.prefix(3))) else { return nil }
            at += word.utf8.count
            return index + 1
        }

        mutating func skipWeekday() {
            guard isAtLetter else { return }
            let word = word()
            guard word.count >= 3, Self.weekdays.contains(String(word.prefix(3))) else { return }
            at += word.utf8.count
            skip { $0 == 0x20 || $0 == 0x2C || $0 == 0x2E }
        }

        /// What stands between a date and a time; nothing may be left out.
        mutating func skipBeforeTime() -> Bool {
            let before = at
            if current | 0x20 == 0x74 {  // T
                at += 1
                return true
            }
            skip { $0 == 0x20 || $0 == 0x2C || $0 == 0x3A || $0 == 0x2D || $0 == 0x5F }
            return at > before
        }

        /// Microseconds since midnight.
        mutating func timeOfDay() -> Int64? {
            var hour: Int
            var minute = 0
            var second = 0
            var fraction: Int64 = 0
            let width = digits(from: at)
            var hasSeconds = width == 5 || width == 6
            switch width {
            case 9:
                // Milliseconds right behind the seconds.
                guard let all = number(9...9) else { return nil }
                (hour, minute, second) = (all / 10_000_000, all / 100_000 % 100, all / 1_000 % 100)
                fraction = Int64(all % 1_000) * 1_000
            case 5, 6:
                guard let all = number(5...6) else { return nil }
                (hour, minute, second) = (all / 10_000, all / 100 % 100, all % 100)
            case 3, 4:
                guard let all = number(3...4) else { return nil }
                (hour, minute) = (all / 100, all % 100)
            case 1, 2:
                guard let first = number(1...2) else { return nil }
                hour = first
                if take(0x3A) {
                    guard let next = number(2...2) else { return nil }
                    minute = next
                    if take(0x3A) {
                        guard let last = number(2...2) else { return nil }
                        second = last
                        hasSeconds = true
                    }
                } else {
                    // 9 AM, 09-AM
                    _ = take(0x2D)
                    guard isBeforeHalf else { return nil }
                }
            default: return nil
            }
            if hasSeconds, current == 0x2E || current == 0x2C || current == 0x3A {
                at += 1
                let count = digits(from: at)
                guard (1...9).contains(count), let value = parseDigits(UnsafeBufferPointer(rebasing: bytes[at..<at + count])) else { return nil }
                at += count
                // Finer than a microsecond is cut off.
                fraction = value
                for _ in count..<max(count, 6) { fraction *= 10 }
                for _ in 6..<max(count, 6) { fraction /= 10 }
            }
            if let isAfternoon = half() {
                guard (1...12).contains(hour) else { return nil }
                hour = hour % 12 + (isAfternoon ? 12 : 0)
            }
            let isMidnightAfter = hour == 24 && minute == 0 && second == 0 && fraction == 0
            guard (0..<24).contains(hour) || isMidnightAfter, (0..<60).contains(minute), (0..<60).contains(second) else { return nil }
            return Int64(hour * 3_600 + minute * 60 + second) * 1_000_000 + fraction
        }

        private var isBeforeHalf: Bool {
            var ahead = self
            return ahead.half() != nil
        }

        /// AM or PM after blanks; true for PM.
        private mutating func half() -> Bool? {
            let before = at
            skip { $0 == 0x20 }
            let word = isAtLetter ? word() : ""
            guard word == "am" || word == "pm" else {
                at = before
                return nil
            }
            at += 2
            return word == "pm"
        }

        /// What the end of a text says of its zone.
        enum Zone {
            case unsaid
            /// Seconds east of UTC.
            case east(Int)
        }

        /// The zone at the end of the text; nothing for rubbish.
        mutating func zone() -> Zone? {
            skip { $0 == 0x20 }
            if isAtEnd { return .unsaid }
            if isAtLetter {
                let word = word()
                let zones = ["z": 0, "utc": 0, "gmt": 0, "est": -18_000, "edt": -14_400, "cet": 3_600, "cest": 7_200]
                guard let found = zones[word] else { return nil }
                at += word.utf8.count
                if isAtEnd { return .east(found) }
                guard found == 0 else { return nil }
            }
            let sign = current
            guard sign == 0x2B || sign == 0x2D else { return nil }
            at += 1
            let width = digits(from: at)
            guard width <= 4, var hours = number(1...4) else { return nil }
            var minutes = 0
            if width > 2 {
                (hours, minutes) = (hours / 100, hours % 100)
            } else if take(0x3A) {
                guard let found = number(2...2) else { return nil }
                minutes = found
            }
            guard isAtEnd, hours <= 15, minutes < 60 else { return nil }
            let seconds = hours * 3_600 + minutes * 60
            return .east(sign == 0x2D ? -seconds : seconds)
        }

        /// Digits and nothing else: a date and time without anything between them, or seconds to nanoseconds since 1970 by how many digits there
        /// are; in microseconds.
        func digitsAlone() -> (microseconds: Int64, isUTC: Bool)? {
            let whole = digits(from: at)
            guard whole >= 9, whole <= 19 else { return nil }
            var fractionDigits = 0
            if at + whole < end {
                guard bytes[at + whole] == 0x2E else { return nil }
                fractionDigits = digits(from: at + whole + 1)
                guard at + whole + 1 + fractionDigits == end else { return nil }
            }
            if fractionDigits == 0, whole == 12 || whole == 14, let written = compact(whole) { return (written, false) }
            var value: Int64 = 0
            for index in at..<at + whole {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                guard !overflow, product <= .max - 9 else { return nil }
                value = product + Int64(bytes[index] - 0x30)
            }
            // Decimals count where the number itself is coarser than a microsecond.
            var places = whole <= 11 ? 6 : whole <= 14 ? 3 : whole <= 17 ? 0 : -3
            var index = at + whole + 1
            while places > 0 {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                guard !overflow else { return nil }
                value = product
                if index < end {
                    value += Int64(bytes[index] - 0x30)
                    index += 1
                }
                places -= 1
            }
            if places < 0 { value /= 1_000 }
            // Years 1677 to 2262 are what nanoseconds reach; nobody's bars are older or later.
            return value <= 9_223_372_036_854_775 ? (value, true) : nil
        }

        private func compact(_ width: Int) -> Int64? {
            func part(_ from: Int, _ count: Int) -> Int {
                Int(parseDigits(UnsafeBufferPointer(rebasing: bytes[at + from..<at + from + count])) ?? -1)
            }
            let (hour, minute, second) = (part(8, 2), part(10, 2), width == 14 ? part(12, 2) : 0)
            guard (1_900...2_100).contains(part(0, 4)), hour < 24, minute < 60, second < 60,
                let day = CivilDay(checkedYear: part(0, 4), month: part(4, 2), day: part(6, 2))
            else { return nil }
            return (day.seconds + Int64(hour * 3_600 + minute * 60 + second)) * 1_000_000
        }
    }
}
