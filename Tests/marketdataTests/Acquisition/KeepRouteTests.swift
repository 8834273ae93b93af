import Bars
import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Rules as administrators make, change and run them, and what readers are told.
@Suite(.enabled(if: TestServers.hasPostgres && TestServers.hasRedis), .timeLimit(.minutes(10))) struct KeepRouteTests {
    private struct World {
        let bench: AcquisitionBench
        let replica: AcquisitionBench.Replica
        let credentials: TestCredentials
        let router: Router

        func client(_ role: String) throws -> RequestClient {
            let token = try credentials.token(user: .make(), account: .make(), roles: [role])
            return RequestClient(router: router).with(header: "Authorization", "Bearer \(token)")
        }
    }

    private func withWorld(_ body: (World) async throws -> Void) async throws {
        try await AcquisitionBench.with { bench in
            let credentials = try TestCredentials()
            let replica = try await bench.replica()
            let time = SystemTimeSource()
            var router = Router(problemOf: MarketdataRoutes.problem)
            let people = UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys)
            KeepRoutes(
                store: bench.store,
                rules: bench.rules,
                sources: replica.catalogue,
                keeper: replica.keeper,
                fetchFirst: replica.first,
                time: time
            ).add(to: &router, authentication: people)
            SourceRoutes(sources: replica.catalogue).add(to: &router, authentication: people)
            var routes = MarketdataRoutes(
                store: bench.store,
                reader: replica.bench.reader,
                importer: replica.bench.importer,
                replays: Replays(store: bench.store, reader: replica.bench.reader, time: time, feed: nil),
                effects: PostgresEffects(store: bench.store),
                calendars: replica.bench.calendars,
                quality: replica.bench.quality,
                time: time
            )
            routes.fetchFirst = replica.first
            routes.addPublicRoutes(to: &router, authentication: people)
            try await body(World(bench: bench, replica: replica, credentials: credentials, router: router))
        }
    }

    private let nept: [String: JSONValue] = [
        "instrument": "NEPT", "source": "iqfeed", "interval": "1m", "every_seconds": 3_600, "backfill_from": "2021-01-01T00:00:00Z",
        "asset_class": "equity",
    ]

    @Test func aRuleIsMadeReadChangedRunAndTakenAway() async throws {
        try await withWorld { world in
            let admin = try world.client("admin")
            let made = try await admin.post("/api/sources/keep", json: JSONValue.object(nept), headers: [("idempotency-key", "one")])
            #expect(made.status == 201)
            let rule = try made.json()
            let id = try #require(rule["id"]?.string)
            #expect(rule["source_symbol"]?.string == "NEPT" && rule["enabled"] == .bool(true) && rule["state"]?.string == "due")
            // Its instrument is there, and said to the others.
            #expect(try await world.bench.store.instrument(symbol: "NEPT")?.calendar == "us-equity")
            #expect(try await world.bench.count("outbox") == 1)
            // The same request again has the same answer; the same rule under another key is one too many.
            let again = try await admin.post("/api/sources/keep", json: JSONValue.object(nept), headers: [("idempotency-key", "one")])
            #expect(again.status == 201)
            #expect(try again.json()["id"]?.string == id)
            #expect(try await admin.post("/api/sources/keep", json: JSONValue.object(nept)).problemCode == "rule_exists")
            var other = nept
            other["interval"] = "1d"
            #expect(try await admin.post("/api/sources/keep", json: JSONValue.object(other)).status == 201)
            let page = try await admin.get("/api/sources/keep?limit=1").json()
            #expect(page["items"]?[0]?["id"]?.string == id)
            let cursor = try #require(page["next_cursor"]?.string)
            #expect(try await admin.get("/api/sources/keep?limit=1&cursor=\(cursor)").json()["items"]?[0]?["interval"]?.string == "1d")
            #expect(try await admin.get("/api/sources/keep?instrument=NEPT").json()["items"]?.array?.count == 2)
            #expect(try await admin.get("/api/sources/keep?instrument=NONE").problemCode == "unknown_instrument")

            let path = "/api/sources/keep/\(id)"
            func patch(_ body: String) async throws -> RequestClient.Answer {
                try await admin.send(.patch, path, headers: [("content-type", "application/json")], body: Array(body.utf8))
            }
            let changed = try await patch(#"{"every_seconds":86400,"enabled":false}"#).json()
            #expect(changed["every_seconds"] == .integer(86_400) && changed["state"]?.string == "off" && changed["next_due_at"] == nil)
            #expect(try await patch(#"{"every_seconds":86400,"enabled":false}"#).json()["changed_at"] == changed["changed_at"])
            #expect(try await patch(#"{"every_seconds":10}"#).problemField == "every_seconds")
            #expect(try await patch(#"{"interval":"5m"}"#).status == 400)
            let off = try await admin.send(.post, path + "/run")
            #expect(off.status == 409 && off.problemCode == "rule_disabled")
            #expect(try await patch(#"{"enabled":true}"#).json()["state"]?.string == "due")
            world.bench.simulator.reply { _ in .noData }
            #expect(try await admin.send(.post, path + "/run").status == 202)
            while await world.replica.keeper.round() {}
            let run = try await admin.get(path).json()
            #expect(run["last_run"]?["outcome"]?.string == "no_data")
            #expect(run["asked_from"]?.string?.hasPrefix("2021-01-01T00:00:00") == true)
            #expect(run["state"]?.string == "waiting")

            #expect(try await admin.delete(path).status == 204)
            #expect(try await admin.delete(path).problemCode == "unknown_rule")
            #expect(try await admin.get(path).problemCode == "unknown_rule")
            #expect(try await admin.get("/api/sources/keep/x").problemCode == "unknown_rule")
            #expect(try await admin.get("/api/sources").status == 200)
        }
    }

    @Test func badRulesAreNamedByField() async throws {
        try await withWorld { world in
            let admin = try world.client("admin")
            let wrong: [(String, JSONValue, String)] = [
                ("source", "moon", "unknown_source"), ("interval", "soon", "invalid_interval"), ("every_seconds", 299, "invalid_every_seconds"),
                ("every_seconds", 604_801, "invalid_every_seconds"), ("instrument", "ne pt", "invalid_symbol"),
                ("backfill_from", "2999-01-01T00:00:00Z", "invalid_backfill_from"),
                ("backfill_from", "1600-01-01T00:00:00Z", "invalid_backfill_from"),
                ("asset_class", "stone", "invalid_asset_class"), ("calendar", "moon", "unknown_calendar"),
                ("source_symbol", "a b", "invalid_source_symbol"), ("source_symbol", "", "invalid_source_symbol"),
            ]
            for (field, value, code) in wrong {
                var body = nept
                body[field] = value
                let answer = try await admin.post("/api/sources/keep", json: JSONValue.object(body))
                #expect(answer.problemCode == code, "\(field)")
                #expect(answer.problemField == field)
            }
            #expect(try await world.bench.count("instruments") == 0)
            #expect(try await world.bench.count("keep_rules") == 0)
            // A known instrument is what it is.
            try await world.bench.store.create(coin("NEPT"))
            #expect(try await admin.post("/api/sources/keep", json: JSONValue.object(nept)).problemField == "asset_class")
        }
    }

    @Test func onlyAdministratorsMay() async throws {
        try await withWorld { world in
            let rule = try await world.bench.rule()
            let key = world.credentials.apiKeys.make(.valid, roles: ["admin"], scopes: ["bars:read"])
            let clients = [
                try world.client("subscriber"), try world.client("provider"), RequestClient(router: world.router).with(header: "X-API-Key", key.text),
            ]
            let routes: [(HTTPServing.Method, String)] = [
                (.get, "/api/sources/keep"), (.post, "/api/sources/keep"), (.get, "/api/sources/keep/\(rule.id)"),
                (.patch, "/api/sources/keep/\(rule.id)"), (.delete, "/api/sources/keep/\(rule.id)"), (.post, "/api/sources/keep/\(rule.id)/run"),
            ]
            for (method, path) in routes {
                #expect(try await RequestClient(router: world.router).send(method, path).status == 401)
                for client in clients { #expect(try await client.send(method, path).status == 403, "\(method) \(path)") }
            }
        }
    }

    @Test func readersGetWhatIsMissingUnlessTheySayNo() async throws {
        try await withWorld { world in
            try await world.bench.rule()
            world.bench.simulator.reply { iqfeedMinutes($0) }
            let reader = try world.client("subscriber")
            let question = "/api/bars?instrument=NEPT&interval=1m&start=2021-03-01T00:00:00Z&end=2021-04-01T00:00:00Z&limit=50000&format=csv"
            let without = try await reader.get(question + "&fetch=false")
            #expect(without.status == 200)
            #expect(without.text.split(separator: "\n").count <= 1)
            #expect(try await world.bench.requests() == 0)
            let with = try await reader.get(question)
            #expect(with.text.split(separator: "\n").count == 116)
            #expect(with.headers["x-auspex-not-fetched"] == nil)
            #expect(try await world.bench.requests() == 1)
            #expect(try await reader.get(question + "&fetch=perhaps").problemField == "fetch")
            world.bench.simulator.reply { _ in .error("Unauthorized user ID.") }
            let april = "/api/bars?instrument=NEPT&interval=1m&start=2021-04-01T00:00:00Z&end=2021-05-01T00:00:00Z"
            let refused = try await reader.get(april)
            #expect(refused.status == 200)
            #expect(refused.headers["x-auspex-not-fetched"] == "refused")
            // As of a time to come is a question about now, and fetches as that does.
            let ahead = try await reader.get(april + "&as_of=2300-01-01T00:00:00Z")
            #expect(ahead.headers["x-auspex-not-fetched"] == "refused")
        }
    }

    /// All parts of a chart are as of its beginning, so that everything is there before.
    @Test func chartsAreFetchedBeforeTheyAreOpened() async throws {
        try await AcquisitionBench.with { bench in
            try await bench.rule()
            bench.simulator.reply { iqfeedMinutes($0) }
            let replica = try await bench.replica()
            let doors = try ChartDoors(bench.store, bench.pool, fetchFirst: replica.first)
            let begun = try await doors.client(doors.person).get("/utils/session/initiate").json()
            let token = try #require(begun["session_token"]?.string)
            let path = "/historical/?session_token=\(token)&symbol=NEPT&interval=1m&start=2021-03-01&end=2021-03-30"
            let chart = try await doors.stranger.get(path)
            #expect(chart.status == 200)
            #expect(try chart.json()["count"] == .integer(110))
            #expect(try await bench.requests() == 1)
            #expect(try await doors.stranger.get(path).json()["count"] == .integer(110))
            #expect(try await bench.requests() == 0)
        }
    }
}
