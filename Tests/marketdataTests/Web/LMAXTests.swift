import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Messages made after the public description of the interface; none was recorded.
@Suite(.timeLimit(.minutes(10))) struct LMAXTests {
    private static func ticker(_ trade: String?, _ price: String = "1.09215", bid: String = "1.09210") -> String {
        let last = trade.map { "\"trade_id\":\"\($0)\",\"last_quantity\":\"10000.0000\",\"last_price\":\"\(price)\"," } ?? ""
        return
            "{\"type\":\"TICKER\",\"instrument_id\":\"eur-usd\",\"timestamp\":\"2024-08-09T10:00:00.123Z\",\"best_bid\":\"\(bid)\",\"best_ask\":\"1.09220\",\(last)\"session_open\":\"1.09\",\"session_low\":\"1.08\",\"session_high\":\"1.10\"}"
    }

    private static func quote(_ bid: String = "1.09210") -> SourceQuote {
        SourceQuote(symbol: "eur-usd", bid: DecimalNumber(bid), ask: DecimalNumber("1.09220"))
    }

    @Test func aTickerTellsOfATradeOnce() async throws {
        try await WebBench.with(now: "2024-08-09T10:00:00Z") { bench in
            bench.agree(to: .json(#"{"instrument_id":"eur-usd"}"#))
            let stream = try LMAXSource(try bench.settings().lmax, web: bench.web).stream(.trades)
            try await stream.watch("eur-usd")
            try await WebRunning(bench: bench, stream: stream).run { running in
                #expect(try await running.next() == .live)
                let asked = Set(try await bench.requests(2).map(\.target))
                #expect(asked == ["/v1/web-socket", "/v1/instruments/eur-usd"])
                #expect(try await running.heard().text == #"{"type":"SUBSCRIBE","channels":[{"name":"TICKER","instruments":["eur-usd"]}]}"#)
                for text in [Self.ticker("A"), Self.ticker("A", bid: "1.09211"), Self.ticker("B", "1.09216"), Self.ticker(nil)] {
                    await bench.simulator.send(text)
                }
                // The first trade may be of yesterday.
                #expect(try await running.next() == .summary(Self.quote(), last: DecimalNumber("1.09215")))
                #expect(try await running.next() == .quote(Self.quote("1.09211")))
                #expect(try await running.next() == .quote(Self.quote()))
                let trade = SourceTrade(
                    symbol: "eur-usd",
                    time: at("2024-08-09T10:00:00.123Z"),
                    price: try number("1.09216"),
                    size: try number("10000"),
                    qualifies: true,
                    totalVolume: nil
                )
                #expect(try await running.next() == .trade(trade))
                #expect(try await running.next() == .quote(Self.quote()))
                // Pings too often are answered with the end of the connection: none comes in the first half minute.
                await bench.simulator.sendClose(1_008, "Excessive pings received")
                guard case .hole(_, .disconnected(let reason)) = try await running.next() else {
                    Issue.record("no hole")
                    return
                }
                #expect(reason.contains("1008") && reason.contains("Excessive pings"))
            }
        }
    }

    @Test func anInstrumentThatThereIsNotIsRefused() async throws {
        try await WebBench.with(now: "2024-08-09T10:00:00Z") { bench in
            bench.agree(to: .status(404, #"{"error_code":"NOT_FOUND"}"#))
            let stream = try LMAXSource(try bench.settings().lmax, web: bench.web).stream(.trades)
            try await stream.watch("eur-xxx")
            try await WebRunning(bench: bench, stream: stream).run { running in
                let events = [try await running.next(), try await running.next()]
                #expect(events.contains(.refused(symbol: "eur-xxx", reason: "not supported: status 404: NOT_FOUND")))
            }
        }
    }

    @Test func thereIsNoHistoryAndItSaysSo() async throws {
        try await WebBench.with { bench in
            let source = LMAXSource(try bench.settings().lmax, web: bench.web)
            let request = webRequest(
                "eur-usd",
                .bars(.seconds(60)),
                "2024-08-09T00:00:00Z",
                "2024-08-09T01:00:00Z",
                instrument: "EURUSD",
                assetClass: .forex
            )
            do {
                _ = try await source.history(request)
                Issue.record("there was history")
            } catch let error as SourceError {
                #expect(!error.isPassing)
                #expect(error.description.contains("no history"))
            }
            #expect(source.description.intervals.isEmpty)
            #expect(source.description.limits.notes.contains { $0.contains("no history at all") })
            #expect(throws: SourceError.self) { try source.stream(.bars(seconds: 60)) }
            let stream = try source.stream(.trades)
            await #expect(throws: SourceError.self) { try await stream.watch("EUR/USD") }
        }
    }
}
