/// The rule at the end of a zoneinfo file (`EST5EDT,M3.2.0,M11.1.0`) that says how clocks change in the years after its table.
struct PosixZoneRule: Sendable, Equatable {
    private struct Change: Sendable, Equatable {
        var month: Int
        var week: Int
        var weekday: Int
        var seconds: Int
    }

    private var standardOffset: Int
    private var summerOffset: Int
    private var summerStart: Change?
    private var summerEnd: Change?

    /// Reads names, offsets (west positive) and `Mm.w.d/time` rules; nothing for other forms, which no current zone uses.
    init?(_ text: String) {
        var reader = Reader(bytes: Array(text.utf8))
        guard reader.skipName(), let west = reader.offset() else { return nil }
        standardOffset = -west
        summerOffset = -west
        guard !reader.atEnd else { return }
        guard reader.skipName() else { return nil }
        summerOffset = -west + 3_600
        if !reader.atEnd, reader.peek != 0x2C {
            guard let summerWest = reader.offset() else { return nil }
            summerOffset = -summerWest
        }
        guard let start = reader.change(), let end = reader.change() else { return nil }
        summerStart = start
        summerEnd = end
    }

    /// Seconds to add to UTC at an instant (seconds since 1970).
    func offset(atUTC seconds: Int64) -> Int {
        guard let summerStart, let summerEnd else { return standardOffset }
        let day = CivilDay(number: Int(floorDivide(seconds + Int64(standardOffset), 86_400)))
        let year = day.components.year
        let start = instant(summerStart, year) - Int64(standardOffset)
        let end = instant(summerEnd, year) - Int64(summerOffset)
        let isSummer = start < end ? (seconds >= start && seconds < end) : (seconds >= start || seconds < end)
        return isSummer ? summerOffset : standardOffset
    }

    private func instant(_ change: Change, _ year: Int) -> Int64 {
        let first = CivilDay(year: year, month: change.month, day: 1)
        let wanted = floorModulo(change.weekday + 6, 7)  // POSIX counts from Sunday, we from Monday
        var day = first + floorModulo(wanted - first.weekday, 7) + (change.week - 1) * 7
        while day >= first.firstOfNextMonth { day = day + -7 }
        return day.seconds + Int64(change.seconds)
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var atEnd: Bool { at >= bytes.count }
        var peek: UInt8 { atEnd ? 0 : bytes[at] }

        mutating func skipName() -> Bool {
            let start = at
            if peek == 0x3C {
                while !atEnd, peek != 0x3E { at += 1 }
                at += 1
                return at <= bytes.count
            }
            while !atEnd, (peek | 0x20) >= 0x61, (peek | 0x20) <= 0x7A { at += 1 }
            return at - start >= 3
        }

        mutating func number() -> Int? {
            var value: Int?
            while !atEnd, peek >= 0x30, peek <= 0x39, (value ?? 0) < 10_000 {
                value = (value ?? 0) * 10 + Int(peek - 0x30)
                at += 1
            }
            return value
        }

        mutating func offset() -> Int? {
            var sign = 1
            if peek == 0x2D || peek == 0x2B {
                sign = peek == 0x2D ? -1 : 1
                at += 1
            }
            guard let hours = number() else { return nil }
            var seconds = hours * 3_600
            for unit in [60, 1] where peek == 0x3A {
                at += 1
                guard let part = number() else { return nil }
                seconds += part * unit
            }
            return sign * seconds
        }

        mutating func change() -> Change? {
            guard peek == 0x2C else { return nil }
            at += 1
            guard peek == 0x4D else { return nil }
            at += 1
            guard let month = number(), (1...12).contains(month), skip(0x2E), let week = number(), (1...5).contains(week), skip(0x2E),
                let weekday = number(), (0...6).contains(weekday)
            else { return nil }
            var seconds = 7_200
            if peek == 0x2F {
                at += 1
                guard let time = offset() else { return nil }
                seconds = time
            }
            return Change(month: month, week: week, weekday: weekday, seconds: seconds)
        }

        private mutating func skip(_ byte: UInt8) -> Bool {
            guard peek == byte else { return false }
            at += 1
            return true
        }
    }
}
