import Bars

/// Times as vendors write them, read as a local clock: microseconds since 1970 on that clock.
enum TimeText {
    /// Whether a stamp named a day only, and when on the local clock it is.
    struct Stamp: Equatable {
        var microseconds: Int64
        var isDateOnly: Bool

        /// The UTC date of the time on that zone's clock; of a date alone, the date itself, which belongs to no zone.
        func day(in zone: ZoneRules) -> CivilDay {
            CivilDay(utcMicroseconds: isDateOnly ? microseconds : zone.utc(fromLocal: floorDivide(microseconds, 1_000_000)) * 1_000_000)
        }
    }

    /// `2017-04-19`, `2017-04-19 09:00:00[.ffffff]` (also with `T` and a final `Z` or `+00:00`), `2019-10-17 09-AM`, `01.01.2017 22:00:00.000`,
    /// `20170102 020000`, `20130102 09:00`, `20130102`, or epoch seconds, milliseconds or microseconds by their number of digits.
    static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Stamp? {
        var count = bytes.count
        if count > 10, bytes[count - 1] == 0x5A { count -= 1 }
        // `+00:00` at the end, as data frames write UTC; another offset would contradict the zone that the rest is read in.
        if count > 22, bytes[count - 3] == 0x3A, bytes[count - 6] == 0x2B || bytes[count - 6] == 0x2D {
            for offset in [5, 4, 2, 1] where bytes[count - offset] != 0x30 { return nil }
            count -= 6
        }
        guard count >= 8, count <= 32 else { return nil }
        func number(_ at: Int, _ width: Int) -> Int? {
            guard at + width <= count else { return nil }
            return parseDigits(UnsafeBufferPointer(rebasing: bytes[at..<at + width])).map { Int($0) }
        }
        func clock(_ day: CivilDay, _ hour: Int, _ minute: Int, _ second: Int, _ fraction: Int = 0) -> Stamp? {
            guard (0..<24).contains(hour), (0..<60).contains(minute), (0..<60).contains(second) else { return nil }
            return Stamp(microseconds: (day.seconds + Int64(hour * 3_600 + minute * 60 + second)) * 1_000_000 + Int64(fraction), isDateOnly: false)
        }
        func timeOfDay(_ day: CivilDay, _ at: Int) -> Stamp? {
            guard let hour = number(at, 2) else { return nil }
            if count == at + 5, bytes[at + 2] == 0x2D {  // 09-AM
                guard (1...12).contains(hour), bytes[at + 4] == 0x4D, bytes[at + 3] == 0x41 || bytes[at + 3] == 0x50 else { return nil }
                return clock(day, hour % 12 + (bytes[at + 3] == 0x50 ? 12 : 0), 0, 0)
            }
            guard at + 2 < count, bytes[at + 2] == 0x3A, let minute = number(at + 3, 2) else { return nil }
            if count == at + 5 { return clock(day, hour, minute, 0) }
            guard bytes[at + 5] == 0x3A, let second = number(at + 6, 2) else { return nil }
            if count == at + 8 { return clock(day, hour, minute, second) }
            let digits = count - at - 9
            guard bytes[at + 8] == 0x2E, (1...6).contains(digits), var fraction = number(at + 9, digits) else { return nil }
            for _ in digits..<6 { fraction *= 10 }
            return clock(day, hour, minute, second, fraction)
        }
        if bytes[4] == 0x2D {
            guard count >= 10, bytes[7] == 0x2D, let year = number(0, 4), let month = number(5, 2), let date = number(8, 2),
                let day = CivilDay(checkedYear: year, month: month, day: date)
            else { return nil }
            if count == 10 { return Stamp(microseconds: day.seconds * 1_000_000, isDateOnly: true) }
            guard bytes[10] == 0x20 || bytes[10] == 0x54 else { return nil }
            return timeOfDay(day, 11)
        }
        if bytes[2] == 0x2E, bytes[5] == 0x2E {
            guard count > 11, let date = number(0, 2), let month = number(3, 2), let year = number(6, 4),
                let day = CivilDay(checkedYear: year, month: month, day: date), bytes[10] == 0x20
            else { return nil }
            return timeOfDay(day, 11)
        }
        if count == 8 || (count > 8 && bytes[8] == 0x20) {
            guard let year = number(0, 4), let month = number(4, 2), let date = number(6, 2),
                let day = CivilDay(checkedYear: year, month: month, day: date)
            else { return nil }
            if count == 8 { return Stamp(microseconds: day.seconds * 1_000_000, isDateOnly: true) }
            if count == 15 {
                guard let hour = number(9, 2), let minute = number(11, 2), let second = number(13, 2) else { return nil }
                return clock(day, hour, minute, second)
            }
            return timeOfDay(day, 9)
        }
        guard let epoch = parseDigits(UnsafeBufferPointer(rebasing: bytes[0..<count])) else { return nil }
        switch count {
        case 9...11: return Stamp(microseconds: epoch * 1_000_000, isDateOnly: false)
        case 12...14: return Stamp(microseconds: epoch * 1_000, isDateOnly: false)
        case 15...17: return Stamp(microseconds: epoch, isDateOnly: false)
        default: return nil
        }
    }
}
