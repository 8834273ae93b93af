/// When an exchange trades: its time zone, sessions by weekday, holidays, early closes and late openings.
///
/// A trading date need not begin at midnight: with `boundarySeconds` -25,200 the date D runs from 17:00 of the day before to 17:00.
public struct ExchangeCalendar: Sendable, Equatable, Codable {
    /// The name by which instruments refer to it, such as `us-equity`.
    public var name: String
    /// The IANA time zone of all its local times.
    public var timeZone: String
    /// Seconds from local midnight at which a trading date begins; zero or negative.
    public var boundarySeconds: Int
    /// Main sessions, Monday first; nothing on days without.
    public var regular: [SessionHours?]
    /// Main sessions with what comes before and after, Monday first.
    public var extended: [SessionHours?]
    /// Days without any session.
    public var holidays: Set<CivilDay>
    /// Closing of the main session on short days, in seconds from local midnight.
    public var earlyCloses: [CivilDay: Int]
    /// Opening of the main session on days that begin late, in seconds from local midnight.
    public var lateOpens: [CivilDay: Int]
    /// Pauses in the main session (lunch), Monday first; nothing on days without, nothing at all for most exchanges.
    public var breaks: [SessionHours?]?

    /// Takes the whole definition; both lists of sessions have seven entries.
    public init(
        name: String,
        timeZone: String,
        boundarySeconds: Int = 0,
        regular: [SessionHours?],
        extended: [SessionHours?]? = nil,
        holidays: Set<CivilDay> = [],
        earlyCloses: [CivilDay: Int] = [:],
        lateOpens: [CivilDay: Int] = [:],
        breaks: [SessionHours?]? = nil
    ) {
        self.name = name
        self.timeZone = timeZone
        self.boundarySeconds = boundarySeconds
        self.regular = regular
        self.extended = extended ?? regular
        self.holidays = holidays
        self.earlyCloses = earlyCloses
        self.lateOpens = lateOpens
        self.breaks = breaks
    }

    /// Hours of a weekday without the pause in them: one part, or the two around it.
    public func parts(of hours: SessionHours, weekday: Int) -> [SessionHours] {
        guard let pause = breaks?[weekday], pause.open < hours.close, pause.close > hours.open else { return [hours] }
        let parts = [SessionHours(open: hours.open, close: pause.open), SessionHours(open: pause.close, close: hours.close)]
        return parts.filter { $0.open < $0.close }
    }

    /// Whether every instant of every day is in session.
    public var isAlwaysOpen: Bool {
        holidays.isEmpty && earlyCloses.isEmpty && lateOpens.isEmpty
            && regular.allSatisfy { $0 == SessionHours(open: boundarySeconds, close: 86_400 + boundarySeconds) }
    }
}

/// An exchange calendar with its time zone loaded: turns instants into trading dates and trading dates into instants.
public struct TradingClock: Sendable {
    /// The calendar whose times these are.
    public let calendar: ExchangeCalendar
    /// The calendar's time zone.
    public let zone: ZoneRules

    /// Loads the calendar's time zone.
    public init(_ calendar: ExchangeCalendar) throws(BarsError) {
        self.calendar = calendar
        zone = try ZoneRules(identifier: calendar.timeZone)
    }

    /// The trading date of an instant in microseconds since 1970.
    public func tradingDate(of instant: Int64) -> CivilDay {
        let seconds = floorDivide(instant, 1_000_000)
        let local = seconds + Int64(zone.offset(atUTC: seconds))
        return CivilDay(number: Int(floorDivide(local - Int64(calendar.boundarySeconds), 86_400)))
    }

    /// The instant (microseconds since 1970) of a local time given in seconds from midnight of a day.
    public func instant(_ day: CivilDay, _ secondsFromMidnight: Int) -> Int64 {
        zone.utc(fromLocal: day.seconds + Int64(secondsFromMidnight)) * 1_000_000
    }

    /// The instant at which a trading date begins.
    public func beginning(of day: CivilDay) -> Int64 { instant(day, calendar.boundarySeconds) }

    /// The session of a trading date as instants; for `all` the whole date; nothing where there is no session.
    public func session(on day: CivilDay, kind: SessionKind) -> Range<Int64>? {
        if kind == .all { return beginning(of: day)..<beginning(of: day + 1) }
        guard !calendar.holidays.contains(day) else { return nil }
        guard var hours = kind == .regular ? calendar.regular[day.weekday] : calendar.extended[day.weekday] else { return nil }
        if kind == .regular {
            hours.close = calendar.earlyCloses[day] ?? hours.close
            hours.open = calendar.lateOpens[day] ?? hours.open
        }
        guard hours.open < hours.close else { return nil }
        let opening = instant(day, hours.open)
        let closing = instant(day, hours.close)
        return opening < closing ? opening..<closing : nil
    }

    /// The pause in a main session as instants; nothing where there is none.
    public func pause(on day: CivilDay, kind: SessionKind) -> Range<Int64>? {
        guard kind == .regular, let pause = calendar.breaks?[day.weekday] else { return nil }
        let (opening, closing) = (instant(day, pause.open), instant(day, pause.close))
        return opening < closing ? opening..<closing : nil
    }
}
