import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// A kline as the exchange writes it, one second long unless said otherwise; without trades it repeats the price.
private func kline(_ start: Int64, _ price: Int, trades: Int = 2, milliseconds: Int64 = 1_000) -> String {
    let volume = trades == 0 ? "0.00000000" : "1.50000000"
    return
        "[\(start),\"\(price).10\",\"\(price).30\",\"\(price).05\",\"\(price).20\",\"\(volume)\",\(start + milliseconds - 1),\"1\",\(trades),\"0\",\"0\",\"0\"]"
}

/// The klines of the seconds from `start` to `end` (milliseconds), as a page of the exchange would hold them; every tenth second has no trade.
private func page(_ request: WebSimulator.Request, _ limit: Int = 1_000) -> WebSimulator.Reply {
    guard let start = request.query["startTime"].flatMap({ Int64($0) }), let end = request.query["endTime"].flatMap({ Int64($0) }) else {
        return .status(400, #"{"code":-1102,"msg":"Mandatory parameter 'startTime' was not sent"}"#)
    }
    let first = (start + 999) / 1_000
    let last = min(end / 1_000, first + Int64(limit) - 1)
    guard last >= first else { return .json("[]") }
    return .json("[\((first...last).map { kline($0 * 1_000, 100 + Int($0 % 50), trades: $0 % 10 == 0 ? 0 : 2) }.joined(separator: ","))]")
}

@Suite(.timeLimit(.minutes(10))) struct BinanceHistoryTests {
    @Test func klinesComePageAfterPageAndTheOneThatGrowsIsLeftOut() async throws {
        try await WebBench.with(now: "2024-08-10T00:00:00.500Z") { bench in
            bench.simulator.reply { page($0) }
            let source = try bench.binance()
            #expect(await source.health().state == .unused)
            let request = webRequest("ETHUSDT", .bars(.seconds(1)), "2024-08-09T23:00:00Z", "2024-08-10T01:00:00Z")
            let (file, _) = try await bench.passingPauses { try #require(try await source.history(request)) }
            #expect(file.symbol == "ETHUSDT")
            #expect(file.assetClass == .crypto)
            #expect(file.calendar.name == "always-open")
            let series = try #require(file.series.first)
            #expect(series.intervalSeconds == 1)
            #expect(series.origin == .imported)
            // An hour of seconds without each tenth, up to five seconds before now.
            let last = at("2024-08-09T23:59:55Z").microseconds
            #expect(series.bars.ends.last == last)
            #expect(series.bars.count == (0..<3_595).count { $0 % 10 != 0 })
            #expect(zip(series.bars.starts, series.bars.ends).allSatisfy { $1 - $0 == 1_000_000 })
            #expect(series.bars.starts.allSatisfy { $0 / 1_000_000 % 10 != 0 })
            #expect(series.bars.trades?.allSatisfy { $0 == 2 } == true)
            // The second that contains that moment is not spoken for.
            #expect(series.coverage == request.range.lowerBound.microseconds..<last)
            let requests = try await bench.requests(4)
            #expect(requests.allSatisfy { $0.path == "/api/v3/klines" && $0.query["symbol"] == "ETHUSDT" && $0.query["interval"] == "1s" })
            #expect(await source.health().state == .healthy)
        }
    }

    @Test func numbersAreThoseOfTheText() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { _ in
                .json(#"[[1723161600000,"0.00000123","0.00000124","0.00000122","0.00000123","9223372036.54775801",1723161659999,"1",7,"0","0","0"]]"#)
            }
            let file = try #require(
                try await bench.binance().history(webRequest("PEPEUSDT", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z"))
            )
            let bars = try #require(file.series.first?.bars)
            #expect(bars.count == 1)
            #expect(bars.starts == [1_723_161_600_000_000])
            #expect(bars.ends == [1_723_161_660_000_000])
            #expect(bars.open.text(at: 0) == "0.00000123")
            #expect(bars.volume?.text(at: 0) == "9223372036.54775801")
        }
    }

    @Test func aVolumeThatCannotBeReadIsABadAnswer() async throws {
        for volume in ["null", "\"much\"", "\"\"", "{}"] {
            try await WebBench.with { bench in
                bench.simulator.reply { _ in .json("[[1723161600000,\"1\",\"1\",\"1\",\"1\",\(volume),1723161659999,\"1\",7,\"0\",\"0\",\"0\"]]") }
                let source = try bench.binance()
                let request = webRequest("PEPEUSDT", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")
                let (error, _) = try await bench.passingPauses { () -> SourceError? in
                    do { _ = try await source.history(request) } catch { return error as? SourceError }
                    return nil
                }
                guard case .broken(let why) = error else {
                    Issue.record("\(volume) was taken: \(String(describing: error))")
                    return
                }
                #expect(why.contains("volume"))
            }
        }
    }

    @Test func tradesArePutTogetherIntoSeconds() async throws {
        try await WebBench.with { bench in
            // Many in one millisecond: the second page goes on by number.
            @Sendable func trade(_ id: Int) -> String {
                let time = 1_723_161_600_000 + (id < 1_500 ? 0 : id)
                return
                    "{\"a\":\(id),\"p\":\"2682.\(10 + id % 80)\",\"q\":\"0.5\",\"f\":\(2 * id),\"l\":\(2 * id + 1),\"T\":\(time),\"m\":true,\"M\":true}"
            }
            bench.simulator.reply { request in
                let first = request.query["fromId"].flatMap { Int($0) } ?? 0
                return .json("[\((first..<min(first + 1_000, 2_500)).map(trade).joined(separator: ","))]", headers: ["X-MBX-USED-WEIGHT-1M": "4"])
            }
            let source = try bench.binance()
            let request = webRequest("ETHUSDT", .ticks, "2024-08-09T00:00:00Z", "2024-08-09T00:00:02Z")
            let (file, _) = try await bench.passingPauses { try #require(try await source.history(request)) }
            let series = try #require(file.series.first)
            #expect(series.intervalSeconds == 1)
            #expect(series.origin == .derived)
            // 1,500 trades in the first millisecond, then those of 1.5 to 2 s.
            #expect(series.bars.starts == [1_723_161_600_000_000, 1_723_161_601_000_000])
            #expect(series.bars.trades == [3_000, 1_000])
            #expect(series.bars.volume?.double(at: 0) == 750)
            #expect(file.rows == 2_000)
            let requests = try await bench.requests(2)
            #expect(requests[0].query["startTime"] == "1723161600000")
            #expect(requests[0].query["endTime"] == "1723161601999")
            #expect(requests[1].query["fromId"] == "1000")
            #expect(requests[1].query["startTime"] == nil)
        }
    }

    @Test func tradesAfterQuietHoursAreFoundAnHourAtATime() async throws {
        try await WebBench.with { bench in
            // Three trades in the fourth hour and one in the fifth; an exchange that takes an hour at most.
            let times = ["03:10:00", "03:10:00", "03:59:59", "04:00:01"].map { at("2024-08-09T\($0)Z").microseconds / 1_000 }
            bench.simulator.reply { request in
                let from = request.query["fromId"].flatMap { Int($0) }
                let start = request.query["startTime"].flatMap { Int64($0) } ?? 0
                let end = request.query["endTime"].flatMap { Int64($0) } ?? .max
                if from == nil, end - start >= 3_600_000 {
                    return .status(400, #"{"code":-1127,"msg":"More than 1 hours between startTime and endTime."}"#)
                }
                var texts: [String] = []
                for (id, time) in times.enumerated() {
                    let isAsked = if let from { id >= from } else { time >= start && time <= end }
                    if isAsked { texts.append("{\"a\":\(id),\"p\":\"1.5\",\"q\":\"2\",\"f\":\(id),\"l\":\(id),\"T\":\(time)}") }
                }
                return .json("[\(texts.joined(separator: ","))]")
            }
            let source = try bench.binance()
            let request = webRequest("ETHUSDT", .ticks, "2024-08-09T00:00:00Z", "2024-08-09T06:30:00Z")
            let (file, _) = try await bench.passingPauses { try #require(try await source.history(request)) }
            #expect(file.series.first?.bars.trades == [2, 1, 1])
            let none = webRequest("ETHUSDT", .ticks, "2024-08-09T05:00:00Z", "2024-08-09T08:00:00Z")
            let (isEmpty, _) = try await bench.passingPauses { try await source.history(none) == nil }
            #expect(isEmpty)
            #expect(try await bench.requests(8).last?.query["fromId"] == nil)
        }
    }

    @Test func whatCannotBeIsRefusedBeforeItIsAsked() async throws {
        try await WebBench.with { bench in
            let source = try bench.binance()
            func failure(_ request: HistoryRequest) async -> SourceError? {
                do { _ = try await source.history(request) } catch { return error as? SourceError }
                return nil
            }
            let day = ("2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")
            for symbol in ["", "eth/usdt", "ETH USDT", "ethusdt", "ETHUSDT&x=1", String(repeating: "A", count: 21)] {
                guard case .notSupported = await failure(webRequest(symbol, .ticks, day.0, day.1, instrument: "X")) else {
                    Issue.record("'\(symbol)' was asked for")
                    continue
                }
            }
            #expect(await failure(webRequest("ETHUSDT", .bars(.seconds(7)), day.0, day.1)) == .notSupported("bars of 7s"))
            #expect(
                await failure(webRequest("ETHUSDT", .bars(.seconds(1)), "2023-08-09T00:00:00Z", day.1))?.description.contains("at most 1000000")
                    == true
            )
            #expect(await failure(webRequest("ETHUSDT", .bars(.seconds(1)), "2024-08-11T00:00:00Z", "2024-08-12T00:00:00Z")) != nil)
            #expect(bench.simulator.requested.pendingCount == 0)
        }
    }

    @Test func refusalsSayWhatTheExchangeSaid() async throws {
        try await WebBench.with { bench in
            let source = try bench.binance()
            let request = webRequest("NOSUCH", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")
            func failure(_ reply: WebSimulator.Reply) async -> SourceError? {
                bench.simulator.reply { _ in reply }
                bench.time.advance(by: .seconds(1))
                do { _ = try await source.history(request) } catch { return error as? SourceError }
                return nil
            }
            #expect(
                await failure(.status(400, #"{"code":-1121,"msg":"Invalid symbol."}"#)) == .refused(.syntax, "status 400: Invalid symbol.")
            )
            #expect(
                await failure(.status(401, #"{"code":-2015,"msg":"Invalid API-key."}"#))
                    == .refused(.unauthorized, "status 401: Invalid API-key.; AUSPEX_BINANCE_API_KEY is not set")
            )
            guard case .refused(.other, let text) = await failure(.status(451, "<html>")) else {
                Issue.record("451 is no refusal")
                return
            }
            #expect(text.contains("451"))
            // A refusal is an answer: the source works.
            #expect(await source.health().state == .healthy)
        }
    }

    @Test func aKeyIsSentWhereThereIsOne() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { _ in .json("[]") }
            let source = try bench.binance(["AUSPEX_BINANCE_API_KEY": "the-key"])
            #expect(try await source.history(webRequest("ETHUSDT", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")) == nil)
            #expect(try await bench.simulator.requested.next().headers["x-mbx-apikey"] == "the-key")
        }
    }

    @Test func aShortLimitIsWaitedOutAndALongOneIsAClearError() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { $0.number == 0 ? .status(429, #"{"msg":"Too many requests."}"#, headers: ["Retry-After": "7"]) : .json("[]") }
            let source = try bench.binance()
            let request = webRequest("ETHUSDT", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")
            let (answer, pauses) = try await bench.passingPauses { try await source.history(request) == nil }
            #expect(answer)
            #expect(pauses.contains(.seconds(7)))
            // Shut out: no request goes before the moment that was named.
            bench.simulator.reply { _ in .status(418, #"{"msg":"Way too much request weight used; IP banned."}"#, headers: ["Retry-After": "1800"]) }
            bench.time.advance(by: .seconds(1))
            let until = bench.time.now() + .seconds(1_800)
            let limited = SourceError.limited("status 418: Way too much request weight used; IP banned.", until: until)
            #expect(limited.isPassing)
            await #expect(throws: limited) { try await source.history(request) }
            #expect(await source.health().detail.contains("IP banned") == true)
            let asked = try await bench.requests(3).count
            #expect(asked == 3)
            await #expect(throws: limited) { try await source.history(request) }
            #expect(bench.simulator.requested.pendingCount == 0)
            bench.simulator.reply { _ in .json("[]") }
            bench.time.advance(by: .seconds(1_800))
            #expect(try await source.history(request) == nil)
        }
    }

    @Test func theMinutesWeightIsKept() async throws {
        try await WebBench.with(now: "2024-08-10T00:00:10Z") { bench in
            bench.simulator.reply { page($0) }
            // Two weigh four: the third page has to wait for the next minute.
            let source = try bench.binance { $0.limits.weightPerMinute = 4 }
            let request = webRequest("ETHUSDT", .bars(.seconds(1)), "2024-08-09T00:00:00Z", "2024-08-09T00:50:00Z")
            let (file, pauses) = try await bench.passingPauses { try #require(try await source.history(request)) }
            #expect(file.rows == 3_000)
            #expect(pauses.contains { $0 > .seconds(40) && $0 <= .seconds(50) })
            // What others at the same address used counts as well.
            bench.simulator.reply { _ in .json("[]", headers: ["X-MBX-USED-WEIGHT-1M": "5999"]) }
            let short = webRequest("ETHUSDT", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T00:50:00Z")
            _ = try await bench.passingPauses { try await source.history(short) == nil }
            let (_, more) = try await bench.passingPauses { try await source.history(short) == nil }
            #expect(more.contains { $0 > .seconds(1) })
        }
    }

    @Test func brokenAnswersAreAskedForAgainAndNeverUsed() async throws {
        let good = kline(1_723_161_600_000, 100)
        let request = webRequest("ETHUSDT", .bars(.seconds(1)), "2024-08-09T00:00:00Z", "2024-08-09T00:10:00Z")
        let broken: [WebSimulator.Reply] = [
            .json("[" + good), .json("{\"a\":1}"), .json("[[1]]"), .cut(Array("[\(good)]".utf8)), .hangUp, .status(502, "bad gateway"),
            // Another length, one twice, one before the range, a high below the low.
            .json("[\(kline(1_723_161_600_000, 100, milliseconds: 60_000))]"), .json("[\(good),\(good)]"),
            .json("[\(kline(1_723_161_500_000, 100))]"),
            .json("[\(good.replacing("100.30", with: "99.00"))]"),
        ]
        for reply in broken {
            try await WebBench.with { bench in
                bench.simulator.reply { $0.number < 2 ? reply : .json("[\(good)]") }
                let source = try bench.binance()
                let (file, pauses) = try await bench.passingPauses { try await source.history(request) }
                #expect(file?.series.first?.bars.count == 1)
                #expect(pauses.filter { $0 >= .milliseconds(500) }.count == 2)
                bench.simulator.reply { _ in reply }
                let (failure, _) = try await bench.passingPauses { () -> SourceError? in
                    do { _ = try await source.history(request) } catch { return error as? SourceError }
                    return nil
                }
                #expect(failure?.isPassing == true)
                #expect(await source.health().state == .failing)
            }
        }
    }
}

extension WebBench {
    /// The next requests that came.
    func requests(_ count: Int) async throws -> [WebSimulator.Request] {
        var requests: [WebSimulator.Request] = []
        for _ in 0..<count { requests.append(try await simulator.requested.next()) }
        return requests
    }
}
