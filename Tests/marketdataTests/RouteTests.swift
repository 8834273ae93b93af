import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Takes the caller's word for it: `X-Test: admin`, `provider`, or `key:` with scopes.
private struct TrustingAuthentication: Middleware {
    let account: AccountID

    func handle(_ request: Request, next: Handler) async throws -> Response {
        guard let who = request.headers["X-Test"] else { throw Problem.unauthorized() }
        var request = request
        let isKey = who.hasPrefix("key:")
        let words = who.dropFirst(isKey ? 4 : 0).split(separator: ",").map(String.init)
        request.principal = Principal(
            userID: .make(),
            accountID: account,
            roles: isKey ? ["admin"] : words,
            credential: isKey ? .apiKey(.make(), scopes: words) : .session(.make())
        )
        return try await next(request)
    }
}

@Suite struct RouteTests {
    private func client(
        _ bench: Bench,
        account: AccountID = .make(),
        effects: (any Effects)? = nil,
        time: any TimeSource = SystemTimeSource()
    ) -> RequestClient {
        let routes = MarketdataRoutes(
            store: bench.store,
            reader: bench.reader,
            importer: bench.importer,
            replays: Replays(store: bench.store, reader: bench.reader, time: time, feed: nil),
            effects: effects ?? PlainEffects(store: bench.store),
            calendars: bench.calendars,
            quality: bench.quality,
            time: time
        )
        var router = Router(problemOf: MarketdataRoutes.problem)
        routes.addPublicRoutes(to: &router, authentication: TrustingAuthentication(account: account))
        return RequestClient(router: router)
    }

    private func filled() async throws -> Bench {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
        return bench
    }

    @Test func barsAsJSONAndAsBytes() async throws {
        let client = client(try await filled()).with(header: "X-Test", "subscriber")
        let answer = try await client.get("/api/bars?instrument=BTCUSD&interval=15m&start=2016-10-08T00:00:00Z")
        #expect(answer.status == 200)
        let json = try answer.json()
        #expect(json["count"] == .integer(2))
        #expect(json["bars"]?["close"]?[1]?.string == "129.25")
        #expect(json["bars"]?["start"]?[1]?.string == "2016-10-08T00:15:00.000000Z")
        #expect(json["data_sha256"]?.string == answer.headers["x-auspex-data-sha256"])
        #expect(json["next_start"] == .null)
        let bytes = try await client.get("/api/bars?instrument=BTCUSD&interval=15m&format=binary&countback=1")
        #expect(bytes.headers["content-type"] == "application/vnd.auspex.bars")
        #expect(Array(bytes.body[0..<4]) == Array("AUSB".utf8))
        #expect(bytes.body.count == 64 + 7 * 8)
        #expect(bytes.headers["x-auspex-data-sha256"] == answer.headers["x-auspex-data-sha256"])
        let page = try await client.get("/api/bars?instrument=BTCUSD&interval=1m&start=2016-10-08T00:00:00Z&limit=7")
        #expect(try page.json()["next_start"]?.string == "2016-10-08T00:07:00.000000Z")
    }

    /// As of a time to come nothing more is known than now: no month that is still ahead stands there as empty, and none that runs as over.
    @Test func asOfATimeToComeIsAsOfNow() async throws {
        let client = client(try await filled()).with(header: "X-Test", "subscriber")
        let query = "/api/bars?instrument=BTCUSD&interval=1M&start=2016-10-01T00:00:00Z&fill=forward"
        let now = try await client.get(query).json()
        let ahead = try await client.get(query + "&as_of=2300-01-01T00:00:00Z").json()
        #expect(ahead["count"] == now["count"] && ahead["data_sha256"] == now["data_sha256"])
    }

