import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite(.enabled(if: TestServers.hasPostgres)) struct ChartSessionTests {
    private let chart = "symbol=BTCUSD&interval=1m&start=2016-10-08&end=2016-10-08"

    private func filled(_ doors: ChartDoors) async throws {
        try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
    }

    @Test func aPersonAndAProgramBeginOneAndNobodyElse() async throws {
        try await withChartDoors { doors in
            let made = try await doors.client(doors.person).get("/utils/session/initiate")
            #expect(made.status == 200)
            #expect(made.headers["cache-control"] == "no-store")
            let json = try made.json()
            #expect(json["heartbeat_seconds"] == .integer(60))
            #expect(json["timeout_seconds"] == .integer(1_800))
            let token = try #require(json["session_token"]?.string)
            #expect(token.utf8.count == 43)
            let end = try #require(json["expires_at"]?.string.flatMap { Timestamp(iso8601: $0) })
            #expect(end > .now() + .seconds(1_700) && end <= .now() + .seconds(1_800))
            let key = doors.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["bars:read"])
            #expect(try await doors.client(key: key).get("/utils/session/initiate/").status == 200)
            let bearer = doors.stranger.with(header: "Authorization", "Bearer \(key.text)")
            #expect(try await bearer.get("/utils/session/initiate").status == 200)
            let other = doors.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["jobs:write"])
            #expect(try await doors.client(key: other).get("/utils/session/initiate").verdict == "403 insufficient_scope")
            #expect(try await doors.stranger.get("/utils/session/initiate").status == 401)
            #expect(try await doors.count("chart_sessions") == 3)
        }
    }

    @Test func onlyTheHashOfTheTokenIsKept() async throws {
        try await withChartDoors { doors in
            try await filled(doors)
            let token = try await doors.token()
            #expect(try await doors.historical(token, "BTCUSD", "1m", "2016-10-08", "2016-10-08").status == 200)
            for table in ["chart_sessions", "chart_requests"] {
                let sql: SQL = table == "chart_sessions" ? "SELECT t::text FROM chart_sessions t" : "SELECT t::text FROM chart_requests t"
                let text = try await doors.pool.query(sql).map { try $0.column(0, as: String.self) }.joined()
                #expect(!text.isEmpty)
                #expect(!text.contains(token))
            }
            let kept = try await doors.pool.query("SELECT token_sha256 FROM chart_sessions").first?.column(0, as: SHA256Digest.self)
            #expect(kept == SHA256.digest(utf8: token))
            #expect(try !"\(#require(ChartSessionToken(parsing: token)))".contains(token))
        }
    }

    @Test func aHeartbeatKeepsItAliveAndSilenceEndsIt() async throws {
        let time = ManualTimeSource(.now())
        try await withChartDoors(time: time) { doors in
            try await filled(doors)
            let token = try await doors.token()
            func state() async throws -> String { try await doors.stranger.get("/historical/?session_token=\(token)&\(chart)").verdict }
            time.advance(by: .seconds(1_700))
            let beat = try await doors.stranger.post("/utils/session/heartbeat", json: ["session_token": token])
            #expect(beat.status == 200)
            #expect(try beat.json()["expires_at"]?.string == (time.now() + .seconds(1_800)).iso8601)
            #expect(try beat.json()["session_token"] == nil)
            time.advance(by: .seconds(1_700))
            #expect(try await state() == "200")
            #expect(try await doors.stranger.send(.post, "/utils/session/heartbeat?session_token=\(token)").status == 200)
            time.advance(by: .seconds(1_799))
            #expect(try await state() == "200")
            time.advance(by: .seconds(1))
            #expect(try await state() == "401 invalid_session_token")
            // What has ended cannot be woken.
            #expect(try await doors.stranger.send(.post, "/utils/session/heartbeat?session_token=\(token)").verdict == "401 invalid_session_token")
            #expect(try await state() == "401 invalid_session_token")
        }
    }

    @Test func aHeartbeatAtAnotherReplicaCountsHere() async throws {
        let time = ManualTimeSource(.now())
        try await withChartDoors(time: time) { doors in
            try await filled(doors)
            let token = try await doors.token()
            let other = try ChartDoors(doors.store, doors.pool, time: time, limits: ChartLimits())
            time.advance(by: .seconds(1_700))
            #expect(try await other.stranger.send(.post, "/utils/session/heartbeat?session_token=\(token)").status == 200)
            time.advance(by: .seconds(1_700))
            #expect(try await doors.historical(token, "BTCUSD", "1m", "2016-10-08", "2016-10-08").status == 200)
        }
    }

    @Test func theCleanUpTakesThatSessionsDataAndNothingElse() async throws {
        let time = ManualTimeSource(.now())
        try await withChartDoors(time: time) { doors in
            try await filled(doors)
            let ended = try await doors.token()
            #expect(try await doors.historical(ended, "BTCUSD", "1m", "2016-10-08", "2016-10-08").status == 200)
            time.advance(by: .seconds(900))
            let alive = try await doors.token()
            let kept = try await doors.historical(alive, "BTCUSD", "5m", "2016-10-08", "2016-10-08")
            let id = try #require(try kept.json()["request_id"]?.string)
            #expect(doors.bodies.sessions.count == 2)
            time.advance(by: .seconds(901))
            let before = try await doors.pool.query("SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM instruments)")[0]
                .decode(Int.self, Int.self)
            await doors.sweeper.round()
            #expect(
                try await doors.pool.query("SELECT token_sha256 FROM chart_sessions").map { try $0.column(0, as: SHA256Digest.self) } == [
                    SHA256.digest(utf8: alive)
                ]
            )
            #expect(try await doors.pool.query("SELECT id::text FROM chart_requests").map { try $0.column(0, as: String.self) } == [id])
            #expect(doors.bodies.sessions.count == 1)
            let after = try await doors.pool.query("SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM instruments)")[0]
                .decode(Int.self, Int.self)
            #expect(before == after)
            #expect(try await doors.stranger.get("/historical/?session_token=\(ended)&\(chart)").verdict == "401 invalid_session_token")
            let chunk = "/historical/chunk?session_token=\(alive)&request_id=\(id)&before=2016-10-08T00:10:00Z"
            #expect(try await doors.stranger.get(chunk).status == 200)
        }
    }

    @Test func theSweeperSweepsByItself() async throws {
        let time = ManualTimeSource(.now())
        try await withChartDoors(time: time) { doors in
            _ = try await doors.token()
            try await doors.sweeper.start()
            _ = try await time.fellAsleep.next()
            time.advance(by: .seconds(1_800))
            // It sleeps again when the round is over.
            _ = try await time.fellAsleep.next()
            #expect(try await doors.count("chart_sessions") == 0)
            await doors.sweeper.stop()
        }
    }

    @Test func itEndsWithTheLoginThatMadeIt() async throws {
        try await withChartDoors { doors in
            try await filled(doors)
            let (login, other) = (SessionID.make(), SessionID.make())
            let token = try await doors.token(try doors.client(doors.person, session: login))
            let second = try await doors.token(try doors.client(doors.person, session: other))
            doors.credentials.denied.revoke(session: login, until: .now() + .seconds(900))
            #expect(try await doors.historical(token, "BTCUSD", "1m", "2016-10-08", "2016-10-08").verdict == "401 invalid_session_token")
            #expect(try await doors.stranger.send(.post, "/utils/session/heartbeat?session_token=\(token)").status == 401)
            #expect(try await doors.stranger.get("/udf/session/\(token)/config").status == 401)
            #expect(try await doors.historical(second, "BTCUSD", "1m", "2016-10-08", "2016-10-08").status == 200)
            // The deny set forgets; what the clean-up has seen stays gone.
            await doors.sweeper.round()
            #expect(try await doors.count("chart_sessions") == 1)
        }
    }

    @Test func itEndsWhenTheUsersTokensDo() async throws {
        try await withChartDoors { doors in
            let token = try await doors.token(try doors.client(doors.person, version: 1))
            doors.credentials.denied.raise(user: doors.person.userID, version: 2)
            #expect(try await doors.stranger.get("/udf/session/\(token)/config").status == 401)
            let fresh = try await doors.token(try doors.client(doors.person, version: 2))
            #expect(try await doors.stranger.get("/udf/session/\(fresh)/config").status == 200)
        }
    }

    @Test func itServesOnlyAsLongAsTheKeyThatMadeIt() async throws {
        try await withChartDoors { doors in
            try await filled(doors)
            let key = doors.credentials.apiKeys.make(roles: ["subscriber"], scopes: ["bars:read"])
            let token = try await doors.token(doors.client(key: key))
            #expect(try await doors.historical(token, "BTCUSD", "1m", "2016-10-08", "2016-10-08").status == 200)
            doors.credentials.apiKeys.forget(key)
            #expect(try await doors.historical(token, "BTCUSD", "1m", "2016-10-08", "2016-10-08").verdict == "401 invalid_session_token")
        }
    }

    @Test func itOpensChartsAndNothingElse() async throws {
        try await withChartDoors { doors in
            try await filled(doors)
            let token = try await doors.token()
            for path in ["/api/bars?instrument=BTCUSD&interval=1m", "/api/instruments", "/api/replays", "/utils/session/initiate"] {
                #expect(try await doors.stranger.with(header: "Authorization", "Bearer \(token)").get(path).status == 401, "\(path)")
                #expect(try await doors.stranger.with(header: "X-API-Key", token).get(path).status == 401, "\(path)")
                let joined = path + (path.contains("?") ? "&" : "?") + "session_token=\(token)"
                #expect(try await doors.stranger.get(joined).status == 401, "\(path)")
            }
            #expect(try await doors.client(doors.person).get("/historical/?\(chart)").verdict == "401 session_token_missing")
            for bad in ["", "x", String(repeating: "A", count: 43), "'; DROP TABLE chart_sessions; --".replacing(" ", with: "+")] {
                #expect(try await doors.stranger.get("/historical/?session_token=\(bad)&\(chart)").status == 401, "\(bad)")
                #expect(try await doors.stranger.send(.post, "/utils/session/heartbeat?session_token=\(bad)").status == 401, "\(bad)")
            }
            #expect(try await doors.stranger.send(.post, "/utils/session/heartbeat", body: Array("{}".utf8)).status == 400)
        }
    }

    @Test func anAccountHasSoManyAtOnce() async throws {
        let time = ManualTimeSource(.now())
        var limits = ChartLimits()
        limits.sessionsPerAccount = 2
        try await withChartDoors(time: time, limits: limits) { doors in
            _ = try await doors.token()
            _ = try await doors.token()
            let refused = try await doors.client(doors.person).get("/utils/session/initiate")
            #expect(refused.verdict == "429 too_many_chart_sessions")
            #expect(refused.headers["retry-after"] == "60")
            #expect(try await doors.client(Person(roles: [])).get("/utils/session/initiate").status == 200)
            time.advance(by: .seconds(1_800))
            // Their end makes room, whether or not they were cleaned up.
            #expect(try await doors.client(doors.person).get("/utils/session/initiate").status == 200)
        }
    }

    @Test func pagesOfOtherOriginsReadByTokenAlone() async throws {
        try await withChartDoors { doors in
            try await filled(doors)
            let token = try await doors.token()
            let page = doors.stranger.with(header: "Origin", "https://charts.example.org")
            let read = try await page.get("/udf/session/\(token)/config")
            #expect(read.headers["access-control-allow-origin"] == "*")
            #expect(read.headers["access-control-allow-credentials"] == nil)
            let refused = try await page.get("/historical/?session_token=x&\(chart)")
            #expect(refused.status == 401)
            #expect(refused.headers["access-control-allow-origin"] == "*")
            let asked = try await page.send(.options, "/utils/session/heartbeat")
            #expect(asked.status == 204)
            #expect(asked.headers["access-control-allow-headers"]?.contains("Content-Type") == true)
            #expect(try await page.get("/api/instruments").headers["access-control-allow-origin"] == nil)
        }
        var limits = ChartLimits()
        limits.origins = ["https://charts.example.org"]
        try await withChartDoors(limits: limits) { doors in
            let page = doors.stranger.with(header: "Origin", "https://charts.example.org")
            #expect(try await page.get("/udf/config").headers["access-control-allow-origin"] == "https://charts.example.org")
            let other = try await doors.stranger.with(header: "Origin", "https://evil.example.org").get("/udf/config")
            #expect(other.headers["access-control-allow-origin"] == nil)
            #expect(other.headers["vary"] == "Origin")
        }
        limits.origins = []
        try await withChartDoors(limits: limits) { doors in
            let page = doors.stranger.with(header: "Origin", "https://charts.example.org")
            let read = try await page.get("/udf/config")
            #expect(read.headers["access-control-allow-origin"] == nil)
            let asked = try await page.send(.options, "/udf/config")
            #expect(asked.headers["access-control-allow-methods"] == nil)
        }
    }
}

