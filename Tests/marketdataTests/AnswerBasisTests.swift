import Bars
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// What an answer depends on is in the key under which the reader remembers it, and in the mark by which a chart knows its answer again.
@Suite struct AnswerBasisTests {
    private static let noon = at("2026-03-02T12:00:00Z").microseconds
    private static let bitcoin = coin("BTCUSD", id: InstrumentID("01920000-0000-7000-8000-000000000001") ?? .make())

    private static func plan(
        _ change: (inout BarRequest) -> Void = { _ in },
        of instrument: Instrument = bitcoin,
        seconds: [Int] = [60]
    ) throws -> BarPlan {
        var request = BarRequest(symbol: "BTCUSD", interval: .seconds(300))
        change(&request)
        let day = CivilDay(utcMicroseconds: noon)
        let series = seconds.flatMap { seconds in
            [PriceSide.trade, .bid].map { side in
                StoredSeries(
                    key: SeriesKey(intervalSeconds: seconds, side: side, origin: .imported),
                    firstDay: day,
                    lastDay: day,
                    firstEnd: day.seconds * 1_000_000
                )
            }
        }
        return try BarPlan(request, instrument: instrument, calendar: CalendarCatalogue.alwaysOpen, series: series, asOf: .max)
    }

    /// A day that a feed tells of, as of a moment in its middle.
    private static func basis() throws -> AnswerBasis {
        let series = SeriesKey(intervalSeconds: 60, side: .trade, origin: .imported)
        let row = LiveDay.Row(start: noon, end: noon + 60_000_000, version: 0, knownAt: noon + 61_000_000, prices: nil)
        return AnswerBasis(
            plan: try plan(),
            view: KnowledgeView(source: bitcoin, cut: noon, recordedBy: noon),
            calendar: "one",
            infos: [
                ChunkInfo(
                    key: ChunkKey(instrumentID: bitcoin.id, series: series, day: CivilDay(utcMicroseconds: noon), revision: 2),
                    edition: 1,
                    rows: 10,
                    firstEnd: noon - 600_000_000,
                    lastEnd: noon + 60_000_000,
                    coverage: (noon - 600_000_000)..<(noon + 60_000_000),
                    live: ChunkInfo.LivePart(sealedThrough: noon, tail: [row], isFollowed: false)
                )
            ]
        )
    }

    private func names(_ value: Any) -> Set<String> { Set(Mirror(reflecting: value).children.compactMap(\.label)) }

    private static let question = ChartQuestion(
        symbol: "BTCUSD",
        interval: .seconds(300),
        range: (try? ChartRange(start: "2026-03-01", end: "2026-03-03")) ?? { preconditionFailure() }()
    )
    private static let range = at("2026-03-01T00:00:00Z")..<at("2026-03-04T00:00:00Z")

    private func keys(_ basis: AnswerBasis) -> [SHA256Digest] {
        let request = BarRequest(symbol: "BTCUSD", interval: .seconds(300))
        return [
            basis.key(of: request, adjustment: nil, isLast: false), ChartMarks.digest(Self.question, Self.range, basis),
        ]
    }

