import Bars
import Contracts
import Cryptography
import HTTPServing
import OutboundHTTP
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Answers made after the public description of the interface; none was recorded.
@Suite(.timeLimit(.minutes(10))) struct OpenBBTests {
    private static let range = ("2024-01-02T00:00:00Z", "2024-01-06T00:00:00Z")

    private func request(_ kind: HistoryRequest.Kind, _ assetClass: AssetClass = .equity) -> HistoryRequest {
        webRequest("AAPL", kind, Self.range.0, Self.range.1, assetClass: assetClass)
    }

    private static func answer(_ rows: String) -> WebSimulator.Reply {
        .json("{\"id\":\"x\",\"results\":[\(rows)],\"provider\":\"yfinance\",\"warnings\":null,\"chart\":null,\"extra\":{\"metadata\":{}}}")
    }

    @Test func daysStandAtTheirSession() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { _ in
                Self.answer(
                    #"{"date":"2024-01-02","open":187.15,"high":188.44,"low":183.89,"close":185.64,"volume":82488700},{"date":"2024-01-03","open":184.22,"high":185.88,"low":183.43,"close":184.25,"volume":58414500,"vwap":null}"#
                )
            }
            let source = try bench.openbb()
            let file = try #require(try await source.history(request(.bars(.days(1)))))
            #expect(file.calendar.name == "us-equity")
            let bars = try #require(file.series.first?.bars)
            // From 09:30 to 16:00 in New York.
            #expect(bars.starts == [at("2024-01-02T14:30:00Z").microseconds, at("2024-01-03T14:30:00Z").microseconds])
            #expect(bars.ends == [at("2024-01-02T21:00:00Z").microseconds, at("2024-01-03T21:00:00Z").microseconds])
            #expect(bars.close.text(at: 0) == "185.64")
            #expect(bars.volume?.double(at: 1) == 58_414_500)
            let asked = try await bench.simulator.requested.next()
            #expect(asked.path == "/api/v1/equity/price/historical")
            #expect(
                asked.query == [
                    "provider": "polygon", "symbol": "AAPL", "interval": "1d", "start_date": "2024-01-01", "end_date": "2024-01-07",
                    "adjustment": "unadjusted",
                ]
            )
            #expect(file.notes.first?.contains("America/New_York") == true)
        }
    }

    @Test func timesWithAndWithoutAnOffset() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { _ in
                Self.answer(
                    #"{"date":"2024-01-02T09:30:00","open":187.15,"high":188.44,"low":183.89,"close":185.64,"volume":1},{"date":"2024-01-02T09:31:00-05:00","open":187.15,"high":188.44,"low":183.89,"close":185.64,"volume":null}"#
                )
            }
            let bars = try #require(try await bench.openbb().history(request(.bars(.seconds(60))))?.series.first?.bars)
            #expect(bars.starts == [at("2024-01-02T14:30:00Z").microseconds, at("2024-01-02T14:31:00Z").microseconds])
            #expect(bars.ends.last == at("2024-01-02T14:32:00Z").microseconds)
            #expect(bars.volume?.isMissing(at: 1) == true)
        }
    }

    @Test func whatItAnswersBesidesBars() async throws {
        try await WebBench.with { bench in
            let source = try bench.openbb()
            func ask(_ reply: WebSimulator.Reply) async throws -> Result<Bool, SourceError> {
                bench.simulator.reply { _ in reply }
                let request = request(.bars(.days(1)))
                return try await bench.passingPauses {
                    do { return .success(try await source.history(request) == nil) } catch let error as SourceError { return .failure(error) }
                }.value
            }
            #expect(try await ask(.raw(Array("HTTP/1.1 204 No Content\r\n\r\n".utf8))) == .success(true))
            #expect(try await ask(Self.answer("")) == .success(true))
            let unknown = #"{"detail":[{"type":"literal_error","loc":["query","provider"],"msg":"Input should be 'fmp'","input":"yfinance"}]}"#
            #expect(try await ask(.status(422, unknown)) == .failure(.refused(.syntax, "status 422: provider: Input should be 'fmp'")))
            #expect(try await ask(.status(400, #"{"detail":"no such thing"}"#)) == .failure(.refused(.syntax, "status 400: no such thing")))
            let keyless = "status 502: [Unauthorized] -> missing credential 'fmp_api_key'; OpenBB's own settings hold the keys"
            #expect(
                try await ask(.status(502, #"{"detail":"[Unauthorized] -> missing credential 'fmp_api_key'"}"#))
                    == .failure(.refused(.unauthorized, keyless))
            )
            #expect(try await ask(.status(500, "x")) == .failure(.unavailable("status 500")))
            #expect(try await ask(Self.answer(#"{"date":"2024-01-02","close":1.5}"#)).isBroken)
            #expect(try await ask(Self.answer(#"{"date":"yesterday","open":1,"high":1,"low":1,"close":1}"#)).isBroken)
            #expect(try await ask(.json("[]")).isBroken)
            // A volume that is not there is unknown; one that cannot be read is a bad answer.
            func volume(_ text: String) -> WebSimulator.Reply {
                Self.answer("{\"date\":\"2024-01-02\",\"open\":1,\"high\":1,\"low\":1,\"close\":1\(text)}")
            }
            for text in [#","volume":"many""#, #","volume":"""#, #","volume":{}"#, #","volume":-1"#] {
                #expect(try await ask(volume(text)).isBroken, "\(text)")
            }
            for text in ["", #","volume":null"#, #","volume":"7""#] { #expect(try await ask(volume(text)) == .success(false), "\(text)") }
        }
    }

    /// Prices that were divided by later splits are no history: they would be known before the split was, and adjusted once more when read.
    @Test func sharesOnlyFromProvidersThatHaveThemUnadjusted() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { _ in Self.answer(#"{"date":"2024-01-02","open":1.5,"high":1.5,"low":1.5,"close":1.5,"volume":1}"#) }
            let refused = [
                ("yfinance", BarInterval.days(1), "AUSPEX_OPENBB_PROVIDER=alpha_vantage, fmp, polygon would be right"),
                ("yfinance", .seconds(60), "prices without adjustment for splits"), ("tradier", .days(1), "AUSPEX_OPENBB_PROVIDER"),
                ("fmp", .seconds(60), "1d would be right"),
            ]
            for (provider, interval, told) in refused {
                let error = await #expect(throws: SourceError.self) {
                    try await bench.openbb(provider: provider).history(request(.bars(interval)))
                }
                guard case .notSupported(let why) = error else {
                    Issue.record("\(provider): \(String(describing: error))")
                    continue
                }
                #expect(why.contains(told))
            }
            #expect(bench.simulator.requested.pendingCount == 0)
            for provider in ["alpha_vantage", "fmp", "polygon"] {
                let file = try #require(try await bench.openbb(provider: provider).history(request(.bars(.days(1)))))
                #expect(file.notes.first?.contains("prices without adjustment") == true)
                #expect(try await bench.simulator.requested.next().query["adjustment"] == "unadjusted")
            }
            // What has no splits is had from any.
            let source = try bench.openbb(provider: "yfinance")
            _ = try #require(try await source.history(request(.bars(.days(1)), .crypto)))
            #expect(try await bench.simulator.requested.next().query["adjustment"] == nil)
            #expect(source.description.assetClasses == [.crypto, .forex])
            #expect(source.description.limits.notes.contains { $0.hasPrefix("no shares: yfinance") })
            let days = try bench.openbb(provider: "fmp")
            #expect(days.description.assetClasses == [.equity, .crypto, .forex])
        }
    }

    @Test func onlyWhatItHas() async throws {
        try await WebBench.with { bench in
            let source = try bench.openbb()
            for (kind, assetClass) in [(.ticks, .equity), (.bars(.seconds(1)), .equity), (.bars(.days(1)), .future)]
                as [(HistoryRequest.Kind, AssetClass)]
            {
                await #expect(throws: SourceError.self) { try await source.history(request(kind, assetClass)) }
            }
            #expect(bench.simulator.requested.pendingCount == 0)
        }
    }
}

