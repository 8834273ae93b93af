import Bars
import Contracts
import OutboundHTTP
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The simulator of the web, and what talks to it, on one loop and on a clock that stands still.
struct WebBench: Sendable {
    let loop: EventLoop
    let time: ManualTimeSource
    let simulator: WebSimulator
    let cpu: CPUPool

    static func with(now: String = "2024-08-10T00:00:00Z", _ body: @escaping @Sendable (WebBench) async throws -> Void) async throws {
        try await withLoop { loop in
            let simulator = try await WebSimulator.start(on: loop)
            let cpu = try CPUPool(threads: 1)
            defer { cpu.stop() }
            do { try await body(WebBench(loop: loop, time: ManualTimeSource(at(now)), simulator: simulator, cpu: cpu)) } catch {
                await simulator.stop()
                throw error
            }
            await simulator.stop()
        }
    }

    /// What sources of the simulator live on, without a proxy of the machine.
    var web: WebEnvironment {
        var outbound = OutboundConfiguration()
        outbound.proxy = .none
        return WebEnvironment(
            loop: loop,
            outbound: outbound,
            cpu: cpu,
            time: time,
            backoff: Backoff(first: .milliseconds(500), longest: .seconds(4)) { 0.5 }
        )
    }

    /// The settings of all web sources, with the simulator in the place of each.
    func settings(_ more: [String: String] = [:]) throws -> WebSettings {
        var environment = [
            "AUSPEX_BINANCE_REST_URL": simulator.url, "AUSPEX_BINANCE_STREAM_URL": simulator.webSocketURL + "/stream",
            "AUSPEX_COINBASE_REST_URL": simulator.url + "/", "AUSPEX_COINBASE_STREAM_URL": simulator.webSocketURL + "/coinbase",
            "AUSPEX_LMAX_REST_URL": simulator.url, "AUSPEX_LMAX_STREAM_URL": simulator.webSocketURL + "/v1/web-socket",
            "AUSPEX_OPENBB_URL": simulator.url,
        ]
        environment.merge(more) { $1 }
        var reader = SettingsReader(environment: environment)
        let settings = WebSettings(from: &reader)
        try reader.finish()
        return settings
    }

    func binance(_ more: [String: String] = [:], _ change: (inout BinanceSettings) -> Void = { _ in }) throws -> BinanceSource {
        var settings = try self.settings(more).binance
        change(&settings)
        return BinanceSource(settings, web: web)
    }

    func coinbase(_ change: (inout CoinbaseSettings) -> Void = { _ in }) throws -> CoinbaseSource {
        var settings = try self.settings().coinbase
        change(&settings)
        return CoinbaseSource(settings, web: web)
    }

    /// A provider that has prices as they were traded, unless another is told.
    func openbb(provider: String = "polygon") throws -> OpenBBSource {
        OpenBBSource(try settings(["AUSPEX_OPENBB_PROVIDER": provider]).openbb, url: simulator.url, web: web)
    }

    /// A feed of Binance's messages that asks nobody about its symbols.
    func binanceFeed(_ kind: BinanceDialect.Kind = .trades(aggregate: false, quotes: false), renewAfter: Duration? = nil) -> WebFeed<BinanceDialect> {
        let settings = FeedSettings(url: simulator.webSocketURL + "/stream", renewAfter: renewAfter, maximumSymbols: 10)
        return WebFeed("binance", BinanceDialect(kind), settings: settings, web: web, record: SourceRecord())
    }

    /// Agrees to WebSockets, and answers other requests with that.
    func agree(to other: WebSimulator.Reply = .json("[]")) {
        simulator.reply { $0.headers["upgrade"] == nil ? other : .webSocket }
    }

    /// Runs `body` while the clock is moved on for whoever sleeps for no more than `limit`: gives the pauses with the value.
    func passingPauses<Value: Sendable>(
        upTo limit: Duration = .seconds(60),
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> (value: Value, pauses: [Duration]) {
        try await time.passingPauses(where: { $0 <= limit }, body)
    }
}

/// A question for bars or trades of the past.
func webRequest(
    _ symbol: String,
    _ kind: HistoryRequest.Kind,
    _ from: String,
    _ until: String,
    instrument: String? = nil,
    assetClass: AssetClass? = .crypto,
    calendar: ExchangeCalendar? = nil
) -> HistoryRequest {
    HistoryRequest(
        symbol: symbol,
        instrument: instrument ?? symbol.replacing("-", with: ""),
        assetClass: assetClass,
        calendar: calendar,
        kind: kind,
        range: at(from)..<at(until)
    )
}

func number(_ text: String) throws -> DecimalNumber { try #require(DecimalNumber(text)) }

typealias WebRunning = RunningStream<WebBench>

extension RunningStream<WebBench> {
    /// Waits for the next text of a client, and gives it.
    func heard() async throws -> WebSimulator.Heard {
        while true {
            let heard = try await bench.simulator.heard.next()
            if heard.opcode == 1 { return heard }
        }
    }

    /// Moves the clock on for the next pause of that length.
    func passPause(_ pause: Duration) async throws {
        while try await bench.time.fellAsleep.next() != pause {}
        bench.time.advance(by: pause)
    }
}
