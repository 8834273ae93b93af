import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// A trade as the exchange streams it.
private func trade(_ id: Int64, _ price: String = "2682.51000000", at milliseconds: Int64 = 1_723_161_601_550, symbol: String = "ETHUSDT") -> String {
    "{\"stream\":\"\(symbol.lowercased())@trade\",\"data\":{\"e\":\"trade\",\"E\":\(milliseconds + 1),\"s\":\"\(symbol)\",\"t\":\(id),\"p\":\"\(price)\",\"q\":\"0.00460000\",\"T\":\(milliseconds),\"m\":false,\"M\":true}}"
}

private func event(_ id: Int64, _ price: String = "2682.51000000", at milliseconds: Int64 = 1_723_161_601_550) throws -> SourceEvent {
    .trade(
        SourceTrade(
            symbol: "ETHUSDT",
            time: Timestamp(microseconds: milliseconds * 1_000),
            price: try number(price),
            size: try number("0.0046"),
            qualifies: true,
            totalVolume: nil,
            id: id
        )
    )
}

@Suite(.timeLimit(.minutes(10))) struct WebFeedTests {
    private static let now = "2024-08-09T00:00:02Z"

    /// A stream of trades that agrees to everything, watching before it runs.
    private func binance(
        _ watching: [String] = ["ETHUSDT"],
        kind: BinanceDialect.Kind = .trades(aggregate: false, quotes: false),
        _ body: @escaping @Sendable (WebRunning) async throws -> Void
    ) async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { _ in .webSocket }
            bench.simulator.onText { _, text in [answer(to: text)] }
            let stream = bench.binanceFeed(kind)
            for symbol in watching { try await stream.watch(symbol) }
            try await WebRunning(bench: bench, stream: stream).run(body)
        }
    }

    private func begin(_ running: WebRunning, _ streams: String = "\"ethusdt@trade\"") async throws {
        #expect(try await running.bench.simulator.requested.next().target == "/stream")
        #expect(try await running.heard().text == "{\"method\":\"SUBSCRIBE\",\"params\":[\(streams)],\"id\":1}")
        #expect(try await running.next() == .live)
    }

    @Test func tradesAsTheyHappenEachOnce() async throws {
        try await binance { running in
            try await begin(running)
            let simulator = running.bench.simulator
            await simulator.send(trade(5))
            await simulator.send(trade(6, "2682.50000000"))
            // What comes again was told already.
            await simulator.send(trade(6, "2682.50000000"))
            await simulator.send(trade(5))
            await simulator.send(trade(1, symbol: "BTCUSDT"))
            await simulator.send(#"{"stream":"ethusdt@depth","data":{"e":"depthUpdate","s":"ETHUSDT"}}"#)
            await simulator.send(trade(7))
            #expect(try await running.next() == event(5))
            #expect(try await running.next() == event(6, "2682.50000000"))
            #expect(try await running.next() == event(7))
            await simulator.sendFrame(0x89, Array("beat".utf8))
            while try await simulator.heard.next().opcode != 10 {}
        }
    }

    @Test func aJumpInTheNumbersIsAHole() async throws {
        try await binance { running in
            try await begin(running)
            await running.bench.simulator.send(trade(5, at: 1_723_161_601_550))
            await running.bench.simulator.send(trade(9, at: 1_723_161_601_900))
            #expect(try await running.next() == event(5, at: 1_723_161_601_550))
            #expect(
                try await running.next() == .hole(since: at("2024-08-09T00:00:01.550Z"), .disconnected("3 trades of ETHUSDT did not come"))
            )
            #expect(try await running.next() == .live)
            #expect(try await running.next() == event(9, at: 1_723_161_601_900))
        }
    }

    @Test func aLostConnectionIsAHoleAndEverythingIsWatchedAgain() async throws {
        try await binance(["BTCUSDT", "ETHUSDT"]) { running in
            try await begin(running, "\"btcusdt@trade\",\"ethusdt@trade\"")
            let simulator = running.bench.simulator
            await simulator.send(trade(5))
            #expect(try await running.next() == event(5))
            // Cut in the middle of a frame.
            await simulator.sendBytes(Array(WebSimulator.frame(0x81, Array(trade(6).utf8)).dropLast(20)))
            await simulator.hangUp()
            let hole = try await running.next()
            guard case .hole(let since, .disconnected(let reason)) = hole else {
                Issue.record("\(hole) where a hole was to be")
                return
            }
            #expect(since == at("2024-08-09T00:00:01.550Z"))
            #expect(reason.contains("in the middle of a message"))
            try await running.passPause(.milliseconds(500))
            #expect(try await running.heard().text.contains("btcusdt@trade"))
            #expect(try await running.next() == .live)
            // The hole covers the numbers in between.
            await simulator.send(trade(5))
            await simulator.send(trade(20))
            #expect(try await running.next() == event(20))
        }
    }

    @Test func numbersThatBeginAnewAfterALossAreTakenWithAHole() async throws {
        try await binance { running in
            try await begin(running)
            let simulator = running.bench.simulator
            await simulator.send(trade(5_000, at: 1_723_161_601_550))
            #expect(try await running.next() == event(5_000, at: 1_723_161_601_550))
            await simulator.hangUp()
            guard case .hole = try await running.next() else {
                Issue.record("no hole")
                return
            }
            try await running.passPause(.milliseconds(500))
            #expect(try await running.next() == .live)
            // What comes again, and what is older, is still told once; then the exchange counts from the beginning.
            await simulator.send(trade(5_000, at: 1_723_161_601_550))
            await simulator.send(trade(4_999, at: 1_723_161_601_549))
            await simulator.send(trade(1, at: 1_723_161_601_900))
            await simulator.send(trade(2, at: 1_723_161_601_950))
            // From here on numbers of this connection go on: a smaller one is an old one.
            await simulator.send(trade(1, at: 1_723_161_601_990))
            await simulator.send(trade(3, at: 1_723_161_601_999))
            #expect(
                try await running.next() == .hole(since: at("2024-08-09T00:00:01.550Z"), .disconnected("the numbers of ETHUSDT begin anew with 1"))
            )
            #expect(try await running.next() == .live)
            #expect(try await running.next() == event(1, at: 1_723_161_601_900))
            #expect(try await running.next() == event(2, at: 1_723_161_601_950))
            #expect(try await running.next() == event(3, at: 1_723_161_601_999))
        }
    }

    @Test func whatIsWatchedWhileItRunsIsWatchedAtOnce() async throws {
        try await binance { running in
            try await begin(running)
            try await running.stream.watch("BTCUSDT")
            try await running.stream.watch("BTCUSDT")
            #expect(try await running.heard().text == #"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":2}"#)
            await running.stream.unwatch("ETHUSDT")
            try await running.passPause(.milliseconds(250))
            #expect(try await running.heard().text == #"{"method":"UNSUBSCRIBE","params":["ethusdt@trade"],"id":3}"#)
            await running.bench.simulator.send(trade(8))
            await running.bench.simulator.send(trade(1, symbol: "BTCUSDT"))
            guard case .trade(let trade) = try await running.next() else { return }
            #expect(trade.symbol == "BTCUSDT")
            await #expect(throws: SourceError.self) { try await running.stream.watch("btc/usdt") }
        }
    }

    @Test func nothingIsConnectedBeforeSomethingIsWatched() async throws {
        try await binance([]) { running in
            #expect(running.bench.simulator.requested.pendingCount == 0)
            try await running.stream.watch("ETHUSDT")
            try await begin(running)
        }
    }

    @Test func aStormOfLossesIsMetEverMoreSlowly() async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { _ in .hangUp }
            let stream = bench.binanceFeed()
            try await stream.watch("ETHUSDT")
            try await WebRunning(bench: bench, stream: stream).run { running in
                for pause in [0.5, 1, 2, 4] { try await running.passPause(.seconds(pause)) }
                while try await bench.time.fellAsleep.next() != .seconds(4) {}
                // A server that says when to come again is believed.
                bench.simulator.reply { _ in .status(429, "", headers: ["Retry-After": "90"]) }
                bench.time.advance(by: .seconds(4))
                bench.simulator.onText { _, text in [answer(to: text)] }
                while try await bench.time.fellAsleep.next() != .seconds(90) {}
                bench.simulator.reply { _ in .webSocket }
                bench.time.advance(by: .seconds(90))
                #expect(try await running.next() == .live)
            }
        }
    }

    @Test func aServerThatNeverAgreesOrFallsSilentIsLeft() async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { _ in .webSocket }
            let stream = bench.binanceFeed()
            try await stream.watch("ETHUSDT")
            try await WebRunning(bench: bench, stream: stream).run { running in
                // It takes the request and says nothing.
                _ = try await running.heard()
                try await running.passPause(.seconds(8))
                bench.simulator.onText { _, text in [answer(to: text)] }
                try await running.passPause(.milliseconds(500))
                #expect(try await running.next() == .live)
                bench.simulator.answerPings(false)
                try await running.passPause(.seconds(15))
                while try await bench.simulator.heard.next().opcode != 9 {}
                try await running.passPause(.seconds(15))
                guard case .hole(_, .disconnected(let reason)) = try await running.next() else {
                    Issue.record("no hole")
                    return
                }
                #expect(reason.contains("silent"))
            }
        }
    }

    @Test func wrongMessagesEndTheConnection() async throws {
        for wrong in ["{", "[1]", #"{"stream":"x","data":7}"#, #"{"e":"trade","s":"ETHUSDT"}"#, #"{"error":{"code":2,"msg":"no"}}"#] {
            try await binance { running in
                try await begin(running)
                await running.bench.simulator.send(wrong)
                guard case .hole = try await running.next() else {
                    Issue.record("\(wrong) was taken")
                    return
                }
            }
        }
    }

    @Test func aRefusedStreamIsSaidAndForgotten() async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { _ in .webSocket }
            bench.simulator.onText { _, _ in [#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#] }
            let stream = bench.binanceFeed()
            try await stream.watch("ETHUSDT")
            try await WebRunning(bench: bench, stream: stream).run { running in
                let events = [try await running.next(), try await running.next()]
                #expect(events == [.live, .refused(symbol: "ETHUSDT", reason: "Invalid request")])
            }
        }
    }

    @Test func aSymbolThatThereIsNotIsRefusedThoughTheStreamSaysNothing() async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { request in
                if request.headers["upgrade"] != nil { return .webSocket }
                return request.query["symbol"] == "NOSUCH" ? .status(400, #"{"code":-1121,"msg":"Invalid symbol."}"#) : .json("[]")
            }
            bench.simulator.onText { _, text in [answer(to: text)] }
            let settings = ["AUSPEX_BINANCE_AGGREGATE_TRADES": "true", "AUSPEX_BINANCE_QUOTES": "true"]
            let stream = try bench.binance(settings).stream(.trades)
            try await stream.watch("ETHUSDT")
            try await stream.watch("NOSUCH")
            let (events, _) = try await bench.passingPauses(upTo: .milliseconds(400)) { () -> [SourceEvent] in
                let told = TestSignal<[SourceEvent]>()
                try await WebRunning(bench: bench, stream: stream).run { running in
                    told.signal([try await running.next(), try await running.next()])
                }
                return try await told.next()
            }
            #expect(events.contains(.live))
            #expect(events.contains(.refused(symbol: "NOSUCH", reason: "refused (syntax): status 400: Invalid symbol.")))
            // What is set is what is asked for.
            var watched: [String] = []
            while bench.simulator.requested.pendingCount > 0 { watched.append(try await bench.simulator.requested.next().target) }
            #expect(watched.contains("/stream"))
        }
    }

    @Test func anOldConnectionIsReplacedWithoutAHole() async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { _ in .webSocket }
            bench.simulator.onText { _, text in [answer(to: text)] }
            let stream = bench.binanceFeed(renewAfter: .seconds(12))
            try await stream.watch("ETHUSDT")
            try await WebRunning(bench: bench, stream: stream).run { running in
                try await begin(running)
                let simulator = bench.simulator
                #expect(try await simulator.opened.next() == 0)
                await simulator.send(trade(5))
                #expect(try await running.next() == event(5))
                try await running.passPause(.seconds(12))
                #expect(try await simulator.opened.next() == 1)
                // The old one is ended once the new one has agreed.
                while true {
                    let heard = try await simulator.heard.next()
                    if heard.socket == 0, heard.opcode == 8, heard.payload == [0x03, 0xE8] { break }
                }
                await simulator.send(trade(5), to: 1)
                await simulator.send(trade(6), to: 1)
                #expect(try await running.next() == event(6))
                try await running.passPause(.seconds(12))
                #expect(try await simulator.opened.next() == 2)
            }
        }
    }

    @Test func aRenewalThatFailsIsTriedAgainSoon() async throws {
        try await WebBench.with(now: Self.now) { bench in
            bench.simulator.reply { _ in .webSocket }
            bench.simulator.onText { _, text in [answer(to: text)] }
            let stream = bench.binanceFeed(renewAfter: .seconds(12))
            try await stream.watch("ETHUSDT")
            try await WebRunning(bench: bench, stream: stream).run { running in
                try await begin(running)
                let simulator = bench.simulator
                #expect(try await simulator.opened.next() == 0)
                simulator.reply { _ in .hangUp }
                try await running.passPause(.seconds(12))
                #expect(try await simulator.requested.next().target == "/stream")
                // Not after another whole span: by then the exchange has ended the old one.
                try await running.passPause(.milliseconds(500))
                #expect(try await simulator.requested.next().target == "/stream")
                while try await bench.time.fellAsleep.next() != .seconds(1) {}
                simulator.reply { _ in .webSocket }
                bench.time.advance(by: .seconds(1))
                #expect(try await simulator.opened.next() == 1)
                await simulator.send(trade(6), to: 1)
                #expect(try await running.next() == event(6))
            }
        }
    }

    @Test func quotesAndAggregatedTradesWhereTheyAreWanted() async throws {
        try await binance(kind: .trades(aggregate: true, quotes: true)) { running in
            try await begin(running, "\"ethusdt@aggTrade\",\"ethusdt@bookTicker\"")
            let simulator = running.bench.simulator
            await simulator.send(
                #"{"stream":"ethusdt@bookTicker","data":{"u":35346671867,"s":"ETHUSDT","b":"2682.50","B":"2.5458","a":"2682.51","A":"50.9739"}}"#
            )
            await simulator.send(
                #"{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1723161601551,"s":"ETHUSDT","a":77,"p":"2682.51","q":"0.0046","f":100,"l":105,"T":1723161601550,"m":false}}"#
            )
            let quote = SourceQuote(
                symbol: "ETHUSDT",
                bid: DecimalNumber("2682.50"),
                bidSize: DecimalNumber("2.5458"),
                ask: DecimalNumber("2682.51"),
                askSize: DecimalNumber("50.9739")
            )
            #expect(try await running.next() == .quote(quote))
            #expect(try await running.next() == event(77))
        }
    }

    @Test func klinesThatAreOverAndThatGrow() async throws {
        try await binance(kind: .bars(seconds: 1)) { running in
            try await begin(running, "\"ethusdt@kline_1s\"")
            @Sendable func kline(_ start: Int64, trades: Int, isOver: Bool, length: Int64 = 1_000) -> String {
                "{\"stream\":\"ethusdt@kline_1s\",\"data\":{\"e\":\"kline\",\"E\":\(start + 1_001),\"s\":\"ETHUSDT\",\"k\":{\"t\":\(start),\"T\":\(start + length - 1),\"s\":\"ETHUSDT\",\"i\":\"1s\",\"f\":1,\"L\":2,\"o\":\"1.10\",\"c\":\"1.20\",\"h\":\"1.30\",\"l\":\"1.05\",\"v\":\"7.5\",\"n\":\(trades),\"x\":\(isOver)}}}"
            }
            let simulator = running.bench.simulator
            await simulator.send(kline(1_723_161_600_000, trades: 3, isOver: false))
            await simulator.send(kline(1_723_161_600_000, trades: 4, isOver: true))
            await simulator.send(kline(1_723_161_601_000, trades: 0, isOver: false))
            await simulator.send(kline(1_723_161_601_000, trades: 0, isOver: true))
            func bar(_ state: SourceBar.State, trades: Int64) throws -> SourceEvent {
                .bar(
                    SourceBar(
                        symbol: "ETHUSDT",
                        state: state,
                        start: at("2024-08-09T00:00:00Z"),
                        seconds: 1,
                        open: try number("1.1"),
                        high: try number("1.3"),
                        low: try number("1.05"),
                        close: try number("1.2"),
                        volume: try number("7.5"),
                        trades: trades
                    )
                )
            }
            #expect(try await running.next() == bar(.running, trades: 3))
            #expect(try await running.next() == bar(.complete, trades: 4))
            // A second without a trade has no bar; that it is over is told.
            #expect(try await running.next() == .clock(at("2024-08-09T00:00:02Z")))
            await simulator.send(kline(1_723_161_602_000, trades: 1, isOver: true, length: 60_000))
            guard case .hole = try await running.next() else {
                Issue.record("a kline of a minute was taken")
                return
            }
        }
    }
}

