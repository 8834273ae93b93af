/// What time is like from an instant on.
public enum GridStretch: Sendable, Equatable {
    /// Bars that begin at `origin` and at each whole multiple of `length` from it, up to `until`, where the last one is cut.
    case bars(origin: Int64, length: Int64, until: Int64)
    /// The one bar `[start, end)`, which collects the rows that start before `spanEnd`: the span can outlast the bar (a night after the close).
    case period(start: Int64, end: Int64, spanEnd: Int64)
    /// No bar before this instant: outside the session.
    case gap(until: Int64)
}

/// Where an instant falls on a grid of bars.
public enum GridSlot: Sendable, Equatable {
    /// The bar `[start, end)` collects the rows that start before `spanEnd`.
    case bucket(start: Int64, end: Int64, spanEnd: Int64)
    /// No bar before this instant.
    case gap(until: Int64)
}

/// How time is cut into bars; asked once a day or so, never once a row.
public protocol BarGrid: Sendable {
    /// What an instant in microseconds since 1970 lies in, and what follows it up to the stretch's end.
    func stretch(at instant: Int64) -> GridStretch
}

extension BarGrid {
    /// The one slot that holds an instant.
    public func slot(at instant: Int64) -> GridSlot {
        switch stretch(at: instant) {
        case .gap(let until): return .gap(until: until)
        case .period(let start, let end, let spanEnd): return .bucket(start: start, end: end, spanEnd: spanEnd)
        case .bars(let origin, let length, let until):
            let start = origin + floorDivide(instant - origin, length) * length
            let end = min(start + length, until)
            return .bucket(start: start, end: end, spanEnd: end)
        }
    }
}

/// Bars at whole multiples of the interval since 1970, whatever the day.
public struct EpochGrid: BarGrid {
    private let length: Int64

    /// Takes the interval in microseconds.
    public init(intervalMicroseconds: Int64) { length = intervalMicroseconds }

    /// Everything is one stretch.
    public func stretch(at instant: Int64) -> GridStretch { .bars(origin: 0, length: length, until: .max) }
}

/// Bars counted anew from the opening of each trading day's session, and from the end of its pause; the last one before either is cut there.
public struct SessionGrid: BarGrid {
    private let clock: TradingClock
    private let kind: SessionKind
    private let length: Int64

    /// Takes the interval in microseconds, less than a day.
    public init(clock: TradingClock, kind: SessionKind, intervalMicroseconds: Int64) {
        self.clock = clock
        self.kind = kind
        length = intervalMicroseconds
    }

    /// The session that holds an instant, or the time until the next one.
    public func stretch(at instant: Int64) -> GridStretch {
        let day = clock.tradingDate(of: instant)
        guard let session = clock.session(on: day, kind: kind) else { return .gap(until: clock.beginning(of: day + 1)) }
        if instant < session.lowerBound { return .gap(until: session.lowerBound) }
        if instant >= session.upperBound { return .gap(until: clock.beginning(of: day + 1)) }
        var part = session
        if let pause = clock.pause(on: day, kind: kind), session.overlaps(pause) {
            // Counted anew from the end of the pause, as from an opening.
            if pause.contains(instant) {
                return .gap(until: pause.upperBound < session.upperBound ? pause.upperBound : clock.beginning(of: day + 1))
            }
            part = instant < pause.lowerBound ? session.lowerBound..<pause.lowerBound : pause.upperBound..<session.upperBound
        }
        return .bars(origin: part.lowerBound, length: length, until: part.upperBound)
    }
}

/// Bars of whole trading days, weeks from Monday and months from the 1st, of the trading date.
///
/// A bar's start and end are the first opening and the last close of the period by the calendar, so that they are known beforehand.
public struct PeriodGrid: BarGrid {
    private let clock: TradingClock
    private let kind: SessionKind
    private let interval: BarInterval

    /// Takes an interval of days, weeks or months.
    public init(clock: TradingClock, kind: SessionKind, interval: BarInterval) {
        self.clock = clock
        self.kind = kind
        self.interval = interval
    }

    /// The period that holds an instant.
    public func stretch(at instant: Int64) -> GridStretch {
        let (first, next) = period(of: clock.tradingDate(of: instant))
        var start: Int64?
        var end: Int64?
        var day = first
        while start == nil, day < next {
            start = clock.session(on: day, kind: kind)?.lowerBound
            day = day + 1
        }
        day = next + -1
        while end == nil, start != nil, day >= first {
            end = clock.session(on: day, kind: kind)?.upperBound
            day = day + -1
        }
        let spanEnd = clock.beginning(of: next)
        guard let start, let end else { return .gap(until: spanEnd) }
        return .period(start: start, end: end, spanEnd: spanEnd)
    }

    /// The trading dates of the period that holds a date: the first, and the first of the next period.
    public func period(of day: CivilDay) -> (first: CivilDay, next: CivilDay) {
        switch interval {
        case .seconds: return (day, day + 1)
        case .days(let count):
            let first = CivilDay(number: Int(floorDivide(Int64(day.number), Int64(count))) * count)
            return (first, first + count)
        case .weeks(let count):
            let week = Int(floorDivide(Int64(day.monday.number + 3), Int64(7 * count)))
            let first = CivilDay(number: week * 7 * count - 3)
            return (first, first + 7 * count)
        case .months(let count):
            let parts = day.components
            let index = (parts.year * 12 + parts.month - 1) / count * count
            let after = index + count
            return (
                CivilDay(year: index / 12, month: index % 12 + 1, day: 1), CivilDay(year: after / 12, month: after % 12 + 1, day: 1)
            )
        }
    }
}