extension Result where Failure == SourceError {
    fileprivate var isBroken: Bool { if case .failure(.broken) = self { true } else { false } }
}

/// The sources on the web in `GET /api/sources`.
@Suite(.timeLimit(.minutes(10))) struct WebSourceRouteTests {
    @Test func theyAreListedWithLicenceAndLimitsAndNothingIsAsked() async throws {
        try await WebBench.with { bench in
            let credentials = try TestCredentials()
            var router = Router(problemOf: MarketdataRoutes.problem)
            let entries = try bench.settings(["AUSPEX_OPENBB_URL": ""]).entries(loop: bench.loop, cpu: bench.cpu, time: bench.time)
            SourceRoutes(sources: SourceCatalogue(entries: entries)).add(
                to: &router,
                authentication: UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys)
            )
            let key = credentials.apiKeys.make(.valid, roles: ["subscriber"], scopes: ["bars:read"])
            let answer = try await RequestClient(router: router, loop: bench.loop).with(header: "X-API-Key", key.text).get("/api/sources").json()
            let items = try #require(answer["items"]?.elements)
            #expect(items.compactMap { $0["id"]?.string } == ["binance", "coinbase", "lmax", "openbb"])
            #expect(items.compactMap { $0["streams"]?.bool } == [true, true, true, false])
            #expect(items.compactMap { $0["configured"]?.bool } == [true, true, true, false])
            #expect(items.compactMap { $0["health"]?["state"]?.string } == ["unused", "unused", "unused", "not_configured"])
            #expect(items.allSatisfy { $0["licence"]?.string?.isEmpty == false && $0["limits"]?["notes"]?.elements?.isEmpty == false })
            #expect(items[3]["health"]?["detail"]?.string?.contains("AUSPEX_OPENBB_URL") == true)
            #expect(bench.simulator.requested.pendingCount == 0)
        }
    }

    /// As many requests as one source may have under way, to one that never answers: another is asked all the same.
    @Test func aSourceThatHangsHoldsUpNoOther() async throws {
        try await WebBench.with { bench in
            bench.simulator.reply { $0.path.hasPrefix("/api/v3") ? .json("[]") : .silence }
            let web = bench.web
            let settings = try bench.settings(["AUSPEX_OPENBB_PROVIDER": "polygon"])
            let openbb = OpenBBSource(settings.openbb, url: bench.simulator.url, web: web)
            let binance = BinanceSource(settings.binance, web: web)
            let places = web.outbound.maximumConnections
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<places {
                    group.addTask {
                        let range = ("2024-01-02T00:00:00Z", "2024-01-06T00:00:00Z")
                        _ = try? await openbb.history(webRequest("AAPL", .bars(.days(1)), range.0, range.1, assetClass: .equity))
                    }
                }
                group.addTask {
                    while let pause = try? await bench.time.fellAsleep.next() { bench.time.advance(by: pause) }
                }
                for _ in 0..<places {
                    let asked = try await bench.simulator.requested.next()
                    #expect(asked.path == "/api/v1/equity/price/historical")
                }
                let request = webRequest("ETHUSDT", .bars(.seconds(60)), "2024-08-09T00:00:00Z", "2024-08-09T01:00:00Z")
                let file = try await binance.history(request)
                #expect(file?.rows == nil)
                group.cancelAll()
            }
        }
    }

    @Test func theDefaultsAreThePublicOnesAndAKeyIsASecret() throws {
        var reader = SettingsReader(environment: [:])
        let settings = WebSettings(from: &reader)
        try reader.finish()
        #expect(settings.binance.restURL.hasPrefix("https://") && settings.binance.streamURL.hasPrefix("wss://"))
        #expect(settings.coinbase.restURL.hasPrefix("https://") && settings.coinbase.streamURL.hasPrefix("wss://"))
        #expect(settings.lmax.streamURL.hasPrefix("wss://"))
        #expect(settings.openbb.url == nil)
        #expect(reader.definitions.filter(\.secret).map(\.key) == ["AUSPEX_BINANCE_API_KEY"])
        for (key, value) in [("AUSPEX_BINANCE_REST_URL", "ftp://x"), ("AUSPEX_LMAX_STREAM_URL", "http://x"), ("AUSPEX_OPENBB_URL", "6900")] {
            var bad = SettingsReader(environment: [key: value])
            _ = WebSettings(from: &bad)
            do {
                try bad.finish()
                Issue.record("\(key) was taken")
            } catch {
                #expect(error.description.contains(key))
            }
        }
    }
}
