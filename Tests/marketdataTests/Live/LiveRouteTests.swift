import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite("Live routes", .serialized, .enabled(if: TestServers.hasPostgres)) struct LiveRouteTests {
    private struct World {
        let bench: LiveBench
        let credentials: TestCredentials
        let router: Router

        init(_ bench: LiveBench) throws {
            self.bench = bench
            credentials = try TestCredentials()
            var router = Router(problemOf: MarketdataRoutes.problem)
            LiveRoutes(
                store: bench.store,
                sources: SourceCatalogue(entries: [.configured(bench.source), IQFeedSettings.entry(nil)]),
                subscriptions: bench.subscriptions,
                live: bench.live,
                calendars: bench.bench.calendars,
                time: bench.time
            ).add(to: &router, authentication: UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys))
            self.router = router
        }

        func client(_ role: String = "admin") throws -> RequestClient {
            RequestClient(router: router)
                .with(header: "Authorization", "Bearer \(try credentials.token(user: .make(), account: .make(), roles: [role]))")
        }
    }

    private let path = "/api/sources/scripted/live"

    @Test func anInstrumentIsMadeLiveAndTakenAway() async throws {
        try await LiveBench.with { bench in
            let client = try World(bench).client()
            let made = try await client.put("\(path)?instrument=BTCUSD", json: ["symbol": "@BTC"])
            #expect(made.status == 200)
            let answer = try made.json()
            #expect(answer["instrument"]?.string == "BTCUSD")
            #expect(answer["symbol"]?.string == "@BTC")
            #expect(answer["stream"]?.string == "trades")
            #expect(answer["state"]?.string == "waiting")
            #expect(answer["closed_through"] == .null)
            #expect(answer["lag_seconds"] == .null)
            #expect(answer["holes"] == .array([]))
            #expect(try await client.put("\(path)?instrument=BTCUSD", json: ["symbol": "@BTC"]).json() == answer)
            let other = try await client.put("\(path)?instrument=BTCUSD", json: ["stream": "1m"]).json()
            #expect(other["stream"]?.string == "1m")
            #expect(other["symbol"]?.string == "BTCUSD")
            #expect(try await client.get(path).json()["items"]?[0] == other)
            #expect(try await client.delete("\(path)?instrument=BTCUSD").status == 204)
            #expect(try await client.delete("\(path)?instrument=BTCUSD").verdict == "404 not_live")
            #expect(try await client.get(path).json()["items"] == .array([]))
        }
    }

    @Test func itTellsHowFarEachIsAndWhatIsMissing() async throws {
        try await LiveBench.with { bench in
            try await bench.subscribe()
            let client = try World(bench).client()
            try await bench.running { stream in
                try await bench.up(stream)
                bench.pass(6, stream)
                try await bench.recorded(["12:00:05 v0 -"])
                stream.tell(.hole(since: at("2024-03-04T12:00:06Z"), .disconnected("the line was cut")))
                bench.time.advance(2)
                stream.tell(.live)
                try await bench.holes(are: ["12:00:06-12:00:08 open"])
                let item = try await client.get(path).json()["items"]?[0]
                #expect(item?["closed_through"]?.string == "2024-03-04T12:00:05.000000Z")
                #expect(item?["lag_seconds"] != .null)
                #expect(item?["holes"]?[0]?["state"]?.string == "open")
                #expect(item?["holes"]?[0]?["start"]?.string == "2024-03-04T12:00:06.000000Z")
                #expect(item?["holes"]?[0]?["reason"]?.string == "the line was cut")
                bench.pass(7, stream)
                try await bench.holes(are: ["12:00:06-12:00:08 repaired"])
                #expect(try await client.get(path).json()["items"]?[0]?["holes"] == .array([]))
            }
        }
    }

    @Test func whatIsWrongIsRefusedByName() async throws {
        try await LiveBench.with { bench in
            try await bench.store.create(coin("ETHUSD"))
            let world = try World(bench)
            let client = try world.client()
            func put(_ query: String, _ body: [String: String] = [:], source: String = "scripted") async throws -> String {
                let answer = try await client.put("/api/sources/\(source)/live\(query)", json: body)
                return answer.verdict + (answer.problemField.map { " \($0)" } ?? "")
            }
            #expect(try await put("?instrument=BTCUSD", source: "nobody") == "404 unknown_source id")
            #expect(try await put("?instrument=BTCUSD", source: "iqfeed") == "409 source_not_configured id")
            #expect(try await put("") == "400 missing_parameter instrument")
            #expect(try await put("?instrument=NOPE") == "404 unknown_instrument instrument")
            #expect(try await put("?instrument=BTCUSD", ["symbol": "a,b"]) == "400 invalid_symbol symbol")
            #expect(try await put("?instrument=BTCUSD", ["symbol": ""]) == "400 invalid_symbol symbol")
            #expect(try await put("?instrument=BTCUSD", ["stream": "7s"]) == "400 invalid_stream stream")
            #expect(try await put("?instrument=BTCUSD", ["stream": "quotes"]) == "400 invalid_stream stream")
            #expect(try await put("?instrument=BTCUSD", ["stream": "6s"]) == "422 stream_not_available stream")
            #expect(try await put("?instrument=BTCUSD&interval=1s") == "400 unknown_parameter interval")
            #expect(try await put("?instrument=ETHUSD", ["symbol": "E"]) == "200")
            #expect(try await put("?instrument=BTCUSD", ["symbol": "E"]) == "409 symbol_taken symbol")
            _ = try await bench.subscriptions.put(bench.id(), source: "other", symbol: "B", barSeconds: nil)
            #expect(try await put("?instrument=BTCUSD") == "409 live_elsewhere instrument")
            for role in ["provider", "subscriber"] {
                #expect(try await world.client(role).get(path).status == 403)
                #expect(try await world.client(role).put("\(path)?instrument=BTCUSD", json: [String: String]()).status == 403)
                #expect(try await world.client(role).delete("\(path)?instrument=BTCUSD").status == 403)
            }
            let key = world.credentials.apiKeys.make(.valid, roles: ["admin"], scopes: ["bars:read"])
            #expect(try await RequestClient(router: world.router).with(header: "X-API-Key", key.text).get(path).status == 403)
        }
    }

    @Test func theLatenessIsASettingOfEachSource() throws {
        func settings(_ text: String) throws -> LiveFeedSettings {
            var reader = SettingsReader(environment: ["AUSPEX_LIVE_LATENESS_MS": text])
            let settings = LiveFeedSettings(from: &reader)
            try reader.finish()
            return settings
        }
        let some = try settings("100, iqfeed=500 ,other=0")
        #expect(some.rules(of: "iqfeed", lengthMicroseconds: 1_000_000).lateness == 500_000)
        #expect(some.rules(of: "other", lengthMicroseconds: 1_000_000).lateness == 0)
        #expect(some.rules(of: "another", lengthMicroseconds: 1_000_000).lateness == 100_000)
        #expect(LiveFeedSettings().rules(of: "iqfeed", lengthMicroseconds: 1_000_000).lateness == 250_000)
        for wrong in ["soon", "iqfeed=", "-1", "60001", "a=b=1"] { #expect(throws: (any Error).self) { try settings(wrong) } }
    }
}
