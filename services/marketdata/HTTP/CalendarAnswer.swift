import Bars

/// An exchange's calendar in a list.
struct CalendarSummaryAnswer: Encodable, Sendable {
    let name: String
    let timeZone: String
    let alwaysOpen: Bool

    init(_ calendar: ExchangeCalendar) {
        name = calendar.name
        timeZone = calendar.timeZone
        alwaysOpen = calendar.isAlwaysOpen
    }
}

/// An exchange's calendar; all times of day are seconds from local midnight of the trading date, below zero on the evening before.
struct CalendarAnswer: Encodable, Sendable {
    let name: String
    let timeZone: String
    let alwaysOpen: Bool
    /// Where a trading date begins.
    let boundarySeconds: Int
    /// Monday first.
    let weekdays: [Weekday]
    let holidays: [String]
    let earlyCloses: [ShortDay]
    let lateOpens: [ShortDay]

    /// The sessions of a weekday, absent where there is none.
    struct Weekday: Encodable, Sendable {
        let weekday: String
        let regular: Session?
        let extended: Session?
    }

    /// One session.
    struct Session: Encodable, Sendable {
        let openSeconds: Int
        let closeSeconds: Int

        init(_ hours: SessionHours) {
            openSeconds = hours.open
            closeSeconds = hours.close
        }
    }

    /// A day whose main session ends earlier or begins later.
    struct ShortDay: Encodable, Sendable {
        let day: String
        let seconds: Int
    }

    init(_ calendar: ExchangeCalendar) {
        name = calendar.name
        timeZone = calendar.timeZone
        alwaysOpen = calendar.isAlwaysOpen
        boundarySeconds = calendar.boundarySeconds
        let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        weekdays = names.enumerated().map { index, name in
            Weekday(
                weekday: name,
                regular: calendar.regular[index].map { Session($0) },
                extended: calendar.extended[index].map { Session($0) }
            )
        }
        holidays = calendar.holidays.sorted().map(\.text)
        func days(_ all: [CivilDay: Int]) -> [ShortDay] { all.sorted { $0.key < $1.key }.map { ShortDay(day: $0.key.text, seconds: $0.value) } }
        earlyCloses = days(calendar.earlyCloses)
        lateOpens = days(calendar.lateOpens)
    }
}