@Suite struct ChartLimitsTests {
    @Test func theDefaultsAreTheSpecs() throws {
        var reader = SettingsReader(environment: [:])
        let limits = ChartLimits(from: &reader)
        try reader.finish()
        #expect(limits.sessionLifetime == .seconds(1_800) && limits.heartbeat == .seconds(60))
        #expect(limits.origins == ["*"])
        #expect(limits.cachedBytes == 64 << 20)
    }

    @Test(
        arguments: [
            ("none", []), ("*", ["*"]), ("https://a.example, http://localhost:3000", ["https://a.example", "http://localhost:3000"]),
        ] as [(String, [String])]
    )
    func originsAreReadOrRefused(text: String, origins: [String]) throws {
        var reader = SettingsReader(environment: ["AUSPEX_CHART_ORIGINS": text, "AUSPEX_CHART_SESSION_SECONDS": "60"])
        let limits = ChartLimits(from: &reader)
        try reader.finish()
        #expect(limits.origins == origins && limits.heartbeat == .seconds(2))
        for bad in ["a.example", "https://a.example/path", "https://", "https://a b.example,ftp://x"] {
            var reader = SettingsReader(environment: ["AUSPEX_CHART_ORIGINS": bad])
            _ = ChartLimits(from: &reader)
            #expect(throws: SettingsError.self, "\(bad)") { try reader.finish() }
        }
    }
}

@Suite struct WarmUpTests {
    @Test(.enabled(if: TestServers.hasPostgres)) func itAsksAndChangesNothing() async throws {
        try await withPostgresStore { store, pool in
            let time = SystemTimeSource()
            let warmUp = WarmUp(store: store, calendars: Calendars(store: store, time: time), loops: [TestLoop.shared])
            try await warmUp.round()
            try await warmUp.start()
            await warmUp.stop()
            #expect(try await pool.query("SELECT count(*) FROM instruments").first?.column(0, as: Int.self) == 0)
        }
    }
}
