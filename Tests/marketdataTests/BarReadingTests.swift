import Bars
import Contracts
import HTTPServing
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// However long the way is that a question leads, little of it is held at once, and the answer is the same.
@Suite struct BarReadingTests {
    /// Sixteen days of minutes with holes, a day of the vendor's own hours among them.
    private func filled(_ limits: ReadLimits, store: MemoryMarketdataStore = MemoryMarketdataStore()) async throws -> Bench {
        let bench = try Bench(store, limits: limits)
        guard try await store.instrument(symbol: "BTCUSD") == nil else { return bench }
        for day in 0..<16 {
            // Scattered, as trades are: in a regular pattern another distance than a minute could be the most frequent.
            let holes = Set((0..<1_440).filter { (($0 + day * 1_440) * 2_654_435_761 % 4_294_967_296) >> 8 % 11 < day % 9 })
            let start = (at("2016-10-03T00:00:00Z") + .seconds(86_400 * day)).iso8601
            try await bench.take(
                minutes(from: String(start.prefix(19)) + "Z", count: 1_440, first: 1_000 * (day + 1), skipping: holes),
                as: "BTCUSD.csv"
            )
        }
        var hours = "time,open,high,low,close,volume\n"
        for hour in 0..<24 { hours += "2016-10-07 \(hour < 10 ? "0" : "")\(hour):00:00,7,9,5,\(6 + hour % 3),1.\(hour)\n" }
        try await bench.take(hours, as: "BTCUSD.csv")
        return bench
    }

    @Test(arguments: ["1m", "7m", "1h", "5h", "1d", "2d", "1w", "1M"], ["session", "clock", "epoch"])
    func runsOfADayGiveWhatTheWholeGives(interval: String, anchor: String) async throws {
        let store = MemoryMarketdataStore()
        var small = ReadLimits()
        small.runRows = 1
        let whole = try await filled(ReadLimits(runRows: .max), store: store)
        let byDay = try await filled(small, store: store)
        for partial in [false, true] {
            for asOf in ["2016-10-11T09:41:00Z", "2016-10-20T00:00:00Z"] {
                var request = BarRequest(symbol: "BTCUSD", interval: try BarInterval(text: interval))
                request.anchor = BarAnchor(rawValue: anchor)
                request.partial = partial
                request.asOf = at(asOf)
                request.countback = 50_000
                request.limit = 50_000
                let all = try await whole.reader.read(request)
                #expect(try await byDay.reader.read(request).response(.binary).bodyBytes == all.response(.binary).bodyBytes)
                // The last few alone, put together of stretches that were read one before the other.
                for count in [1, 2, 5, 40, 700] where count < all.bars.count {
                    request.countback = count
                    let some = try await byDay.reader.read(request)
                    #expect(some.bars == all.bars.slice(all.bars.count - count..<all.bars.count))
                    #expect(some.lastIsPartial == all.lastIsPartial)
                    #expect(try await whole.reader.read(request).dataSHA256 == some.dataSHA256)
                }
                // Page after page.
                request.countback = nil
                request.limit = max(3, all.bars.count / 5)
                request.start = at("2016-10-01T00:00:00Z")
                var pages: [BarSeries] = []
                while let start = request.start, pages.count < 9 {
                    request.start = start
                    let page = try await byDay.reader.read(request)
                    pages.append(page.bars)
                    request.start = page.nextStart.map { Timestamp(microseconds: $0) }
                }
                let paged = try BarSeries.concatenate(pages)
                #expect(paged == all.bars || (paged.isEmpty && all.bars.isEmpty))
            }
        }
    }

    @Test func runsHoldADayOrAboutThatMany() {
        func day(_ number: Int, rows: Int) -> DayChoice {
            let series = SeriesKey(intervalSeconds: 1, side: .trade, origin: .imported)
            let key = ChunkKey(instrumentID: .make(), series: series, day: CivilDay(number: number), revision: 1)
            return .one(ChunkInfo(key: key, edition: 1, rows: rows, firstEnd: 0, lastEnd: 0, coverage: 0..<1))
        }
        let limits = ReadLimits(runRows: 90_000)
        #expect(limits.runs(of: []).isEmpty)
        #expect(limits.runs(of: (0..<5).map { day($0, rows: 86_400) }).map(\.count) == [1, 1, 1, 1, 1])
        #expect(limits.runs(of: [day(0, rows: 200_000), day(1, rows: 10), day(2, rows: 10)]).map(\.count) == [1, 2])
        #expect(limits.runs(of: (0..<900).map { day($0, rows: 1) }).map(\.count) == [400, 400, 100])
    }