    @Test func everyPartIsInBothKeys() throws {
        let basis = try Self.basis()
        let changes: [(String, (inout AnswerBasis) throws -> Void)] = [
            ("instrument", { $0.view.source = coin("BTCUSD") }), ("moment", { $0.view.cut += 1 }), ("recorded", { $0.view.recordedBy += 1 }),
            ("calendar", { $0.calendar = "another" }), ("interval", { $0.plan = try Self.plan { $0.interval = .seconds(600) } }),
            ("price", { $0.plan = try Self.plan { $0.price = .bid } }), ("session", { $0.plan = try Self.plan { $0.session = .regular } }),
            ("anchor", { $0.plan = try Self.plan { $0.anchor = .epoch } }), ("intervals", { $0.plan = try Self.plan(seconds: [60, 300]) }),
            ("volumes", { $0.plan = try Self.plan({ $0.price = .bid }, of: listed("BTCUSD", .forex, CalendarCatalogue.alwaysOpen)) }),
            ("day", { $0.infos[0].key.day = $0.infos[0].key.day + 1 }), ("length", { $0.infos[0].key.series.intervalSeconds = 300 }),
            ("side", { $0.infos[0].key.series.side = .mid }), ("origin", { $0.infos[0].key.series.origin = .derived }),
            ("revision", { $0.infos[0].key.revision += 1 }), ("tail", { $0.infos[0].live?.tail += basis.infos[0].live?.tail ?? [] }),
            ("last moment", { $0.infos[0].live?.tail[0].knownAt += 1 }), ("followed", { $0.infos[0].live?.isFollowed = true }),
            ("history", { $0.infos[0].live = nil }), ("chunks", { $0.infos += $0.infos }), ("no chunk", { $0.infos = [] }),
        ]
        for (name, change) in changes {
            var changed = basis
            try change(&changed)
            for (key, other) in zip(keys(basis), keys(changed)) { #expect(key != other, "\(name)") }
        }
        // Whoever adds to these says above, and in `AnswerBasis`, what answers depend on.
        #expect(names(basis) == ["plan", "view", "calendar", "infos"])
        #expect(names(basis.view) == ["source", "cut", "recordedBy"])
        #expect(names(basis.plan) == ["interval", "price", "session", "anchor", "grid", "filter", "intervals", "sides", "addsVolumes"])
        #expect(names(basis.infos[0]) == ["key", "edition", "rows", "firstEnd", "lastEnd", "coverage", "live", "isBeforeFeed"])
        #expect(names(basis.infos[0].key) == ["instrumentID", "series", "day", "revision"])
        #expect(names(try #require(basis.infos[0].live)) == ["sealedThrough", "tail", "isFollowed"])
    }

    @Test func everyPartOfAQuestionIsInTheKeyOrInWhatItRestsOn() throws {
        let basis = try Self.basis()
        let request = BarRequest(symbol: "BTCUSD", interval: .seconds(300), end: at("2026-03-03T00:00:00Z"))
        let key = basis.key(of: request, adjustment: nil, isLast: false)
        let changes: [String: (inout BarRequest) -> Void] = [
            "start": { $0.start = Timestamp(microseconds: -1) }, "end": { $0.end = Timestamp(microseconds: -1) }, "countback": { $0.countback = -1 },
            "limit": { $0.limit += 1 }, "partial": { $0.partial.toggle() },
        ]
        for (name, change) in changes {
            var changed = request
            change(&changed)
            #expect(basis.key(of: changed, adjustment: nil, isLast: false) != key, "\(name)")
        }
        var endless = request
        endless.end = nil
        #expect(basis.key(of: endless, adjustment: nil, isLast: false) != key)
        #expect(basis.key(of: request, adjustment: nil, isLast: true) != key)
        let split = AdjustmentView(.split, actions: [], clock: try TradingClock(CalendarCatalogue.alwaysOpen), cut: .max)
        #expect(basis.key(of: request, adjustment: split, isLast: false) != key)
        // These choose the instrument, the plan, the view or the adjustment; empty intervals are filled in what was remembered.
        let elsewhere = ["symbol", "interval", "asOf", "revisionsAsOf", "symbolAt", "session", "anchor", "price", "adjustment", "fillsForward"]
        #expect(names(request) == Set(changes.keys).union(elsewhere))
    }

    @Test func everyPartOfAChartsQuestionIsInItsMark() throws {
        let basis = try Self.basis()
        let mark = ChartMarks.digest(Self.question, Self.range, basis)
        var other = Self.question
        other.symbol = "BTCUSD@replay-1"
        #expect(ChartMarks.digest(other, Self.range, basis) != mark)
        let (from, to) = (Self.range.lowerBound, Self.range.upperBound)
        #expect(ChartMarks.digest(Self.question, (from + .microseconds(1))..<to, basis) != mark)
        #expect(ChartMarks.digest(Self.question, from..<(to + .microseconds(1)), basis) != mark)
        // The interval is the plan's. Of all else that can be asked a chart leaves everything as it is unless told, so a mark need not hold it.
        var request = Self.question.request(Self.range, points: 7)
        #expect(names(Self.question) == ["symbol", "interval", "range"])
        (request.start, request.end, request.countback, request.limit) = (nil, nil, nil, BarRequest(symbol: "", interval: .days(1)).limit)
        #expect(request == BarRequest(symbol: Self.question.symbol, interval: Self.question.interval))
    }

    @Test func everyPartOfACalendarIsInItsFingerprint() {
        let calendar = CalendarCatalogue.usEquity
        let day = CivilDay(year: 2026, month: 3, day: 2)
        let changes: [String: (inout ExchangeCalendar) -> Void] = [
            "name": { $0.name = "x" }, "timeZone": { $0.timeZone = "UTC" }, "boundarySeconds": { $0.boundarySeconds = -3_600 },
            "regular": { $0.regular[2] = nil }, "extended": { $0.extended[2] = nil }, "holidays": { $0.holidays.insert(day) },
            "earlyCloses": { $0.earlyCloses[day] = 46_800 }, "lateOpens": { $0.lateOpens[day] = 46_800 },
            "breaks": { $0.breaks = Array(repeating: nil, count: 7) },
        ]
        #expect(names(calendar) == Set(changes.keys))
        #expect(KnownCalendar(calendar).fingerprint == KnownCalendar(calendar).fingerprint)
        for (name, change) in changes {
            var changed = calendar
            change(&changed)
            #expect(KnownCalendar(changed).fingerprint != KnownCalendar(calendar).fingerprint, "\(name)")
        }
    }

    // MARK: Read

    /// Half hours of a stock from the opening on.
    private func stock(_ bench: Bench) async throws {
        let halves = times(from: "2014-06-05T13:30:00Z", to: "2014-06-05T20:00:00Z", every: 1_800)
        let options = ImportOptions(symbol: "XYZ", timeZone: "UTC", assetClass: .equity)
        _ = try await bench.importer.run(Array(rows(at: halves).utf8), path: "XYZ.csv", options: options)
    }

    private static let stockDay: BarRequest = {
        var request = BarRequest(symbol: "XYZ", interval: .seconds(3_600), start: at("2014-06-05T00:00:00Z"), end: at("2014-06-06T00:00:00Z"))
        request.session = .regular
        return request
    }()

    @Test func aHalfDayThatBecomesKnownLateIsNotHiddenByARememberedAnswer() async throws {
        let time = ManualTimeSource(.now())
        let store = MemoryMarketdataStore()
        let bench = try Bench(store, time: time, results: CountingCache())
        try await stock(bench)
        let before = try await bench.reader.read(Self.stockDay)
        #expect(before.bars.count == 7)
        var calendar = CalendarCatalogue.usEquity
        calendar.earlyCloses[CivilDay(year: 2014, month: 6, day: 5)] = 13 * 3_600
        try await store.save([calendar])
        time.advance(by: .seconds(61))
        let after = try await bench.reader.read(Self.stockDay)
        #expect(after.bars == (try await Bench(store).reader.read(Self.stockDay)).bars)
        #expect(after.bars.count == 4)
    }

    @Test func aSeriesThatMovesTheGridIsNotHiddenByARememberedAnswer() async throws {
        let store = MemoryMarketdataStore()
        let bench = try Bench(store, results: CountingCache())
        try await stock(bench)
        let before = try await bench.reader.read(Self.stockDay)
        // Hours of another day, from the full hour on, do not fit an opening at half past.
        let hours = times(from: "2014-06-19T13:00:00Z", to: "2014-06-19T20:00:00Z", every: 3_600)
        let options = ImportOptions(symbol: "XYZ", timeZone: "UTC", assetClass: .equity)
        _ = try await bench.importer.run(Array(rows(at: hours).utf8), path: "XYZ.csv", options: options)
        let after = try await bench.reader.read(Self.stockDay)
        #expect(after.bars == (try await Bench(store).reader.read(Self.stockDay)).bars)
        #expect(after.bars != before.bars)
        // Who insists on the opening is told which part of the question does not fit.
        var anchored = Self.stockDay
        (anchored.anchor, anchored.start, anchored.end) = (.session, at("2014-06-19T00:00:00Z"), at("2014-06-20T00:00:00Z"))
        anchored.interval = .seconds(7_200)
        #expect(try await bench.reader.read(anchored).bars.isEmpty)
        let alone = try Bench(MemoryMarketdataStore())
        _ = try await alone.importer.run(Array(rows(at: hours).utf8), path: "XYZ.csv", options: options)
        let refused = await #expect(throws: MarketdataError.self) { try await alone.reader.read(anchored) }
        let problem = refused?.problem
        #expect(problem?.code == "anchor_not_available" && problem?.field == "anchor" && problem?.detail.contains("1h") == true)
    }
}
