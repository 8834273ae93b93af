import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// Answers TradingView's library: the same bars from the same reader, with the library's idea of time and of what a range is.
struct Datafeed: Sendable {
    let store: any MarketdataStore
    let reader: BarReader
    let calendars: Calendars
    let time: any TimeSource

    /// The most bars of one answer.
    static let maximumBars = 50_000

    /// An instrument as the library has to know it.
    struct Symbol: Sendable {
        var instrument: Instrument
        var calendar: ExchangeCalendar
        var series: [StoredSeries]
        /// Its latest bars, finest first: what prices and volumes look like.
        var latest: BarSeries
        /// The resolutions that can be made of what is stored.
        var resolutions: Set<String>
    }

    /// Bars, or where the nearest earlier ones are.
    enum History: Sendable {
        /// Bars with the times that the library gives them: their starts; for days and longer 00:00 UTC of the (first) trading date.
        case bars(BarSeries, times: [Int64])
        /// None in the range; the time of the nearest earlier bar, if there is one.
        case none(nextTime: Int64?)
    }

    /// The range of a question for bars, in the library's seconds.
    struct Range: Sendable {
        var from: Int64
        var to: Int64
        /// So many bars before `to`, whatever `from` says.
        var countback: Int?
    }

    // MARK: Symbols

    func symbol(_ text: String) async throws -> Symbol {
        let found = try await description(text)
        let calendar = try await calendars.calendar(named: found.instrument.calendar)
        let resolutions = UDFResolution.all.filter { text in
            guard let interval = try? UDFResolution.interval(text) else { return false }
            let request = BarRequest(symbol: found.instrument.symbol, interval: interval)
            return (try? BarPlan(request, instrument: found.instrument, calendar: calendar, series: found.series, asOf: .max)) != nil
        }
        return Symbol(
            instrument: found.instrument,
            calendar: calendar,
            series: found.series,
            latest: try await latest(of: found),
            resolutions: Set(resolutions)
        )
    }

    /// Some of the instrument's latest bars of the finest interval that its usual price has.
    private func latest(of found: InstrumentDescription) async throws -> BarSeries {
        let sides = Set(found.series.map(\.key.side))
        let price = try BarPlan.price(nil, sides)
        let usual = BarPlan.sides(of: price)
        guard let finest = found.series.filter({ usual.contains($0.key.side) }).map(\.key.intervalSeconds).min() else { return .empty }
        let request = BarRequest(symbol: found.instrument.symbol, interval: BarInterval(seconds: finest), countback: 100, limit: 100)
        return try await reader.read(request).bars
    }

    /// Instruments whose symbol holds a text, of a type and an exchange as the library names them.
    func search(_ text: String, type: String?, exchange: String?, limit: Int) async throws -> [Instrument] {
        guard text.utf8.count <= 64, text.unicodeScalars.allSatisfy({ $0.value >= 32 }) else { return [] }
        // The library asks in capitals, and by the whole name where it knows one.
        let part = Self.symbol(in: text)
        let assetClass = type.flatMap { type in AssetClass.allCases.first { UDFAnswer.type(of: $0) == type } }
        if type != nil, assetClass == nil { return [] }
        var found: [Instrument] = []
        var after: String?
        var looked = 0
        while found.count < limit, looked < 10_000 {
            let page = try await store.instruments(after: after, containing: part.isEmpty ? nil : part, assetClass: assetClass, limit: 200)
            for one in page where found.count < limit {
                if let exchange, UDFAnswer.exchange(one) != exchange.uppercased() { continue }
                found.append(one)
            }
            looked += page.count
            guard page.count == 200 else { break }
            after = page.last?.symbol
        }
        return found
    }