    /// Of a client whose clock is some seconds ahead as well: the bar that runs is not over for it.
    @Test func asOfAMomentAheadIsAsOfNow() async throws {
        let time = ManualTimeSource(at("2016-10-08T00:10:20Z"))
        let bench = try Bench(MemoryMarketdataStore(), time: time)
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
        let client = client(bench, time: time).with(header: "X-Test", "subscriber")
        let query = "/api/bars?instrument=BTCUSD&interval=1m&start=2016-10-08T00:00:00Z"
        let now = try await client.get(query)
        let ahead = try await client.get(query + "&as_of=2016-10-08T00:11:19Z")
        #expect(try now.json()["count"] == .integer(10), "\(now.text)")
        #expect(try ahead.json()["count"] == .integer(10), "\(ahead.text)")
        // What lies behind is what was known then.
        #expect(try await client.get(query + "&as_of=2016-10-08T00:05:00Z").json()["count"] == .integer(5))
    }

    @Test(arguments: [
        ("", "missing_parameter", "instrument"), ("instrument=BTCUSD", "missing_parameter", "interval"),
        ("instrument=BTCUSD&interval=soon", "invalid_parameter", "interval"),
        ("instrument=BTCUSD&interval=1m&color=red", "unknown_parameter", "color"),
        ("instrument=BTCUSD&interval=1m&limit=0", "invalid_parameter", "limit"),
        ("instrument=BTCUSD&interval=1m&limit=1e9", "invalid_parameter", "limit"),
        ("instrument=BTCUSD&interval=1m&as_of=yesterday", "invalid_parameter", "as_of"),
        ("instrument=BTCUSD&interval=1m&as_of=9999-01-01T00:00:00Z", "invalid_parameter", "as_of"),
        ("instrument=BTCUSD&interval=1m&start=2016-10-08T00:00:00Z&end=2016-10-08T00:00:00Z", "invalid_parameter", "end"),
        ("instrument=BTCUSD&interval=1m&start=2016-10-08T00:00:00Z&countback=3", "invalid_parameter", "countback"),
        ("instrument=BTCUSD&interval=1m&session=night", "invalid_parameter", "session"),
        ("instrument=BTCUSD&interval=1m&price=last", "invalid_parameter", "price"),
        ("instrument=BTCUSD&interval=1m&adjustment=both", "invalid_parameter", "adjustment"),
        ("instrument=BTCUSD&interval=1m&fill=backward", "invalid_parameter", "fill"),
        ("instrument=BTCUSD&interval=1m&fill=forward&format=binary", "fill_needs_json", "fill"),
        ("instrument=BTCUSD&interval=1m&partial=maybe", "invalid_parameter", "partial"),
        ("instrument=NONE&interval=1m", "unknown_instrument", "instrument"),
        ("instrument=%27%3B+DROP+TABLE&interval=1m", "unknown_instrument", "instrument"),
        ("instrument=BTCUSD&interval=1s", "interval_not_available", "interval"),
        ("instrument=BTCUSD&interval=90s", "interval_not_available", "interval"),
        ("instrument=BTCUSD&interval=1m&price=ask", "price_not_available", "price"),
    ])
    func badQuestionsAreNamed(query: String, code: String, field: String) async throws {
        let answer = try await client(try await filled()).with(header: "X-Test", "subscriber").get("/api/bars?\(query)")
        #expect((400..<500).contains(answer.status))
        #expect(answer.problemCode == code)
        #expect(answer.problemField == field)
    }

