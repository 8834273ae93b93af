import Bars
import Contracts

/// How a request is answered: which price, session, anchor and grid, and which stored intervals can serve it. Decided without reading a bar.
struct BarPlan: Sendable {
    let interval: BarInterval
    let price: PriceSide
    let session: SessionKind
    let anchor: BarAnchor
    let grid: any BarGrid
    /// Keeps rows of the session before they are put together into days.
    let filter: SessionFilter?
    /// Stored intervals that divide the asked one, the longest first.
    let intervals: [Int]
    /// Sides to read: both sides where the middle has to be made of them.
    let sides: [PriceSide]
    /// Whether volumes add up: trades do, and what foreign exchange calls volume; the sizes of other quotes do not.
    let addsVolumes: Bool

    /// Plans a request over the series that had a known bar at the moment (microseconds since 1970).
    init(
        _ request: BarRequest,
        instrument: Instrument,
        calendar: ExchangeCalendar,
        series all: [StoredSeries],
        asOf moment: Int64
    ) throws {
        interval = request.interval
        let series = all.filter { $0.firstEnd <= moment }
        let price = try Self.price(request.price, Set(series.map(\.key.side)))
        self.price = price
        addsVolumes = price == .trade || instrument.assetClass == .forex
        let sides = Self.sides(of: price)
        self.sides = sides
        session = request.session ?? (request.interval.isDaily ? .regular : .all)
        let usable = Set(
            series.filter { sides.contains($0.key.side) && request.interval.isMultiple(ofSeconds: $0.key.intervalSeconds) }
                .map(\.key.intervalSeconds)
        )
        if usable.isEmpty, !series.isEmpty {
            let stored = Set(series.map(\.key.intervalSeconds)).sorted().map { BarInterval(seconds: $0).text }
            throw MarketdataError.intervalNotAvailable(asked: request.interval.text, stored: stored)
        }
        var wanted = request.anchor ?? Self.usualAnchor(instrument.assetClass, request.interval)
        var intervals = usable.sorted(by: >)
        if wanted == .session, request.interval.isDaily, instrument.assetClass == .forex, request.interval != .days(1) || request.anchor != nil {
            // A vendor's UTC days do not fit the trading days that end at 17:00 in New York; hours do.
            let finer = intervals.filter { $0 < 86_400 }
            if finer.isEmpty { wanted = .clock } else { intervals = finer }
        }
        let opening = calendar.regular.compactMap { $0?.open }.first ?? 0
        var intradaySession = session
        if wanted == .session, !request.interval.isDaily, session != .all, intervals.contains(where: { opening % $0 != 0 }) {
            // Hours stamped 10:00 do not fit hours counted from 09:30: then the exchange's own midnight is the anchor, unless asked otherwise.
            if request.anchor == nil {
                intradaySession = .all
            } else {
                let fitting = intervals.filter { opening % $0 == 0 }
                if fitting.isEmpty {
                    let stored = intervals.map { BarInterval(seconds: $0).text }.joined(separator: ", ")
                    throw MarketdataError.invalid(
                        field: "anchor",
                        code: "anchor_not_available",
                        detail: "The stored bars (\(stored)) do not begin where a session does: none, or clock, would be right."
                    )
                }
                intervals = fitting
            }
        }
        self.intervals = intervals
        anchor = wanted
        let clock = try TradingClock(calendar)
        let utc = try TradingClock(CalendarCatalogue.alwaysOpen)
        let length = Int64(request.interval.seconds) * 1_000_000
        switch (wanted, request.interval.isDaily) {
        case (.epoch, false): grid = EpochGrid(intervalMicroseconds: length)
        case (.clock, false): grid = SessionGrid(clock: utc, kind: .all, intervalMicroseconds: length)
        case (.session, false): grid = SessionGrid(clock: clock, kind: intradaySession, intervalMicroseconds: length)
        case (.session, true): grid = PeriodGrid(clock: clock, kind: session, interval: request.interval)
        case (_, true): grid = PeriodGrid(clock: utc, kind: .all, interval: request.interval)
        }
        filter = session == .all ? nil : SessionFilter(clock: clock, kind: session)
    }