/// What the exchange says to a request of ours.
func answer(to text: String) -> String {
    let id = text.split(separator: "\"id\":").last.map { $0.dropLast() } ?? "0"
    return "{\"result\":null,\"id\":\(id)}"
}

/// The recorded stream of an exchange, as it came.
@Suite(.timeLimit(.minutes(10)), .enabled(if: SharedData.isPresent, "the shared folder with recorded streams is absent")) struct RecordedFeedTests {
    @Test func fiveMinutesOfRecordedTradesAreTheSameAfterALoss() async throws {
        let lines = try String(
            decoding: Archive.open(SharedData.bytes("data/hftbacktest/spot/ethusdt_20240809.gz"), fileName: "ethusdt_20240809.gz").bytes,
            as: UTF8.self
        )
        .split(separator: "\n").map { String($0[($0.firstIndex(of: " ") ?? $0.startIndex)...].dropFirst()) }
        #expect(lines.count == 46_126)
        try await WebBench.with(now: "2024-08-09T00:05:05Z") { bench in
            bench.simulator.reply { _ in .webSocket }
            bench.simulator.onText { _, text in [answer(to: text)] }
            let stream = bench.binanceFeed(.trades(aggregate: false, quotes: true))
            try await stream.watch("ETHUSDT")
            try await WebRunning(bench: bench, stream: stream).run { running in
                #expect(try await running.next() == .live)
                // The connection is lost in the middle, and what was lost is told again by the new one, with ten seconds of what came before.
                let cut = lines.count / 2
                await bench.simulator.sendBytes(lines[..<cut].flatMap { WebSimulator.frame(0x81, Array($0.utf8)) }, to: 0)
                var trades: [SourceTrade] = []
                var quotes = 0
                func read(until isEnd: (SourceEvent) -> Bool) async throws {
                    while true {
                        let event = try await running.next()
                        if case .trade(let trade) = event { trades.append(trade) }
                        if case .quote = event { quotes += 1 }
                        if isEnd(event) { return }
                    }
                }
                let recorded = lines.count { $0.contains("@bookTicker") }
                let firstQuotes = lines[..<cut].count { $0.contains("@bookTicker") }
                try await read { _ in quotes == firstQuotes }
                await bench.simulator.hangUp()
                try await read { if case .hole = $0 { true } else { false } }
                try await running.passPause(.milliseconds(500))
                try await read { $0 == .live }
                await bench.simulator.sendBytes(lines[(cut - 1_000)...].flatMap { WebSimulator.frame(0x81, Array($0.utf8)) }, to: 1)
                try await read { _ in trades.last?.id == 1_520_553_439 }
                #expect(quotes >= recorded)
                // Each trade once, and all of them.
                #expect(trades.count == 8_409)
                #expect(trades.map(\.id) == (1_520_545_031...1_520_553_439).map { $0 })
                // As numbers they are what stands in the text.
                let texts = lines.filter { $0.contains("@trade") }.map { line -> [String] in
                    ["\"p\":\"", "\"q\":\""].map { mark in
                        let rest = line.split(separator: mark, maxSplits: 1).last ?? ""
                        return String(rest.prefix { $0 != "\"" })
                    }
                }
                #expect(zip(trades, texts).allSatisfy { $0.price == DecimalNumber($1[0]) && $0.size == DecimalNumber($1[1]) })
            }
        }
    }
}
