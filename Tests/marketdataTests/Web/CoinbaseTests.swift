import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite(.timeLimit(.minutes(10))) struct CoinbaseHistoryTests {
    @Test func candlesComeNewestFirstAndWithoutQuotes() async throws {
        try await WebBench.with(now: "2024-08-09T12:00:30Z") { bench in
            // Numbers are JSON numbers: their text is kept, a Float64 would not hold the last one.
            bench.simulator.reply { request in
                request.query["start"]?.hasPrefix("2024-08-09T11:58") == true
                    ? .json("[[1723204800,1.1,1.4,1.2,1.3,9],[1723204740,0.10,0.3,0.1,0.2,1234567890.12345678],[1723204680,1,1,1,1,0.5]]")
                    : .json("[]")
            }
            let source = try bench.coinbase()
            let request = webRequest("BTC-USD", .bars(.seconds(60)), "2024-08-09T11:58:00Z", "2024-08-09T12:30:00Z")
            let file = try #require(try await source.history(request))
            #expect(file.symbol == "BTCUSD")
            let bars = try #require(file.series.first?.bars)
            // The minute of 12:00 still grows.
            #expect(bars.starts == [1_723_204_680_000_000, 1_723_204_740_000_000])
            #expect(bars.ends == [1_723_204_740_000_000, 1_723_204_800_000_000])
            #expect(bars.open.text(at: 1) == "0.1")
            #expect(bars.high.text(at: 1) == "0.3")
            #expect(bars.low.text(at: 1) == "0.1")
            #expect(bars.close.text(at: 1) == "0.2")
            #expect(bars.volume?.text(at: 1) == "1234567890.12345678")
            let asked = try await bench.simulator.requested.next()
            #expect(asked.path == "/products/BTC-USD/candles")
            #expect(asked.query["granularity"] == "60")
            #expect(asked.query["end"] == "2024-08-09T12:00:00.000000Z")
        }
    }

    @Test func aCandleWithoutAVolumeIsABadAnswer() async throws {
        try await WebBench.with(now: "2024-08-09T12:00:30Z") { bench in
            bench.simulator.reply { _ in .json("[[1723204680,1,1,1,1,null]]") }
            let source = try bench.coinbase()
            let request = webRequest("BTC-USD", .bars(.seconds(60)), "2024-08-09T11:58:00Z", "2024-08-09T12:00:00Z")
            let (error, _) = try await bench.passingPauses { () -> SourceError? in
                do { _ = try await source.history(request) } catch { return error as? SourceError }
                return nil
            }
            guard case .broken(let why) = error else {
                Issue.record("it was taken: \(String(describing: error))")
                return
            }
            #expect(why.contains("volume"))
        }
    }

    @Test func aLongRangeIsAskedForInPieces() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { request in
                guard let start = Timestamp(iso8601: request.query["start"] ?? ""), let end = Timestamp(iso8601: request.query["end"] ?? "") else {
                    return .status(400, #"{"message":"invalid"}"#)
                }
                let rows = stride(from: end.seconds, through: start.seconds, by: -3_600).map { "[\($0),1,2,1,2,3]" }
                return rows.count > 300 ? .status(400, #"{"message":"granularity too small"}"#) : .json("[\(rows.joined(separator: ","))]")
            }
            let source = try bench.coinbase()
            let request = webRequest("BTC-USD", .bars(.seconds(3_600)), "2024-07-01T00:00:00Z", "2024-08-01T00:00:00Z")
            let (file, _) = try await bench.passingPauses { try await source.history(request) }
            #expect(file?.series.first?.bars.count == 31 * 24)
            #expect(try await bench.requests(3).count == 3)
        }
    }

    @Test func tradesAreReachedFromTheNewestBack() async throws {
        try await WebBench.with(now: "2024-08-09T00:00:30Z") { bench in
            // One trade each 10 ms, number 3,000 the last before now.
            @Sendable func trade(_ id: Int) -> String {
                let time = Timestamp(microseconds: at("2024-08-09T00:00:30Z").microseconds - Int64(3_000 - id) * 10_000)
                return "{\"time\":\"\(time.iso8601)\",\"trade_id\":\(id),\"price\":\"100.\(10 + id % 80)\",\"size\":\"0.25\",\"side\":\"buy\"}"
            }
            bench.simulator.reply { request in
                let before = request.query["after"].flatMap { Int($0) } ?? 3_001
                return .json("[\((max(1, before - 1_000)..<before).reversed().map(trade).joined(separator: ","))]")
            }
            let source = try bench.coinbase()
            let request = webRequest("BTC-USD", .ticks, "2024-08-09T00:00:12Z", "2024-08-09T00:00:14Z")
            let (file, _) = try await bench.passingPauses { try await source.history(request) }
            let series = try #require(file?.series.first)
            #expect(series.origin == .derived)
            #expect(series.bars.starts == [at("2024-08-09T00:00:12Z").microseconds, at("2024-08-09T00:00:13Z").microseconds])
            #expect(series.bars.trades == [100, 100])
            #expect(series.bars.volume?.double(at: 0) == 25)
            // What lies further back than may be paged is said to.
            let short = try bench.coinbase { $0.limits.maximumRows = 1_000 }
            let (failure, _) = try await bench.passingPauses { () -> SourceError? in
                do { _ = try await short.history(request) } catch { return error as? SourceError }
                return nil
            }
            #expect(failure == .beyondReach("trades before the last 1000"))
        }
    }

    @Test func refusalsAndSymbols() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { _ in .status(404, #"{"message":"NotFound"}"#) }
            let source = try bench.coinbase()
            let range = ("2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")
            await #expect(throws: SourceError.notSupported("status 404: NotFound")) {
                try await source.history(webRequest("NO-SUCH", .bars(.seconds(60)), range.0, range.1))
            }
            for symbol in ["BTCUSD", "btc-usd", "BTC-USD/..", "-", "BTC-"] {
                await #expect(throws: SourceError.self) {
                    try await source.history(webRequest(symbol, .bars(.seconds(60)), range.0, range.1, instrument: "X"))
                }
            }
            await #expect(throws: SourceError.notSupported("bars of 1s")) {
                try await source.history(webRequest("BTC-USD", .bars(.seconds(1)), range.0, range.1))
            }
            #expect(throws: SourceError.notSupported("streamed bars")) { try source.stream(.bars(seconds: 60)) }
            #expect(try await bench.requests(1).count == 1)
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct CoinbaseFeedTests {
    @Test func matchesTickersAndHeartbeats() async throws {
        try await WebBench.with(now: "2024-08-09T00:00:02Z") { bench in
            bench.simulator.reply { _ in .webSocket }
            bench.simulator.onText { _, text in
                text.contains("NO-SUCH")
                    ? [#"{"type":"error","message":"Failed to subscribe","reason":"NO-SUCH is not a valid product"}"#]
                    : [
                        #"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]},{"name":"ticker","product_ids":["BTC-USD"]}]}"#
                    ]
            }
            let stream = try bench.coinbase().stream(.trades)
            try await stream.watch("BTC-USD")
            try await stream.watch("NO-SUCH")
            try await WebRunning(bench: bench, stream: stream).run { running in
                #expect(
                    try await running.heard().text == #"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches","ticker","heartbeat"]}"#
                )
                _ = try await running.heard()
                #expect(try await running.next() == .live)
                #expect(
                    try await running.next() == .refused(symbol: "NO-SUCH", reason: "Failed to subscribe: NO-SUCH is not a valid product")
                )
                @Sendable func match(_ type: String, _ id: Int) -> String {
                    "{\"type\":\"\(type)\",\"trade_id\":\(id),\"maker_order_id\":\"a\",\"taker_order_id\":\"b\",\"side\":\"sell\",\"size\":\"5.23512\",\"price\":\"400.23\",\"product_id\":\"BTC-USD\",\"sequence\":50,\"time\":\"2024-08-09T00:00:01.028459Z\"}"
                }
                await bench.simulator.send(match("last_match", 9))
                await bench.simulator.send(match("match", 10))
                await bench.simulator.send(
                    #"{"type":"ticker","sequence":51,"product_id":"BTC-USD","price":"400.23","best_bid":"400.22","best_bid_size":"1.5","best_ask":"400.24","best_ask_size":"2","trade_id":10}"#
                )
                await bench.simulator.send(
                    #"{"type":"heartbeat","sequence":90,"last_trade_id":10,"product_id":"BTC-USD","time":"2024-08-09T00:00:01.500000Z"}"#
                )
                await bench.simulator.send(match("match", 12))
                let trade = SourceTrade(
                    symbol: "BTC-USD",
                    time: at("2024-08-09T00:00:01.028459Z"),
                    price: try number("400.23"),
                    size: try number("5.23512"),
                    qualifies: true,
                    totalVolume: nil,
                    id: 10
                )
                #expect(try await running.next() == .summary(SourceQuote(symbol: "BTC-USD"), last: DecimalNumber("400.23")))
                #expect(try await running.next() == .trade(trade))
                let quote = SourceQuote(
                    symbol: "BTC-USD",
                    bid: DecimalNumber("400.22"),
                    bidSize: DecimalNumber("1.5"),
                    ask: DecimalNumber("400.24"),
                    askSize: DecimalNumber("2")
                )
                #expect(try await running.next() == .quote(quote))
                #expect(try await running.next() == .clock(at("2024-08-09T00:00:01.5Z")))
                #expect(
                    try await running.next() == .hole(since: at("2024-08-09T00:00:01.5Z"), .disconnected("1 trades of BTC-USD did not come"))
                )
            }
        }
    }
}
