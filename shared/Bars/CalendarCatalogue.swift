/// The calendars that every installation knows; others come by import.
public enum CalendarCatalogue {
    /// Around the clock on UTC days: crypto.
    public static let alwaysOpen = ExchangeCalendar(
        name: "always-open",
        timeZone: "UTC",
        regular: [SessionHours?](repeating: SessionHours(open: 0, close: 86_400), count: 7)
    )

    /// Foreign exchange: from Sunday 17:00 to Friday 17:00 in New York, days end at 17:00.
    public static let forex = ExchangeCalendar(
        name: "forex",
        timeZone: "America/New_York",
        boundarySeconds: -25_200,
        regular: (0..<7).map { $0 < 5 ? SessionHours(open: -25_200, close: 61_200) : nil }
    )

    /// US equities: 09:30–16:00, extended 04:00–20:00, with the New York Stock Exchange's holidays and half days.
    public static let usEquity = ExchangeCalendar(
        name: "us-equity",
        timeZone: "America/New_York",
        regular: weekdays(34_200, 57_600),
        extended: weekdays(14_400, 72_000),
        holidays: USHolidays.holidays,
        earlyCloses: USHolidays.earlyCloses
    )

    /// CME currency futures on Globex: 17:00 of the evening before to 16:00 in Chicago.
    public static let cme = ExchangeCalendar(
        name: "cme",
        timeZone: "America/Chicago",
        boundarySeconds: -25_200,
        regular: weekdays(-25_200, 57_600)
    )

    /// Eurex index futures and the EURO STOXX indices: 09:00–17:30 main, 08:00–22:00 extended.
    public static let eurex = ExchangeCalendar(
        name: "eurex",
        timeZone: "Europe/Berlin",
        regular: weekdays(32_400, 63_000),
        extended: weekdays(28_800, 79_200)
    )

    /// National Stock Exchange of India: 09:15–15:30.
    public static let india = ExchangeCalendar(
        name: "india",
        timeZone: "Asia/Kolkata",
        regular: weekdays(33_300, 55_800),
        extended: weekdays(32_400, 57_600)
    )

    /// All of them by name.
    public static let all: [String: ExchangeCalendar] = Dictionary(
        uniqueKeysWithValues: [alwaysOpen, forex, usEquity, cme, eurex, india].map { ($0.name, $0) }
    )

    private static func weekdays(_ open: Int, _ close: Int) -> [SessionHours?] {
        (0..<7).map { $0 < 5 ? SessionHours(open: open, close: close) : nil }
    }
}