    @Test(arguments: [nil, "2016-10-03T00:00:00Z"]) func aLongQuestionHoldsFewRowsAtOnce(start: String?) async throws {
        let store = MemoryMarketdataStore()
        let bench = try await filled(ReadLimits(runRows: 3_000), store: store)
        let bars = try await bench.closes("BTCUSD", "1d") {
            $0.countback = start == nil ? 16 : nil
            $0.start = start.map { at($0) }
            $0.asOf = at("2016-10-20T00:00:00Z")
        }
        #expect(bars.count == 16)
        #expect((1_000...3_000).contains(store.mostRowsAtOnce))
    }

    @Test func whatWouldReadTooMuchIsRefusedWithWhatWouldBeRight() async throws {
        let bench = try await filled(ReadLimits(baseRows: 6_000, runRows: 1_500))
        func refusal(_ change: (inout BarRequest) -> Void) async throws -> Problem? {
            var request = BarRequest(symbol: "BTCUSD", interval: .days(1))
            request.asOf = at("2016-10-20T00:00:00Z")
            change(&request)
            do { _ = try await bench.reader.read(request) } catch let error as MarketdataError { return error.problem }
            return nil
        }
        let backward = try #require(try await refusal { $0.countback = 12 })
        #expect(backward.status == .unprocessable)
        #expect(backward.code == "too_many_base_rows")
        #expect(backward.field == "countback")
        #expect(backward.extra["maximum_base_rows"] == .integer(6_000))
        #expect(backward.detail.contains("6000"))
        // What it says would be right is.
        let most = try #require(backward.detail.split { !$0.isNumber }.compactMap { Int($0) }.last)
        #expect(most >= 1 && most < 12)
        #expect(try await refusal { $0.countback = most } == nil)
        let forward = try #require(try await refusal { $0.start = at("2016-10-03T00:00:00Z") })
        #expect(forward.field == "limit")
        #expect(
            try await refusal {
                $0.start = at("2016-10-03T00:00:00Z"); $0.limit = 2
            } == nil
        )
        #expect(
            try await refusal {
                $0.start = at("2016-10-03T00:00:00Z"); $0.end = at("2016-10-04T00:00:00Z")
            } == nil
        )
        var month = BarRequest(symbol: "BTCUSD", interval: .months(1), countback: 1)
        month.asOf = at("2016-10-20T00:00:00Z")
        month.partial = true
        await #expect(throws: MarketdataError.self) { try await bench.reader.read(month) }
    }

    @Test func theSameQuestionIsAnsweredOnceForAllWhoAskAtTheSameTime() async throws {
        let cache = GatedCache()
        let bench = try Bench(MemoryMarketdataStore(), results: cache)
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 60), as: "BTCUSD.csv")
        let answers = try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<5 { group.addTask { try await bench.closes("BTCUSD", "20m") } }
            // The first one is held up while it looks whether the answer is remembered; nobody else comes so far.
            try await cache.asked.next()
            try await eventually("the others wait for it") { bench.reader.followers == 4 }
            cache.open()
            return try await group.reduce(into: [[String]]()) { $0.append($1) }
        }
        #expect(answers == Array(repeating: ["119.25", "139.25", "159.25"], count: 5))
        #expect(cache.lookups == 1)
    }

    @Test func historyThatComesLaterIsNotHiddenByARememberedAnswer() async throws {
        let bench = try Bench(MemoryMarketdataStore(), results: CountingCache())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 10), as: "BTCUSD.csv")
        #expect(try await bench.closes("BTCUSD", "5m") == ["104.25", "109.25"])
        // Far beyond the days that were looked at.
        try await bench.take(minutes(from: "2016-09-10T00:00:00Z", count: 5, first: 50), as: "BTCUSD.csv")
        #expect(try await bench.closes("BTCUSD", "5m") == ["54.25", "104.25", "109.25"])
    }

    @Test func heavyReadsWaitForTheirTurnAndAreRefusedInTheEnd() async throws {
        let time = ManualTimeSource(at("2026-01-01T00:00:00Z"))
        let waits = TestSignal<Int>()
        let gate = ReadGate(limits: ReadLimits(heavyReads: 1, heavyReadsWaiting: 1), time: time) { waits.signal($0) }
        try await gate.enter()
        async let second: Void = gate.enter()
        #expect(try await waits.next() == 1)
        #expect(try await time.fellAsleep.next() == .seconds(5))
        await #expect(throws: MarketdataError.tooManyHeavyReads) { try await gate.enter() }
        gate.leave()
        try await second
        #expect(gate.load == (1, 0))
        let third = Task(on: TestLoop.shared) { try await gate.enter() }
        #expect(try await waits.next() == 1)
        #expect(try await time.fellAsleep.next() == .seconds(5))
        time.advance(by: .seconds(5))
        await #expect(throws: MarketdataError.tooManyHeavyReads) { try await third.value }
        let fourth = Task(on: TestLoop.shared) { try await gate.enter() }
        #expect(try await waits.next() == 1)
        fourth.cancel()
        await #expect(throws: CancellationError.self) { try await fourth.value }
        gate.leave()
        #expect(gate.load == (0, 0))
        let problem = MarketdataError.tooManyHeavyReads.problem
        #expect(problem.status == .tooManyRequests)
        #expect(problem.headers["Retry-After"] == "2")
    }

    @Test func aHeavyReadGivesItsPlaceBackWhateverHappens() async throws {
        let bench = try await filled(ReadLimits(baseRows: 12_000, heavyRows: 2_000, heavyReads: 1))
        for _ in 0..<3 {
            #expect(
                try await bench.closes("BTCUSD", "1d") {
                    $0.countback = 5; $0.asOf = at("2016-10-20T00:00:00Z")
                }.count == 5
            )
            await #expect(throws: MarketdataError.self) {
                try await bench.closes("BTCUSD", "1d") {
                    $0.countback = 16; $0.asOf = at("2016-10-20T00:00:00Z")
                }
            }
        }
        #expect(bench.reader.heavyLoad() == (0, 0))
    }
}

