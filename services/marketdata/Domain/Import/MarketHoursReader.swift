import Bars
import Contracts

/// Lean's market-hours database: sessions by weekday, holidays, early closes and late openings of several hundred exchanges and symbols.
///
/// Lean counts calendar days; we count trading dates. An evening session that runs to midnight belongs to the next date.
enum MarketHoursReader {
    private struct Entry {
        var exchangeTimeZone: String
        var monday: [Segment]?
        var tuesday: [Segment]?
        var wednesday: [Segment]?
        var thursday: [Segment]?
        var friday: [Segment]?
        var saturday: [Segment]?
        var sunday: [Segment]?
        var holidays: [String]?
        var earlyCloses: [String: String]?
        var lateOpens: [String: String]?
    }

    private struct Segment {
        var start: String
        var end: String
        var state: String
    }

    private struct Span {
        var open: Int
        var close: Int
        var isMain: Bool
    }

    /// Calendars named like `equity-usa`, `future-cme-6e`; entries that make no sense are counted and left out.
    static func read(_ bytes: [UInt8]) throws(ImportError) -> (calendars: [ExchangeCalendar], leftOut: Int) {
        guard let json = try? WireJSON.parse(bytes) else { throw .unknownLayout("it is not JSON") }
        guard case .object(let entries)? = json["entries"] else { throw .unknownLayout("it has no entries") }
        var calendars: [ExchangeCalendar] = []
        var leftOut = 0
        for (name, value) in entries.sorted(by: { $0.key < $1.key }) {
            if let entry = entry(value), let calendar = calendar(named: name, entry) { calendars.append(calendar) } else { leftOut += 1 }
        }
        guard !calendars.isEmpty else { throw .emptyFile }
        return (calendars, leftOut)
    }

    private static func entry(_ value: JSONValue) -> Entry? {
        func segments(_ name: String) -> [Segment]? {
            guard case .array(let list)? = value[name] else { return nil }
            return list.compactMap { item in
                guard let start = item["start"]?.string, let end = item["end"]?.string, let state = item["state"]?.string else { return nil }
                return Segment(start: start, end: end, state: state)
            }
        }
        func texts(_ name: String) -> [String: String]? {
            guard case .object(let members)? = value[name] else { return nil }
            return members.compactMapValues(\.string)
        }
        guard let zone = value["exchangeTimeZone"]?.string else { return nil }
        var holidays: [String]?
        if case .array(let list)? = value["holidays"] { holidays = list.compactMap(\.string) }
        return Entry(
            exchangeTimeZone: zone,
            monday: segments("monday"),
            tuesday: segments("tuesday"),
            wednesday: segments("wednesday"),
            thursday: segments("thursday"),
            friday: segments("friday"),
            saturday: segments("saturday"),
            sunday: segments("sunday"),
            holidays: holidays,
            earlyCloses: texts("earlyCloses"),
            lateOpens: texts("lateOpens")
        )
    }

    private static func calendar(named name: String, _ entry: Entry) -> ExchangeCalendar? {
        guard (try? ZoneRules(identifier: entry.exchangeTimeZone)) != nil else { return nil }
        var days: [[Span]] = []
        for segments in [entry.monday, entry.tuesday, entry.wednesday, entry.thursday, entry.friday, entry.saturday, entry.sunday] {
            var spans: [Span] = []
            for segment in segments ?? [] {
                guard let open = seconds(segment.start), let close = seconds(segment.end), open < close else { return nil }
                spans.append(Span(open: open, close: close, isMain: segment.state == "market"))
            }
            days.append(spans)
        }
        var boundary = 0
        let isAlwaysOpen = days.allSatisfy { $0.count == 1 && $0[0].open == 0 && $0[0].close == 86_400 }
        if !isAlwaysOpen {
            var shifted = [[Span]](repeating: [], count: 7)
            for (weekday, spans) in days.enumerated() {
                for span in spans {
                    if span.close == 86_400, span.open >= 43_200 {
                        boundary = min(boundary, span.open - 86_400)
                        shifted[(weekday + 1) % 7].append(Span(open: span.open - 86_400, close: 0, isMain: span.isMain))
                    } else {
                        shifted[weekday].append(span)
                    }
                }
            }
            days = shifted
        }
        // What begins on an evening belongs together with the day that follows, so a premarket evening does not open the main session.
        let regular = days.map { hull($0.filter(\.isMain)) }
        guard regular.contains(where: { $0 != nil }) else { return nil }
        return ExchangeCalendar(
            name: name.lowercased().replacing("-[*]", with: ""),
            timeZone: entry.exchangeTimeZone,
            boundarySeconds: boundary,
            regular: regular,
            extended: days.map { hull($0) },
            holidays: Set((entry.holidays ?? []).compactMap(date)),
            earlyCloses: times(entry.earlyCloses),
            // A late opening in the evening is the next date's, which opens then anyway.
            lateOpens: times(entry.lateOpens).filter { $0.value < 43_200 }
        )
    }

    private static func hull(_ spans: [Span]) -> SessionHours? {
        guard let open = spans.map(\.open).min(), let close = spans.map(\.close).max() else { return nil }
        return SessionHours(open: open, close: close)
    }

    private static func times(_ list: [String: String]?) -> [CivilDay: Int] {
        var times: [CivilDay: Int] = [:]
        for (day, time) in list ?? [:] {
            if let day = date(day), let seconds = seconds(time) { times[day] = seconds }
        }
        return times
    }

    /// `7/3/2014`, month first.
    private static func date(_ text: String) -> CivilDay? {
        let parts = text.split(separator: "/").compactMap { Int($0) }
        return parts.count == 3 ? CivilDay(checkedYear: parts[2], month: parts[0], day: parts[1]) : nil
    }

    /// `09:30:00`, or `1.00:00:00` for the end of the day.
    private static func seconds(_ text: String) -> Int? {
        if text == "1.00:00:00" || text == "24:00:00" { return 86_400 }
        let parts = text.split(separator: ":").compactMap { Int($0) }
        guard parts.count == 3, (0..<24).contains(parts[0]), (0..<60).contains(parts[1]), (0..<60).contains(parts[2]) else { return nil }
        return parts[0] * 3_600 + parts[1] * 60 + parts[2]
    }
}
