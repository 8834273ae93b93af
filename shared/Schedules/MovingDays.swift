/// The days of a cron expression that each month places anew: the last day, the second Monday, the weekday nearest to the 15th.
struct MovingDays: Sendable, Hashable {
    /// `L` is 0, `L-2` is 2: so many days before the last.
    private(set) var beforeLast: Set<Int> = []
    /// `LW`: the last of Monday to Friday.
    private(set) var isLastWorkday = false
    /// `15W`: the day from Monday to Friday that is nearest, within the month.
    private(set) var nearestWorkday: Set<Int> = []
    /// `5L`: the last Friday.
    private(set) var lastWeekday: Set<Int> = []
    /// `MON#2`: the second Monday.
    private(set) var nthWeekday: Set<Nth> = []

    /// The n-th of a weekday in a month.
    struct Nth: Sendable, Hashable {
        let weekday: Int
        let number: Int
    }

    /// Takes its own words out of the list of a day-of-month field (in small letters) and gives what is left of it; nil if nothing is.
    mutating func takeDays(from text: Substring) -> Substring? {
        take(from: text) { word in
            if word == "l" {
                beforeLast.insert(0)
            } else if word == "lw" {
                isLastWorkday = true
            } else if word.hasPrefix("l-"), let days = Self.number(word.dropFirst(2), 1...30) {
                beforeLast.insert(days)
            } else if word.hasSuffix("w"), let day = Self.number(word.dropLast(), 1...31) {
                nearestWorkday.insert(day)
            } else {
                return false
            }
            return true
        }
    }

    /// The same of a day-of-week field.
    mutating func takeWeekdays(from text: Substring, names: [String]) -> Substring? {
        func weekday(_ text: Substring) -> Int? { names.firstIndex(of: String(text)) ?? Self.number(text, 0...7).map { $0 % 7 } }
        return take(from: text) { word in
            if word.hasSuffix("l"), let day = weekday(word.dropLast()) {
                lastWeekday.insert(day)
                return true
            }
            let halves = word.split(separator: "#", omittingEmptySubsequences: false)
            guard halves.count == 2, let day = weekday(halves[0]), let number = Self.number(halves[1], 1...5) else { return false }
            nthWeekday.insert(Nth(weekday: day, number: number))
            return true
        }
    }

    private func take(from text: Substring, _ takes: (Substring) -> Bool) -> Substring? {
        let words = text.split(separator: ",", omittingEmptySubsequences: false)
        let rest = words.filter { !takes($0) }
        return rest.isEmpty ? nil : rest.count == words.count ? text : Substring(rest.joined(separator: ","))
    }

    private static func number(_ text: Substring, _ range: ClosedRange<Int>) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(text), range.contains(number) else { return nil }
        return number
    }

    /// Whether a word of the day-of-month field means this date.
    func matchesDay(_ date: CalendarDate) -> Bool {
        if beforeLast.isEmpty && !isLastWorkday && nearestWorkday.isEmpty { return false }
        let (day, length) = (date.day, date.daysInMonth)
        if beforeLast.contains(length - day) { return true }
        if isLastWorkday, day == Self.workday(nearestTo: length, on: date, length: length) { return true }
        return nearestWorkday.contains { $0 <= length && day == Self.workday(nearestTo: $0, on: date, length: length) }
    }

    /// Whether a word of the day-of-week field means this date.
    func matchesWeekday(_ date: CalendarDate) -> Bool {
        if lastWeekday.contains(date.weekday), date.day + 7 > date.daysInMonth { return true }
        return nthWeekday.contains(Nth(weekday: date.weekday, number: (date.day + 6) / 7))
    }

    /// The day from Monday to Friday that is nearest to a day of the date's month without leaving it.
    private static func workday(nearestTo day: Int, on date: CalendarDate, length: Int) -> Int {
        switch CalendarDate(daysSince1970: date.daysSince1970 - date.day + day).weekday {
        case 6: day > 1 ? day - 1 : day + 2
        case 0: day < length ? day + 1 : day - 2
        default: day
        }
    }
}
