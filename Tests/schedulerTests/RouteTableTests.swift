import Contracts
import Cryptography
import HTTPServing
import TestSupport
import Testing

@testable import scheduler

/// Who may use which route, written out once more on purpose: a slip in the service cannot pass unseen.
@Suite("Route × role table", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct RouteTableTests {
    /// An id that names nothing.
    static let nothing = "01920000-0000-7000-8000-000000000000"

    /// Public routes, with what an owner of nothing is answered.
    static let outside: [(route: String, whenOpen: String)] = [
        ("GET /api/jobs", "200"), ("GET /api/jobs/{id}", "404 not_found id"), ("GET /api/jobs/{id}/logs", "404 not_found id"),
        ("GET /api/jobs/batches/{id}", "404 not_found id"),
        ("DELETE /api/jobs/batches/{id}", "404 not_found id"), ("GET /api/jobs/costs", "200"), ("GET /api/jobs/stream", "200"),
        ("GET /api/jobs/{id}/stream", "404 not_found id"),
        ("GET /api/jobs/{id}/logs/stream", "404 not_found id"), ("GET /api/jobs/logs", "400 missing_parameter q"),
        ("DELETE /api/jobs/{id}", "404 not_found id"), ("GET /api/schedules", "200"), ("GET /api/schedules/{id}/occurrences", "404 not_found id"),
        ("GET /api/schedules/{id}", "404 not_found id"), ("GET /api/schedules/{id}/preview", "404 not_found id"),
        ("POST /api/schedules/preview", "400 invalid_json"), ("POST /api/schedules/{id}/pause", "404 not_found id"),
        ("POST /api/schedules/{id}/resume", "404 not_found id"), ("POST /api/schedules/{id}/run", "404 not_found id"),
        ("GET /api/schedules/{id}/cadence", "404 not_found id"), ("POST /api/schedules/{id}/backfills", "404 not_found id"),
        ("GET /api/schedules/{id}/backfills", "404 not_found id"), ("GET /api/schedules/{id}/backfills/{backfill}", "404 not_found id"),
        ("GET /api/schedules/{id}/backfills/{backfill}/runs", "404 not_found id"),
        ("DELETE /api/schedules/{id}/backfills/{backfill}", "404 not_found id"),
    ]

    /// Internal routes, with the services that may call.
    static let inside: [(route: String, callers: Set<String>)] = [
        ("POST /internal/v1/jobs", ["signals", "marketdata"]), ("POST /internal/v1/jobs/bulk", ["signals", "marketdata"]),
        ("POST /internal/v1/jobs/batches", ["signals", "marketdata"]),
        ("GET /internal/v1/jobs/{id}", ["signals", "marketdata"]),
        ("POST /internal/v1/jobs/claim", ["executor", "marketdata", "signals"]),
        ("POST /internal/v1/jobs/renew", ["executor", "marketdata", "signals"]),
        ("POST /internal/v1/jobs/finish", ["executor", "marketdata", "signals"]),
        ("POST /internal/v1/jobs/release", ["executor", "marketdata", "signals"]), ("POST /internal/v1/jobs/{id}/cancel", ["signals"]),
        ("PUT /internal/v1/results", ["executor", "marketdata", "signals"]), ("GET /internal/v1/results/{sha256}", ["signals"]),
        ("GET /internal/v1/signals/{signal_id}/cadence", ["signals"]), ("POST /internal/v1/announcements", ["executor"]),
        ("POST /internal/v1/workers/report", ["executor"]),
        ("GET /internal/v1/workers", ["signals"]),
        ("GET /internal/v1/signals/{signal_id}/cadence/days", ["signals"]),
    ]

    private func send(_ client: RequestClient, _ route: String, id: String = nothing) async throws -> RequestClient.Answer {
        let words = route.split(separator: " ").map(String.init)
        let path = words[1].replacing("{id}", with: id).replacing("{backfill}", with: id).replacing("{signal_id}", with: id).replacing(
            "{sha256}",
            with: SHA256.digest(utf8: "x").hex
        )
        return try await client.send(#require(HTTPServing.Method(rawValue: words[0])), path)
    }

    @Test func theTableNamesEveryRoute() async throws {
        try await withTestHouse { house in
            #expect(Set(house.publicRouter.routes.map { "\($0.method.rawValue) \($0.pattern)" }) == Set(Self.outside.map(\.route)))
            #expect(Set(house.internalRouter.routes.map { "\($0.method.rawValue) \($0.pattern)" }) == Set(Self.inside.map(\.route)))
        }
    }

    @Test func publicDoorsOpenForPeopleAndForProgramsThatMayWriteJobs() async throws {
        try await withTestHouse { house in
            let open = try [
                house.person(roles: ["provider"]), house.person(roles: ["subscriber"]), house.person(roles: ["admin"]),
                house.program(scopes: ["jobs:write"]),
            ]
            let shut: [(RequestClient, String)] = [
                (RequestClient(router: house.publicRouter), "401 unauthorized"),
                (house.program(scopes: ["bars:read", "signals:write", "predictions:read"]), "403 insufficient_scope"),
                (house.program(scopes: ["jobs:write"], outcome: .disabled), "401 api_key_disabled"),
                (house.program(scopes: ["jobs:write"], outcome: .expired), "401 api_key_expired"),
            ]
            for (route, whenOpen) in Self.outside {
                for client in open { #expect(try await send(client, route).verdict == whenOpen, "\(route)") }
                for (client, verdict) in shut {
                    let answer = try await send(client, route)
                    #expect(answer.verdict == verdict && answer.isProperRefusal, "\(route): \(answer.text)")
                }
            }
        }
    }

    @Test func forgedExpiredForeignAndRevokedTokensOpenNothing() async throws {
        try await withTestHouse { house in
            let (revoked, raised) = (SessionID.make(), UserID.make())
            house.credentials.denied.revoke(session: revoked, until: .now() + .seconds(900))
            house.credentials.denied.raise(user: raised, version: 2)
            let (stranger, service) = (try SigningKey.generate(), try house.credentials.key(of: "signals"))
            let cases: [(RequestClient, String)] = [
                (try house.person(key: stranger), "401 invalid_token"), (try house.person(key: service), "401 invalid_token"),
                (try house.person { $0.expiresAt = Timestamp.now().seconds - 3_600 }, "401 token_expired"),
                (try house.person { $0.audience = "elsewhere" }, "401 invalid_token"),
                (try house.person { $0.issuer = "nobody" }, "401 invalid_token"),
                (try house.person { $0.sessionID = revoked }, "401 token_revoked"), (try house.person { $0.userID = raised }, "401 token_revoked"),
            ]
            let headers: [([(String, String)], String)] = [
                ([("Authorization", "Bearer")], "401 unknown_scheme"), ([("Authorization", "Bearer x")], "401 invalid_token"),
                ([("Authorization", "Bearer a.b.c")], "401 invalid_token"),
                ([("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.")], "401 invalid_token"),
                ([("Authorization", "Basic YTpi")], "401 unknown_scheme"),
                ([("X-API-Key", "aus_" + String(repeating: "0", count: 38))], "401 invalid_api_key"),
                ([("X-API-Key", APIKeyText.make().text)], "401 invalid_api_key"),
            ]
            let nobody = RequestClient(router: house.publicRouter)
            for (route, _) in Self.outside {
                for (client, verdict) in cases { #expect(try await send(client, route).verdict == verdict, "\(route)") }
                for (fields, verdict) in headers {
                    var client = nobody
                    client.headers = fields
                    let answer = try await send(client, route)
                    #expect(answer.verdict == verdict && answer.isProperRefusal, "\(route) \(fields): \(answer.text)")
                }
            }
        }
    }

    @Test func internalDoorsOpenForTheServicesThatTheyName() async throws {
        try await withTestHouse { house in
            let before = try await house.books()
            for (route, callers) in Self.inside {
                for name in TestCredentials.services {
                    let answer = try await send(house.service(name), route)
                    // Whoever comes in is told what is wrong with an empty body or an unknown id; a list is there for whoever may read it.
                    let isList = route == "GET /internal/v1/workers" && callers.contains(name)
                    #expect(isList ? answer.status == 200 : answer.isProperRefusal, "\(name) at \(route): \(answer.text)")
                    #expect((answer.verdict == "403 caller_not_allowed") != callers.contains(name), "\(name) at \(route): \(answer.text)")
                    #expect(answer.status != 401, "\(name) at \(route): \(answer.text)")
                }
            }
            #expect(try await house.books() == before)
        }
    }

    @Test func forgedExpiredAndForeignServiceTokensOpenNothing() async throws {
        try await withTestHouse { house in
            let stranger = try SigningKey.generate()
            let now = Timestamp.now().seconds
            let cases: [(RequestClient, String)] = [
                (RequestClient(router: house.internalRouter), "401 service_token_missing"),
                (try house.service("signals", signedBy: stranger), "401 invalid_service_token"),
                // Who has the executor's key is the executor, whatever it writes into the token.
                (try house.service("signals", signedBy: house.credentials.key(of: "executor")), "401 invalid_service_token"),
                (try house.service("signals") { $0.audience = "marketdata" }, "401 invalid_service_token"),
                (try house.service("signals") { ($0.issuedAt, $0.expiresAt) = (now - 7_200, now - 7_140) }, "401 invalid_service_token"),
                (try house.service("signals") { $0.expiresAt = now + 86_400 }, "401 invalid_service_token"),
            ]
            var person = RequestClient(router: house.internalRouter)
            person.headers = try house.person().headers
            var program = RequestClient(router: house.internalRouter)
            program.headers = house.program(scopes: ["jobs:write"]).headers
            for (route, _) in Self.inside {
                for (client, verdict) in cases + [(person, "401 service_token_missing"), (program, "401 service_token_missing")] {
                    let answer = try await send(client, route)
                    #expect(answer.verdict == verdict && answer.isProperRefusal, "\(route): \(answer.text)")
                }
            }
        }
    }

    @Test func whatAnotherOwnsIsNotThere() async throws {
        try await withTestHouse { house in
            let (owner, other) = (AccountID.make(), AccountID.make())
            let event = Fixture.publication(.interval(seconds: 60), account: owner)
            _ = try await house.store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let waiting = Fixture.job("waiting", class: .large, account: owner, kind: .signalRun)
            let running = Fixture.job("running", account: owner, kind: .signalRun)
            let ended = Fixture.job("ended", class: .gpu, account: owner, kind: .dryRun)
            // The platform's own work on the account's signals, which even its owner does not see.
            let settlement = Fixture.job("settlement", class: .signals, account: owner, kind: .settlement)
            _ = try await house.store.insert([waiting, running, ended, settlement])
            _ = try await house.store.claim(Fixture.claim())
            let last = try #require(try await house.store.claim(Fixture.claim(class: .gpu)).first)
            _ = try await house.store.finish([try Fixture.finished(last)])
            let schedule = try #require(try await house.store.schedules(of: owner, after: nil, limit: 1).first)
            let before = try await house.books()
            let strangers = try [house.person(other), house.program(other, scopes: ["jobs:write"])]
            for client in strangers {
                for id in [waiting.id, running.id, ended.id].map(\.description) + ["\(schedule.id)"] {
                    for (route, _) in Self.outside where route.contains("{id}") {
                        #expect(try await send(client, route, id: id).verdict == "404 not_found id", "\(route)")
                    }
                }
                for path in ["/api/jobs", "/api/jobs?signal_id=\(event.signalID)", "/api/schedules"] {
                    #expect(try await client.get(path).json()["items"]?.array?.isEmpty == true, "\(path)")
                }
            }
            #expect(try await house.books() == before)
            let own = try house.person(owner)
            #expect(try await own.get("/api/jobs").json()["items"]?.array?.count == 3)
            #expect(try await send(own, "GET /api/jobs/{id}", id: "\(settlement.id)").verdict == "404 not_found id")
            #expect(try await send(own, "DELETE /api/jobs/{id}", id: "\(settlement.id)").verdict == "404 not_found id")
            let administrator = try house.person(other, roles: ["admin"])
            #expect(try await administrator.get("/api/jobs").json()["items"]?.array?.count == 4)
            #expect(try await send(administrator, "GET /api/jobs/{id}", id: "\(settlement.id)").status == 200)
            #expect(try await send(own, "GET /api/schedules/{id}/occurrences", id: "\(schedule.id)").status == 200)
        }
    }
}