    /// Route × role: what somebody without a login, a key without and with the scope, a subscriber, a provider and an administrator get.
    @Test(arguments: [
        ("GET /api/bars?instrument=BTCUSD&interval=1m", [401, 403, 200, 200, 200, 200]), ("GET /api/instruments", [401, 403, 200, 200, 200, 200]),
        ("GET /api/instruments/BTCUSD", [401, 403, 200, 200, 200, 200]), ("GET /api/instruments/BTCUSD/actions", [401, 403, 200, 200, 200, 200]),
        ("GET /api/instruments/BTCUSD/quality", [401, 403, 200, 200, 200, 200]), ("POST /api/instruments", [401, 403, 403, 403, 403, 400]),
        ("POST /api/imports?filename=x.csv", [401, 403, 403, 403, 403, 422]), ("GET /api/replays", [401, 403, 200, 200, 200, 200]),
        ("POST /api/replays", [401, 403, 403, 403, 400, 400]),
        ("DELETE /api/replays/01920000-0000-7000-8000-000000000000", [401, 403, 403, 403, 404, 404]),
        ("POST /api/replays/01920000-0000-7000-8000-000000000000/pause", [401, 403, 403, 403, 404, 404]),
        ("GET /api/replays/01920000-0000-7000-8000-000000000000", [401, 403, 404, 404, 404, 404]),
    ])
    func whoMayDoWhat(route: String, expected: [Int]) async throws {
        let bench = try await filled()
        let parts = route.split(separator: " ").map(String.init)
        let method = try #require(Method(rawValue: parts[0]))
        var statuses: [Int] = []
        for who in [nil, "key:jobs:write", "key:bars:read", "subscriber", "provider", "admin"] {
            var client = client(bench)
            if let who { client = client.with(header: "X-Test", who) }
            statuses.append(
                try await client.send(method, parts[1], headers: [("content-type", "application/json")], body: Array("{\"x\":1}".utf8)).status
            )
        }
        #expect(statuses == expected)
    }

    @Test func instrumentsAreMadeListedAndFound() async throws {
        let client = client(try await filled()).with(header: "X-Test", "admin")
        struct New: Encodable {
            var symbol = "ETHUSD"
            var assetClass = "crypto"
            var tickSize: String? = "0.01"
            var calendar: String?
        }
        #expect(try await client.post("/api/instruments", json: New()).status == 201)
        #expect(try await client.post("/api/instruments", json: New()).problemCode == "symbol_taken")
        #expect(try await client.post("/api/instruments", json: New(symbol: "eth usd")).problemField == "symbol")
        #expect(try await client.post("/api/instruments", json: New(symbol: "A", assetClass: "stone")).problemField == "asset_class")
        #expect(try await client.post("/api/instruments", json: New(symbol: "A", tickSize: "0")).problemField == "tick_size")
        #expect(try await client.post("/api/instruments", json: New(symbol: "A", calendar: "moon")).problemCode == "unknown_calendar")
        let first = try await client.get("/api/instruments?limit=1").json()
        #expect(first["items"]?[0]?["symbol"]?.string == "BTCUSD")
        let cursor = try #require(first["next_cursor"]?.string)
        let second = try await client.get("/api/instruments?limit=1&cursor=\(cursor)").json()
        #expect(second["items"]?[0]?["symbol"]?.string == "ETHUSD")
        #expect(second["next_cursor"] == .null)
        let one = try await client.get("/api/instruments/BTCUSD").json()
        #expect(one["series"]?[0]?["interval_seconds"] == .integer(60))
        #expect(one["base_interval_seconds"] == .integer(60))
        #expect(try await client.get("/api/instruments?cursor=rubbish").problemCode == "invalid_cursor")
    }

