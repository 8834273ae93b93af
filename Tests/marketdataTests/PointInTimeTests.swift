import Bars
import Contracts
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite(.enabled(if: TestServers.hasPostgres)) struct PointInTimeReadTests {
    /// Two worlds that agree on everything before the moment and on nothing from it on: the answers must be the same bytes.
    @Test(arguments: ["1m", "5m", "1h", "1d", "1w"], [false, true])
    func whatHappensLaterChangesNothing(interval: String, partial: Bool) async throws {
        let moment = at("2016-10-10T12:03:00Z")
        var answers: [[UInt8]] = []
        let id = InstrumentID.make()
        for world in 0..<2 {
            try await withStore(.postgres) { store in
                let bench = try Bench(store)
                try await store.create(coin("BTCUSD", id: id))
                try await bench.take(minutes(from: "2016-10-06T00:00:00Z", count: 4 * 1_440 + 723, skipping: [7, 60, 61]), as: "BTCUSD.csv")
                if world == 1 {
                    // From the moment on: other prices, other holes, another day, another series, and a correction of yesterday.
                    try await bench.take(minutes(from: "2016-10-10T12:03:00Z", count: 900, first: 9_000, skipping: [3]), as: "BTCUSD.csv")
                    try await bench.take(minutes(from: "2016-10-12T00:00:00Z", count: 90), as: "BTCUSD.csv")
                    try await bench.take(minutes(from: "2016-10-09T10:00:00Z", count: 30, first: 1), as: "BTCUSD.csv")
                    let hours = "time,open,high,low,close,volume\n2016-10-10 12:00:00,1,2,1,2,5\n2016-10-10 13:00:00,1,2,1,2,5\n"
                    try await bench.take(hours, as: "BTCUSD.csv")
                    try await bench.take(hours, as: "FOREX_BTCUSD_ASK.csv", symbol: "BTCUSD")
                } else {
                    try await bench.take(minutes(from: "2016-10-10T12:03:00Z", count: 5, first: 4), as: "BTCUSD.csv")
                }
                for countback in [1, 40, 20_000] {
                    var request = BarRequest(symbol: "BTCUSD", interval: try BarInterval(text: interval))
                    request.asOf = moment
                    request.partial = partial
                    request.countback = countback
                    request.limit = 50_000
                    let answer = try await bench.reader.read(request)
                    #expect(answer.bars.ends.allSatisfy { $0 <= moment.microseconds } || partial)
                    answers.append(answer.response(.binary).bodyBytes + Array(answer.dataSHA256.hex.utf8))
                    request.countback = nil
                    request.start = at("2016-10-06T03:00:00Z")
                    let forward = try await bench.reader.read(request)
                    answers.append(forward.response(.binary).bodyBytes)
                }
            }
        }
        #expect(answers.count == 12)
        for index in 0..<6 {
            let isSame = answers[index] == answers[index + 6]
            #expect(isSame, "answer \(index) differs")
        }
    }

    @Test(arguments: StoreKind.allCases) func aCorrectionIsKnownFromItsRecordingOn(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 3), as: "BTCUSD.csv")
            let before = Timestamp.now()
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 3, first: 500), as: "BTCUSD.csv")
            #expect(try await bench.closes("BTCUSD", "1m") == ["500.25", "501.25", "502.25"])
            #expect(try await bench.closes("BTCUSD", "1m") { $0.revisionsAsOf = before } == ["100.25", "101.25", "102.25"])
            #expect(try await bench.closes("BTCUSD", "1m") { $0.asOf = at("2016-10-08T00:02:00Z") } == ["100.25", "101.25"])
            #expect(try await bench.closes("BTCUSD", "1m") { $0.asOf = before } == ["100.25", "101.25", "102.25"])
        }
    }

    @Test func longerBarsCloseAtTheirOwnEndOnly() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 12), as: "BTCUSD.csv")
        #expect(try await bench.closes("BTCUSD", "5m") { $0.asOf = at("2016-10-08T00:09:00Z") } == ["104.25"])
        #expect(try await bench.closes("BTCUSD", "5m") { $0.asOf = at("2016-10-08T00:10:00Z") } == ["104.25", "109.25"])
        var request = BarRequest(symbol: "BTCUSD", interval: .seconds(300))
        request.asOf = at("2016-10-08T00:09:00Z")
        request.partial = true
        let answer = try await bench.reader.read(request)
        #expect(answer.bars.count == 2)
        #expect(answer.lastIsPartial)
        #expect(answer.bars.close.text(at: 1) == "108.25")
        #expect(answer.bars.volume?.text(at: 0) == "1.5")
    }

    @Test func pagesAndCountsFollowOneAnother() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        for day in 0..<9 {
            try await bench.take(minutes(from: "2016-10-\(11 + day)T00:00:00Z", count: 1_440, first: 1_000 * day + 1), as: "BTCUSD.csv")
        }
        let all = try await bench.closes("BTCUSD", "7m") {
            $0.countback = 50_000; $0.limit = 50_000
        }
        #expect(all.count == 9 * 206)
        var paged: [String] = []
        var next: Timestamp? = at("2016-10-01T00:00:00Z")
        while let start = next {
            var request = BarRequest(symbol: "BTCUSD", interval: .seconds(420))
            request.start = start
            request.limit = 100
            let answer = try await bench.reader.read(request)
            paged += (0..<answer.bars.count).map { answer.bars.close.text(at: $0) ?? "-" }
            next = answer.nextStart.map { Timestamp(microseconds: $0) }
        }
        #expect(paged == all)
        let last = try await bench.closes("BTCUSD", "7m") { $0.countback = 300 }
        #expect(last == Array(all.suffix(300)))
        let ended = try await bench.closes("BTCUSD", "7m") {
            $0.countback = 2; $0.end = at("2016-10-12T00:00:00Z")
        }
        #expect(ended == Array(all[204..<206]))
    }

    /// Counting back from an opening: the day of the opening has bars enough, but none of them count.
    @Test(arguments: ["30m", "1h", "1d", "1w", "1M"], [SessionKind.regular, .all]) func countingBackGoesOverTheOpeningOfADay(
        interval: String,
        session: SessionKind
    ) async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.store.create(listed("SPY", .equity, CalendarCatalogue.usEquity))
        var bars: [Timestamp] = []
        for day in [12, 13, 14, 15, 16, 19, 20, 21, 23, 26, 27, 28] {
            bars += times(from: "2018-11-\(day)T14:30:00Z", to: day == 23 ? "2018-11-23T18:00:00Z" : "2018-11-\(day)T21:00:00Z", every: 1_800)
        }
        try await bench.take(rows(at: bars), as: "SPY.csv")
        var whole = BarRequest(symbol: "SPY", interval: try BarInterval(text: interval))
        whole.session = session
        whole.start = at("2018-11-01T00:00:00Z")
        let all = try await bench.reader.read(whole).bars
        for day in [13, 16, 19, 22, 23, 24, 26, 28] {
            for end in ["00:00", "05:00", "14:30", "14:31", "15:00", "21:00"] {
                for countback in [1, 3, 40] {
                    var request = whole
                    request.start = nil
                    request.end = at("2018-11-\(day)T\(end):00Z")
                    request.countback = countback
                    let expected = all.starts.filter { $0 < request.end?.microseconds ?? 0 }.suffix(countback)
                    #expect(try await bench.reader.read(request).bars.starts == Array(expected), "\(day) \(end) \(countback)")
                    // With a start as well, none that begins earlier.
                    request.start = at("2018-11-19T15:00:00Z")
                    let later = expected.filter { $0 >= request.start?.microseconds ?? 0 }
                    #expect(try await bench.reader.read(request).bars.starts == later, "\(day) \(end) \(countback)")
                }
            }
        }
    }

    @Test func answersAreRememberedUnderTheRevisionsTheyWereMadeOf() async throws {
        let cache = CountingCache()
        let bench = try Bench(MemoryMarketdataStore(), results: cache)
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 12), as: "BTCUSD.csv")
        let first = try await bench.closes("BTCUSD", "5m")
        #expect(try await bench.closes("BTCUSD", "5m") == first)
        #expect(cache.hits == 1)
        #expect(try await bench.closes("BTCUSD", "5m") { $0.asOf = at("2016-10-08T00:09:00Z") } == ["104.25"])
        #expect(cache.hits == 1)
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 12, first: 300), as: "BTCUSD.csv")
        #expect(try await bench.closes("BTCUSD", "5m") == ["304.25", "309.25", "311.25"])
        #expect(cache.hits == 1)
    }

    @Test func theMiddleOfQuotesIsFlaggedAndSidesCanBeAsked() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        let rows = "0,1.1,1.2,1.0,1.15,0,1.3,1.4,1.2,1.25,0\n60000,1.1,1.1,1.1,1.1,0,,,,,\n120000,2,2,2,2,0,2.1,2.1,2.1,2.1,0\n"
        _ = try await bench.importer.run(
            stored(rows, as: "20140505_eurusd_minute_quote.csv"),
            path: "forex/oanda/minute/eurusd/20140505_quote.zip",
            options: ImportOptions()
        )
        let request = BarRequest(symbol: "EURUSD", interval: .seconds(60), countback: 10)
        let middle = try await bench.reader.read(request)
        #expect(middle.price == .mid)
        #expect(middle.isApproximate)
        #expect((0..<middle.bars.count).map { middle.bars.close.text(at: $0) } == ["1.2", "2.05"])
        #expect(try await bench.closes("EURUSD", "1m") { $0.price = .bid } == ["1.15", "1.1", "2"])
        #expect(try await bench.closes("EURUSD", "1m") { $0.price = .ask } == ["1.25", "2.1"])
        await #expect(throws: MarketdataError.priceNotAvailable("trade")) { try await bench.closes("EURUSD", "1m") { $0.price = .trade } }
        await #expect(throws: MarketdataError.self) { try await bench.closes("EURUSD", "90s") }
    }
}

/// A zip of one stored file, as small as the format allows.
func stored(_ text: String, as name: String) -> [UInt8] {
    let content = Array(text.utf8)
    var checksum: UInt32 = 0xFFFF_FFFF
    for byte in content {
        checksum ^= UInt32(byte)
        for _ in 0..<8 { checksum = checksum & 1 == 1 ? 0xEDB8_8320 ^ (checksum >> 1) : checksum >> 1 }
    }
    checksum = ~checksum
    func number(_ value: Int, _ width: Int) -> [UInt8] { (0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    let common =
        number(20, 2) + number(0, 2) + number(0, 2) + number(0, 4) + number(Int(checksum), 4) + number(content.count, 4) + number(content.count, 4)
        + number(name.utf8.count, 2)
    let local = number(0x0403_4B50, 4) + common + number(0, 2) + Array(name.utf8) + content
    let central =
        number(0x0201_4B50, 4) + number(20, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 4) + number(0, 4)
        + Array(name.utf8)
    return local + central + number(0x0605_4B50, 4) + number(0, 4) + number(1, 2) + number(1, 2) + number(central.count, 4) + number(local.count, 4)
        + number(0, 2)
}