    func description(_ text: String) async throws -> InstrumentDescription {
        let symbol = Self.symbol(in: text)
        guard InstrumentSymbol.canExist(symbol), let found = try await store.description(of: symbol) else {
            throw MarketdataError.unknownInstrument(text)
        }
        // A name of another exchange is not this instrument's.
        if let colon = text.firstIndex(of: ":"), text[..<colon].uppercased() != UDFAnswer.exchange(found.instrument) {
            throw MarketdataError.unknownInstrument(text)
        }
        return found
    }

    /// The symbol in a name as the library sends it: in capitals, perhaps after the exchange's name and a colon.
    private static func symbol(in text: String) -> String {
        let name = text.firstIndex(of: ":").map { text[text.index(after: $0)...] } ?? text[...]
        let capitals = name.uppercased()
        guard let mark = capitals.firstRange(of: "@REPLAY-") else { return capitals }
        return capitals.replacingCharacters(in: mark)
    }

    // MARK: Bars

    func history(_ text: String, _ interval: BarInterval, _ range: Range) async throws -> History {
        let found = try await description(text)
        let calendar = try await calendars.calendar(named: found.instrument.calendar)
        var request = BarRequest(symbol: found.instrument.symbol, interval: interval)
        // What the session's text says is what is shown.
        request.session = .regular
        let plan = try BarPlan(request, instrument: found.instrument, calendar: calendar, series: found.series, asOf: .max)
        // Days begin where the bars' own days do: with the exchange's, or at midnight UTC.
        let clock = try TradingClock(plan.anchor == .session ? calendar : CalendarCatalogue.alwaysOpen)
        let from = Self.instant(range.from, interval, clock)
        request.end = Self.instant(range.to, interval, clock)
        // The bar that still runs stands at the right edge.
        request.partial = true
        if let countback = range.countback {
            request.countback = countback
            request.limit = countback
        } else {
            guard let end = request.end, from < end else { return .none(nextTime: try await time(before: from, request, clock)) }
            request.start = from
            request.limit = Self.maximumBars
        }
        let answer = try await reader.read(request)
        guard answer.nextStart == nil else { throw Self.tooMany }
        if answer.bars.isEmpty {
            // Nothing at all before the end: then there is nothing older either.
            return .none(nextTime: range.countback == nil ? try await time(before: from, request, clock) : nil)
        }
        return .bars(answer.bars, times: answer.bars.starts.map { Self.time(of: $0, interval, clock) })
    }

    private func time(before instant: Timestamp, _ request: BarRequest, _ clock: TradingClock) async throws -> Int64? {
        var earlier = request
        earlier.start = nil
        earlier.end = instant
        earlier.countback = 1
        earlier.limit = 1
        return try await reader.read(earlier).bars.starts.last.map { Self.time(of: $0, request.interval, clock) }
    }

    /// The library's time of a bar, in seconds.
    private static func time(of start: Int64, _ interval: BarInterval, _ clock: TradingClock) -> Int64 {
        interval.isDaily ? clock.tradingDate(of: start).seconds : floorDivide(start, 1_000_000)
    }

    /// The first start whose library time is not before a number of seconds.
    private static func instant(_ seconds: Int64, _ interval: BarInterval, _ clock: TradingClock) -> Timestamp {
        guard interval.isDaily else { return Timestamp(microseconds: seconds * 1_000_000) }
        return Timestamp(microseconds: clock.beginning(of: CivilDay(number: Int(floorDivide(seconds + 86_399, 86_400)))))
    }

    static var tooMany: Problem {
        var problem = Problem.unprocessable(
            code: "too_many_bars",
            detail:
                "There are more than \(maximumBars) bars from from to to, the most that one request may ask for: countback or a longer resolution would be right.",
            field: "from"
        )
        problem.extra["maximum_bars"] = .integer(Int64(maximumBars))
        return problem
    }
}

extension String {
    /// The symbol of a replay, whose mark is in small letters.
    fileprivate func replacingCharacters(in mark: Swift.Range<String.Index>) -> String {
        self[..<mark.lowerBound] + self[mark].lowercased() + self[mark.upperBound...]
    }
}