    @Test func importsAnswerByDayAndByLine() async throws {
        let client = client(try Bench(MemoryMarketdataStore())).with(header: "X-Test", "admin")
        func send(_ text: String, _ query: String) async throws -> RequestClient.Answer {
            try await client.send(.post, "/api/imports?\(query)", body: Array(text.utf8))
        }
        let file = minutes(from: "2016-10-08T00:00:00Z", count: 3)
        let first = try await send(file, "filename=BTCUSD.csv")
        #expect(first.status == 201)
        #expect(try first.json()["days_added"] == .integer(1))
        let again = try await send(file, "filename=BTCUSD.csv")
        #expect(again.status == 200)
        #expect(try again.json()["days_unchanged"] == .integer(1))
        let bad = try await send(file + "2016-10-08T00:03:00,1,x,1,1,1\n2016-10-09T00:03:00,1,1,1,1,1\n", "filename=BTCUSD.csv")
        let json = try bad.json()
        #expect(json["bad_rows"]?[0]?["line"] == .integer(5))
        #expect(json["days_refused"] == .integer(1))
        #expect(json["days_added"] == .integer(1))
        let refused = try await send("time,open,high,low,close\n2016-10-08T00:03:00,1,x,1,1\n2016-10-08T00:04:00,1,x,1,1\n", "filename=BTCUSD.csv")
        #expect(refused.status == 422)
        #expect(refused.problemCode == "bad_rows")
        #expect(try refused.json()["bad_row_count"] == .integer(2))
        #expect(try await send("rubbish", "filename=x.csv").problemCode == "unknown_layout")
        let single = "time,open,high,low,close\n2016-10-10T00:00:00,1,1,1,1\n"
        let unclear = try await send(single, "filename=BTCUSD.csv")
        #expect(unclear.status == 422 && unclear.problemCode == "interval_required" && unclear.problemField == "interval")
        #expect(try await send(single, "filename=BTCUSD.csv&interval=1m").status == 201)
        #expect(try await send(single, "filename=BTCUSD.csv&interval=soon").problemField == "interval")
        #expect(try await send(single, "filename=BTCUSD.csv&interval=1M").problemField == "interval")
        #expect(try await send(file, "").problemField == "filename")
        #expect(try await send(file, "filename=a.csv&symbol=a%20b").problemField == "symbol")
    }