    /// The first instant in a day at which no bar of the grid is under way, or the first after it: bars on either side can be put together apart.
    func seam(from day: CivilDay) -> Int64 {
        let midnight = day.seconds * 1_000_000
        switch grid.slot(at: midnight) {
        case .bucket(let start, _, let spanEnd): return start == midnight ? midnight : spanEnd
        case .gap(let until): return until
        }
    }

    /// The series that an answer may be made of: those of the plan's intervals and sides that had a known bar at the moment (microseconds since 1970).
    func readable(_ series: [StoredSeries], asOf moment: Int64) -> [StoredSeries] {
        series.filter { intervals.contains($0.key.intervalSeconds) && sides.contains($0.key.side) && $0.firstEnd <= moment }
    }

    /// The sides that bars of a price may be made of.
    static func sides(of price: PriceSide) -> [PriceSide] { price == .mid ? [.mid, .bid, .ask] : [price] }

    static func price(_ asked: PriceSide?, _ sides: Set<PriceSide>) throws -> PriceSide {
        let hasMiddle = sides.contains(.mid) || (sides.contains(.bid) && sides.contains(.ask))
        if let asked {
            guard sides.isEmpty || sides.contains(asked) || (asked == .mid && hasMiddle) else {
                throw MarketdataError.priceNotAvailable(asked.rawValue)
            }
            return asked
        }
        if sides.contains(.trade) || sides.isEmpty { return .trade }
        if hasMiddle { return .mid }
        return sides.contains(.bid) ? .bid : .ask
    }

    static func usualAnchor(_ assetClass: AssetClass, _ interval: BarInterval) -> BarAnchor {
        switch assetClass {
        case .crypto: .clock
        case .forex, .cfd, .commodity: interval.isDaily ? .session : .clock
        case .equity, .index, .future: .session
        }
    }

    /// Chooses for each day the longest stored interval that divides the asked one, the vendor's before ours, and for the middle both sides.
    func choose(from infos: [ChunkInfo], asOf moment: Int64) -> [DayChoice] {
        var days: [CivilDay: [SeriesKey: ChunkInfo]] = [:]
        // A chunk without a single known bar says nothing: its being there must not change the answer.
        for info in infos where info.firstEnd <= moment { days[info.key.day, default: [:]][info.key.series] = info }
        var choices: [DayChoice] = []
        for day in days.keys.sorted() {
            guard let chunks = days[day] else { continue }
            // The feed's bars of the day, which go on where a vendor's end.
            let live =
                chunks.values.contains { $0.live != nil }
                ? intervals.lazy.compactMap { seconds in
                    [SeriesOrigin.imported, .derived].lazy.compactMap { chunks[SeriesKey(intervalSeconds: seconds, side: price, origin: $0)] }
                        .first { $0.live != nil }
                }.first : nil
            func chunk(_ seconds: Int, _ side: PriceSide) -> ChunkInfo? {
                chunks[SeriesKey(intervalSeconds: seconds, side: side, origin: .imported)]
                    ?? chunks[SeriesKey(intervalSeconds: seconds, side: side, origin: .derived)]
            }
            for seconds in intervals {
                if let info = chunk(seconds, price) {
                    if info.live == nil, let live { choices.append(.continued(info, by: live)) } else { choices.append(.one(info)) }
                    break
                }
                if price == .mid, let bid = chunk(seconds, .bid), let ask = chunk(seconds, .ask) {
                    choices.append(.middle(bid: bid, ask: ask))
                    break
                }
            }
        }
        return choices
    }
}

/// The chunks that stand for one day.
enum DayChoice: Sendable {
    /// Bars as they are stored.
    case one(ChunkInfo)
    /// The middle, made of both sides.
    case middle(bid: ChunkInfo, ask: ChunkInfo)
    /// A vendor's bars of a day that is not over, and a feed's.
    case continued(ChunkInfo, by: ChunkInfo)

    var infos: [ChunkInfo] {
        switch self {
        case .one(let info): [info]
        case .middle(let bid, let ask): [bid, ask]
        case .continued(let info, let live): [info, live]
        }
    }

    var isMiddle: Bool { if case .middle = self { true } else { false } }

    var day: CivilDay { infos[0].key.day }
    var intervalSeconds: Int { infos[0].key.series.intervalSeconds }
}
