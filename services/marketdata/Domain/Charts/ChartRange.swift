import Bars
import Contracts
import HTTPServing

/// Which stretch of time a chart shows, as its parameters spell it.
struct ChartRange: Sendable, Hashable {
    /// One end of it.
    private enum Edge: Sendable, Hashable {
        /// A trading date of the instrument's exchange.
        case day(CivilDay)
        /// An instant.
        case instant(Timestamp)
        /// A time of the exchange's clock.
        case local(CivilDay, seconds: Int)
    }

    private let start: Edge
    private let end: Edge

    /// Reads `2016-10-08` (a day of the exchange), `2016-10-08T12:00:00Z` (an instant) or `2016-10-08T12:00` (a time of the exchange's clock).
    init(start: String, end: String) throws {
        self.start = try Self.edge(start, "start")
        self.end = try Self.edge(end, "end")
    }

    /// The stretch in UTC: the start counts, the end does not, unless it is a day, which counts to its last bar. Days are trading dates: one of foreign
    /// exchange begins at 17:00 of the evening before.
    func resolved(by calendar: ExchangeCalendar) throws -> Range<Timestamp> {
        let clock = try TradingClock(calendar)
        let from = Self.instant(start, clock, dayOffset: 0)
        let to = Self.instant(end, clock, dayOffset: 1)
        guard from < to else { throw Problem.badRequest(code: "invalid_parameter", detail: "end is after start.", field: "end") }
        return from..<to
    }

    private static func instant(_ edge: Edge, _ clock: TradingClock, dayOffset: Int) -> Timestamp {
        switch edge {
        case .day(let day): Timestamp(microseconds: clock.beginning(of: day + dayOffset))
        case .instant(let instant): instant
        case .local(let day, let seconds): Timestamp(microseconds: clock.instant(day, seconds))
        }
    }

    private static func edge(_ text: String, _ field: String) throws -> Edge {
        guard let edge = read(text) else {
            throw Problem.badRequest(
                code: "invalid_parameter",
                detail:
                    "\(field) is a day such as 2016-10-08, or a time such as 2016-10-08T12:00:00Z; without a zone it is one of the exchange's clock.",
                field: field
            )
        }
        let isKnown =
            switch edge {
            case .day(let day), .local(let day, _): (1_600...2_400).contains(day.components.year)
            case .instant(let moment): BarQuery.hasBars(at: moment)
            }
        guard isKnown else { throw Problem.badRequest(code: "invalid_parameter", detail: BarQuery.years, field: field) }
        return edge
    }

    private static func read(_ text: String) -> Edge? {
        if text.utf8.count == 10 { return CivilDay(text: text).map(Edge.day) }
        if let moment = Timestamp(iso8601: text) { return .instant(moment) }
        // Without a zone: read as if it were UTC, and leave the zone to the exchange.
        let time = text.utf8.count == 16 ? text + ":00Z" : text + "Z"
        guard let moment = Timestamp(iso8601: time) else { return nil }
        let day = CivilDay(utcMicroseconds: moment.microseconds)
        let seconds = moment.seconds - day.seconds
        guard moment.microseconds % 1_000_000 == 0 else { return nil }
        return .local(day, seconds: Int(seconds))
    }
}