    @Test func replaysThroughTheirRoutes() async throws {
        let account = AccountID.make()
        let client = client(try await filled(), account: account).with(header: "X-Test", "provider")
        struct New: Encodable {
            var instrument = "BTCUSD"
            var speed: Double? = 60
            var interval: String?
            var start: String?
        }
        let made = try await client.post("/api/replays", json: New())
        #expect(made.status == 201)
        let id = try #require(try made.json()["id"]?.string)
        #expect(try made.json()["instrument"]?.string == "BTCUSD@replay-1")
        #expect(try await client.post("/api/replays/\(id)/pause", json: [String: String]()).decode(ReplayState.self).state == "paused")
        #expect(try await client.post("/api/replays/\(id)/resume", json: [String: String]()).decode(ReplayState.self).state == "running")
        #expect(try await client.delete("/api/replays/\(id)").status == 204)
        #expect(try await client.delete("/api/replays/\(id)").status == 204)
        #expect(try await client.post("/api/replays/\(id)/resume", json: [String: String]()).problemCode == "replay_state")
        #expect(try await client.post("/api/replays", json: New(speed: 0)).problemField == "speed")
        #expect(try await client.post("/api/replays", json: New(interval: "soon")).problemField == "interval")
        #expect(try await client.post("/api/replays", json: New(start: "soon")).problemField == "start")
        #expect(try await client.post("/api/replays", json: New(instrument: "BTCUSD@replay-1")).problemCode == "replay_of_replay")
        #expect(try await client.post("/api/replays", json: New(interval: "1s")).problemCode == "interval_not_available")
        #expect(try await client.get("/api/replays").json()["items"]?[0]?["id"]?.string == id)
        let bars = try await client.get("/api/bars?instrument=BTCUSD%40replay-1&interval=1m").json()
        #expect(bars["feed"]?.string == "replay")
        #expect(bars["count"] == .integer(0))
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func aRepeatedRequestTakesEffectOnce() async throws {
        try await withPostgresStore { store, _ in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5), as: "BTCUSD.csv")
            let administrator = client(bench, effects: PostgresEffects(store: store)).with(header: "X-Test", "admin")
            let client = administrator.with(header: "Idempotency-Key", "once")
            let first = try await client.post("/api/replays", json: ["instrument": "BTCUSD"])
            let again = try await client.post("/api/replays", json: ["instrument": "BTCUSD"])
            #expect(first.status == 201)
            #expect(again.status == 201)
            #expect(first.body == again.body)
            #expect(again.headers["idempotency-replayed"] == "true")
            #expect(try await client.post("/api/replays", json: ["instrument": "ETHUSD"]).status >= 400)
            #expect(try await store.replays(after: nil, limit: 9).count == 1)
            struct New: Encodable {
                var symbol = "ETHUSD"
                var assetClass = "crypto"
            }
            #expect(try await client.post("/api/instruments", json: New()).status == 201)
            #expect(try await client.post("/api/instruments", json: New()).status == 201)
            #expect(
                try await administrator.with(header: "Idempotency-Key", "other").post("/api/instruments", json: New()).problemCode == "symbol_taken"
            )
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func aRepeatedChangeOfAReplayDoesNotUndoTheNextOne() async throws {
        try await withPostgresStore { store, _ in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 5), as: "BTCUSD.csv")
            let client = client(bench, effects: PostgresEffects(store: store)).with(header: "X-Test", "admin")
            let id = try #require(try await client.post("/api/replays", json: ["instrument": "BTCUSD"]).json()["id"]?.string)
            func send(_ method: HTTPServing.Method, _ path: String, _ key: String) async throws -> RequestClient.Answer {
                try await client.with(header: "Idempotency-Key", key).send(method, "/api/replays/\(id)\(path)")
            }
            let paused = try await send(.post, "/pause", "first")
            #expect(paused.status == 200)
            #expect(try await send(.post, "/resume", "second").json()["state"] == "running")
            // The answer to the first was lost, and its client asks again: it may not pause what runs now.
            let again = try await send(.post, "/pause", "first")
            #expect(again.body == paused.body && again.headers["idempotency-replayed"] == "true")
            #expect(try await client.get("/api/replays/\(id)").json()["state"] == "running")
            #expect(try await send(.delete, "", "third").status == 204)
            #expect(try await send(.delete, "", "third").headers["idempotency-replayed"] == "true")
            #expect(try await send(.post, "/resume", "second").headers["idempotency-replayed"] == "true")
            #expect(try await client.get("/api/replays/\(id)").json()["state"] == "stopped")
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func aRepeatedImportGetsTheFirstAnswer() async throws {
        try await withPostgresStore { store, _ in
            let bench = try Bench(store)
            let client = client(bench, effects: PostgresEffects(store: store)).with(header: "X-Test", "admin")
                .with(header: "Idempotency-Key", "once")
            let file = minutes(from: "2016-10-08T00:00:00Z", count: 5)
            func send(_ name: String) async throws -> RequestClient.Answer {
                try await client.send(.post, "/api/imports?filename=\(name)", body: Array(file.utf8))
            }
            let first = try await send("BTCUSD.csv")
            #expect(first.status == 201, "\(first.text)")
            let again = try await send("BTCUSD.csv")
            #expect(again.status == 201 && again.body == first.body && again.headers["idempotency-replayed"] == "true")
            #expect(try await send("ETHUSD.csv").problemCode == "idempotency_key_reused")
        }
    }

    private struct ReplayState: Decodable { let state: String }
}

@Suite struct InternalRouteTests {
    private func routes() async throws -> (MarketdataRoutes, Bench) {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
        let time = SystemTimeSource()
        let replays = Replays(store: bench.store, reader: bench.reader, time: time, feed: nil)
        return (
            MarketdataRoutes(
                store: bench.store,
                reader: bench.reader,
                importer: bench.importer,
                replays: replays,
                effects: PlainEffects(store: bench.store),
                calendars: bench.calendars,
                quality: bench.quality,
                time: time
            ), bench
        )
    }

