import Bars
import Contracts

/// What of a series is there, day by day, beside what the exchange's calendar lets one expect.
struct Coverage: Sendable {
    /// One UTC day.
    struct Day: Sendable {
        var day: CivilDay
        var rows: Int
        /// Start of the first and end of the last row (microseconds since 1970); nothing on a day without rows.
        var firstStart: Int64?
        var lastEnd: Int64?
        /// The slots in which bars begin.
        var bits: [UInt8]
        /// The slots in which bars may be expected, as stretches in order.
        var expected: [Range<Int>]
        /// Expected slots without a bar.
        var missing: Int
    }

    var instrument: Instrument
    var interval: BarInterval
    var price: PriceSide
    var session: SessionKind
    var slots: DaySlots
    var days: [Day]
    /// The first and last day of everything that is stored of the series.
    var stored: ClosedRange<CivilDay>
}

/// The slots of a UTC day in which an open exchange lets one expect bars.
struct ExpectedSlots: Sendable {
    private let clock: TradingClock
    private let kind: SessionKind
    private let slots: DaySlots
    private let intervalSeconds: Int
    /// Whether bars of a day begin at midnight UTC rather than with their session.
    private let hasClockDays: Bool

    /// `starts` are the starts of stored bars, for days are placed by the vendor as he likes.
    init(calendar: ExchangeCalendar, kind: SessionKind, intervalSeconds: Int, starts: [Int64]) throws {
        clock = try TradingClock(calendar)
        self.kind = kind
        self.intervalSeconds = intervalSeconds
        slots = DaySlots(intervalSeconds: intervalSeconds)
        hasClockDays = starts.count { $0 % 86_400_000_000 == 0 } * 2 > starts.count
    }

    /// As stretches in order; none on closed days, and none for weeks and months, which begin when they like.
    func ranges(on day: CivilDay) -> [Range<Int>] {
        guard intervalSeconds <= 86_400 else { return [] }
        let midnight = day.seconds * 1_000_000
        var found: [Range<Int>] = []
        for distance in -2...2 {
            guard let session = clock.session(on: day + distance, kind: kind), let range = slots.range(of: session, day: day) else { continue }
            if intervalSeconds == 86_400, !hasClockDays, session.lowerBound < midnight { continue }
            if let last = found.last, range.lowerBound <= last.upperBound {
                found[found.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                found.append(range)
            }
        }
        return found
    }
}
