import Bars

/// An exchange's hours as TradingView's library spells them, in the exchange's own time: `0930-1600`, `24x7`, `1700-1700` (from the evening before),
/// `0900-1130,1230-1500` (a break at noon), and `|` between weekdays that differ (`:23456`, where 1 is Sunday).
struct UDFSession: Sendable, Equatable {
    let session: String
    /// `20181122,20181225`
    let holidays: String
    /// Days with hours of their own: `0930-1300:20181123;0930-1300:20181224`.
    let corrections: String

    init(_ calendar: ExchangeCalendar) {
        session = Self.week(calendar)
        holidays = calendar.holidays.sorted().map(Self.date).joined(separator: ",")
        let days = Set(calendar.earlyCloses.keys).union(calendar.lateOpens.keys).subtracting(calendar.holidays)
        corrections = days.sorted().compactMap { day -> String? in
            guard var hours = calendar.regular[day.weekday] else { return nil }
            hours.close = calendar.earlyCloses[day] ?? hours.close
            hours.open = calendar.lateOpens[day] ?? hours.open
            guard hours.open < hours.close else { return nil }
            return "\(Self.text(calendar.parts(of: hours, weekday: day.weekday))):\(Self.date(day))"
        }.joined(separator: ";")
    }

    private static func week(_ calendar: ExchangeCalendar) -> String {
        if calendar.regular.allSatisfy({ $0.map { $0.close - $0.open == 86_400 } ?? false }), calendar.breaks == nil { return "24x7" }
        // Weekdays with the same hours are told together, in the order in which they come first.
        var groups: [(text: String, days: [Int])] = []
        for (weekday, hours) in calendar.regular.enumerated() {
            guard let hours else { continue }
            let text = text(calendar.parts(of: hours, weekday: weekday))
            let digit = (weekday + 1) % 7 + 1
            if let index = groups.firstIndex(where: { $0.text == text }) { groups[index].days.append(digit) } else { groups.append((text, [digit])) }
        }
        // Monday to Friday is what is meant where no days are told.
        if groups.count == 1, groups[0].days == [2, 3, 4, 5, 6] { return groups[0].text }
        return groups.map { "\($0.text):\($0.days.sorted().map(String.init).joined())" }.joined(separator: "|")
    }

    private static func text(_ parts: [SessionHours]) -> String {
        parts.map { part in
            let (open, close) = (clock(part.open), clock(part.close))
            // What begins the evening before is told by an opening after the close; where that cannot tell, `F1` says so.
            let mark = part.open < 0 && open < close ? "F1" : ""
            return "\(open)\(mark)-\(close)"
        }.joined(separator: ",")
    }

    private static func clock(_ seconds: Int) -> String {
        let minutes = seconds == 86_400 ? 1_440 : floorModulo(seconds, 86_400) / 60
        return digits(minutes / 60, 2) + digits(minutes % 60, 2)
    }

    private static func date(_ day: CivilDay) -> String {
        let parts = day.components
        return digits(parts.year, 4) + digits(parts.month, 2) + digits(parts.day, 2)
    }

    private static func digits(_ value: Int, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