    @Test func anExecutorReadsWithinItsJobTokenOnly() async throws {
        let (routes, bench) = try await routes()
        let credentials = try TestCredentials()
        let known = try credentials.knownServices()
        let verifier = ServiceTokenVerifier(keys: known)
        var router = Router()
        routes.addInternalRoutes(to: &router, jobTokens: JobTokenVerifier(keys: known)) { callers in
            ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: callers)
        }
        func client(_ name: String) throws -> RequestClient {
            RequestClient(router: router).with(header: "Authorization", "Service \(try credentials.serviceToken(name, audience: "marketdata"))")
        }
        func jobToken(_ key: SigningKey, kind: String = "signal_run", instruments: [String], asOf: String) throws -> String {
            let claims = JobTokenClaims(
                jobID: .make(),
                attemptID: .make(),
                kind: kind,
                signalID: nil,
                codeSHA256: nil,
                files: [],
                instruments: instruments,
                asOf: at(asOf),
                now: .now(),
                lifetimeSeconds: 60
            )
            return try JWT.sign(claims, with: key, type: JobTokenClaims.tokenType)
        }
        let path = "/internal/v1/bars?instrument=BTCUSD&interval=1m&countback=100"
        let executor = try client("executor")
        #expect(try await executor.get(path).problemCode == "job_token_missing")
        let good = try jobToken(credentials.key(of: "scheduler"), instruments: ["BTCUSD"], asOf: "2016-10-08T00:10:00Z")
        let inside = try await executor.with(header: "X-Auspex-Job", good).get(path)
        #expect(try inside.json()["count"] == .integer(10))
        #expect(inside.headers["x-auspex-data-sha256"]?.count == 64)
        let earlier = try await executor.with(header: "X-Auspex-Job", good).get(path + "&as_of=2016-10-08T00:04:00Z")
        #expect(try earlier.json()["count"] == .integer(4))
        #expect(try await executor.with(header: "X-Auspex-Job", good).get(path + "&as_of=2016-10-08T00:10:01Z").problemCode == "outside_job_token")
        let other = try jobToken(credentials.key(of: "scheduler"), instruments: ["ETHUSD"], asOf: "2016-10-08T00:10:00Z")
        #expect(try await executor.with(header: "X-Auspex-Job", other).get(path).problemCode == "outside_job_token")
        // What an executor gets for warming a sandbox: it names files and no instruments.
        let announced = try jobToken(credentials.key(of: "scheduler"), kind: "announcement", instruments: [], asOf: "1970-01-01T00:00:00Z")
        #expect(try await executor.with(header: "X-Auspex-Job", announced).get(path).problemCode == "outside_job_token")
        let forged = try jobToken(credentials.key(of: "executor"), instruments: ["BTCUSD"], asOf: "2016-10-08T00:10:00Z")
        #expect(try await executor.with(header: "X-Auspex-Job", forged).get(path).problemCode == "invalid_job_token")
        #expect(try await client("signals").get(path).json()["count"] == .integer(30))
        #expect(try await client("scheduler").get(path).status == 403)
        #expect(try await client("signals").get("/internal/v1/instruments/BTCUSD").json()["base_interval_seconds"] == .integer(60))
        #expect(try await client("signals").get("/internal/v1/instruments/NONE").status == 404)
        struct Watches: Encodable {
            struct Entry: Encodable {
                var instrument: String
                var intervalSeconds: Int
            }
            var watches: [Entry]
        }
        let scheduler = try client("scheduler")
        #expect(
            try await scheduler.post("/internal/v1/watches", json: Watches(watches: [.init(instrument: "BTCUSD", intervalSeconds: 60)])).status == 204
        )
        let id = try #require(try await bench.store.instrument(symbol: "BTCUSD")).id
        #expect(try await bench.store.watchedIntervals(of: id) == [60])
        #expect(
            try await scheduler.post("/internal/v1/watches", json: Watches(watches: [.init(instrument: "BTCUSD", intervalSeconds: 1)])).status == 204
        )
        #expect(try await bench.store.watchedIntervals(of: id) == [])
        #expect(try await client("executor").post("/internal/v1/watches", json: Watches(watches: [])).status == 403)
    }
}