@Suite struct SingleFlightTests {
    private struct Broken: Error {}

    @Test func oneMakesItForAll() async throws {
        let flights = SingleFlight<String, Int>()
        let (begun, go) = (TestSignal<Void>(), TestSignal<Void>())
        let made = Noted<Int>()
        let all = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await flights.value(for: "a") {
                        begun.signal()
                        try await go.next()
                        return made.add([1]).count
                    }
                }
            }
            try await begun.next()
            try await eventually("three wait") { flights.followers == 3 }
            go.signal()
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(all == [1, 1, 1, 1])
        #expect(flights.underWay == 0)
    }

    @Test func anotherMakesItWhenTheFirstGoesAway() async throws {
        let flights = SingleFlight<String, Int>()
        let (begun, never) = (TestSignal<Void>(), TestSignal<Void>())
        let first = Task(on: TestLoop.shared) {
            try await flights.value(for: "a") {
                begun.signal()
                try await never.next()
                return 1
            }
        }
        try await begun.next()
        let second = Task(on: TestLoop.shared) { try await flights.value(for: "a") { 2 } }
        let third = Task(on: TestLoop.shared) { try await flights.value(for: "a") { 3 } }
        try await eventually("two wait") { flights.followers == 2 }
        third.cancel()
        await #expect(throws: CancellationError.self) { try await third.value }
        first.cancel()
        #expect(try await second.value == 2)
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(flights.underWay == 0)
    }

    @Test func aFailureIsEverybodysAndNothingIsKept() async throws {
        let flights = SingleFlight<String, Int>()
        let (begun, go) = (TestSignal<Void>(), TestSignal<Void>())
        let first = Task(on: TestLoop.shared) {
            try await flights.value(for: "a") {
                begun.signal()
                try await go.next()
                throw Broken()
            }
        }
        try await begun.next()
        let second = Task(on: TestLoop.shared) { try await flights.value(for: "a") { 2 } }
        try await eventually("one waits") { flights.followers == 1 }
        go.signal()
        await #expect(throws: Broken.self) { try await first.value }
        await #expect(throws: Broken.self) { try await second.value }
        #expect(try await flights.value(for: "a") { 3 } == 3)
    }

    @Test func twoWhoWantEachOthersKeysBothGetThem() async throws {
        let flights = SingleFlight<Int, Int>()
        let asked = Noted<Int>()
        let (begun, go) = (TestSignal<Void>(), TestSignal<Void>())
        let first = Task(on: TestLoop.shared) {
            try await flights.values(for: [1, 2]) { keys in
                begun.signal()
                try await go.next()
                _ = asked.add(keys)
                return Dictionary(uniqueKeysWithValues: keys.map { ($0, $0 * 10) })
            }
        }
        try await begun.next()
        let second = Task(on: TestLoop.shared) {
            try await flights.values(for: [3, 2, 1]) { keys in
                _ = asked.add(keys)
                return Dictionary(uniqueKeysWithValues: keys.map { ($0, $0 * 10) })
            }
        }
        try await eventually("the second waits") { flights.followers == 1 }
        go.signal()
        #expect(try await first.value == [1: 10, 2: 20])
        #expect(try await second.value == [1: 10, 2: 20, 3: 30])
        #expect(asked.all.sorted() == [1, 2, 3])
    }
}

/// What several tasks note down.
private final class Noted<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])

    var all: [Value] { values.withLock { $0 } }

    func add(_ more: [Value]) -> [Value] {
        values.withLock { values in
            values += more
            return values
        }
    }
}
