import Bars
import Contracts
import Cryptography
import HTTPServing
import LineConnections
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite(.timeLimit(.minutes(10))) struct SourceRouteTests {
    private func router(_ entries: [SourceCatalogue.Entry], _ credentials: TestCredentials) -> Router {
        var router = Router(problemOf: MarketdataRoutes.problem)
        SourceRoutes(sources: SourceCatalogue(entries: entries)).add(
            to: &router,
            authentication: UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys)
        )
        return router
    }

    private func settings(_ environment: [String: String]) throws -> IQFeedSettings {
        var reader = SettingsReader(environment: environment)
        let settings = IQFeedSettings(from: &reader)
        try reader.finish()
        return settings
    }

    @Test func whatIsNotConfiguredIsListedAsSuch() async throws {
        let credentials = try TestCredentials()
        #expect(try settings([:]).endpoints == nil)
        let router = router([IQFeedSettings.entry(nil)], credentials)
        let key = credentials.apiKeys.make(.valid, roles: ["subscriber"], scopes: ["bars:read"])
        let answer = try await RequestClient(router: router).with(header: "X-API-Key", key.text).get("/api/sources")
        #expect(answer.status == 200)
        let source = try answer.json()["items"]?[0]
        #expect(source?["id"]?.string == "iqfeed")
        #expect(source?["configured"] == .bool(false))
        #expect(source?["health"]?["state"]?.string == "not_configured")
        #expect(source?["health"]?["detail"]?.string?.contains("AUSPEX_DTN_HOST") == true)
        #expect(source?["licence"]?.string?.isEmpty == false)
    }

    @Test func aSourceTellsOfItsHealthAndLimits() async throws {
        try await IQFeedBench.with { bench in
            let credentials = try TestCredentials()
            let settings = try settings([
                "AUSPEX_DTN_HOST": "127.0.0.1", "AUSPEX_DTN_LOOKUP_PORT": "\(bench.simulator.number(of: .lookup))",
                "AUSPEX_DTN_REQUESTS_PER_SECOND": "15", "AUSPEX_DTN_SOCKETS": "2",
            ])
            #expect(settings.endpoints?.port(.level1) == 5_009)
            let tokens = ServiceTokenSource(service: "marketdata", key: try credentials.key(of: "marketdata"))
            let source = try #require(try settings.source(tokens: tokens, loop: bench.loop, cpu: bench.cpu, time: bench.time))
            let router = router([IQFeedSettings.entry(source)], credentials)
            let person = try credentials.token(user: .make(), account: .make(), roles: ["subscriber"])
            let client = RequestClient(router: router, loop: bench.loop).with(header: "Authorization", "Bearer \(person)")
            func health() async throws -> JSONValue? {
                let listed = try await client.get("/api/sources").json()["items"]?[0]
                #expect(listed?["configured"] == .bool(true))
                #expect(listed?["limits"]?["requests_per_second"] == .integer(15))
                #expect(listed?["limits"]?["concurrent_requests"] == .integer(2))
                return listed?["health"]
            }
            #expect(try await health()?["state"]?.string == "unused")
            let request = HistoryRequest(
                symbol: "NEPT",
                instrument: "NEPT",
                kind: .bars(.seconds(1)),
                range: at("2021-03-26T00:00:00Z")..<at("2021-03-27T00:00:00Z")
            )
            bench.simulator.reply { _ in .noData }
            #expect(try await source.history(request) == nil)
            #expect(try await health()?["state"]?.string == "healthy")
            bench.simulator.reply { _ in .cut(iqfeedRows(3), afterLines: 1) }
            let (failed, _) = try await bench.passingPauses { (try? await source.history(request)) == nil }
            #expect(failed)
            let failing = try await health()
            #expect(failing?["state"]?.string == "failing")
            #expect(failing?["detail"]?.string?.contains("middle of a line") == true)
            #expect(failing?["last_failure_at"]?.string?.hasPrefix("2021-03-27T") == true)
            await source.stop()
        }
    }

    @Test func whoMayNotAskIsTurnedAway() async throws {
        let credentials = try TestCredentials()
        let router = router([IQFeedSettings.entry(nil)], credentials)
        #expect(try await RequestClient(router: router).get("/api/sources").status == 401)
        let key = credentials.apiKeys.make(.valid, roles: ["admin"], scopes: ["signals:read"])
        let wrong = RequestClient(router: router).with(header: "X-API-Key", key.text)
        #expect(try await wrong.get("/api/sources").status == 403)
        let right = credentials.apiKeys.make(.valid, roles: ["subscriber"], scopes: ["bars:read"])
        let client = RequestClient(router: router).with(header: "X-API-Key", right.text)
        #expect(try await client.get("/api/sources?verbose=1").problemCode == "unknown_parameter")
    }

    @Test func settingsThatCannotBeAreNamed() throws {
        for (key, value) in [("AUSPEX_DTN_SOCKETS", "99"), ("AUSPEX_DTN_LOOKUP_PORT", "x"), ("AUSPEX_DTN_KEEPALIVE_URL", "ftp://x")] {
            do {
                _ = try settings([key: value])
                Issue.record("\(key) was taken")
            } catch let error as SettingsError {
                #expect(error.description.contains(key))
            }
        }
    }
}

/// The service asks the watchdog over its internal door.
@Suite(.timeLimit(.minutes(10))) struct KeepAliveRouteTests {
    private func withDoor(
        _ body: @escaping @Sendable (IQFeedBench, KeepAlive, TestCredentials, Router) async throws -> Void
    ) async throws {
        try await IQFeedBench.with { bench in
            let credentials = try TestCredentials()
            let keepAlive = KeepAlive(
                connector: bench.connector,
                login: IQFeedLogin(product: "P", login: "L", password: "W"),
                command: [],
                environment: [:],
                readiness: Readiness()
            )
            var router = Router()
            KeepAliveRoutes(keepAlive: keepAlive).add(
                to: &router,
                authentication: ServiceAuthentication(
                    verifier: ServiceTokenVerifier(keys: try credentials.knownServices()),
                    audience: "marketdata",
                    allowedCallers: ["marketdata"]
                )
            )
            do { try await body(bench, keepAlive, credentials, router) } catch {
                await keepAlive.stop()
                throw error
            }
            await keepAlive.stop()
        }
    }

    @Test func onlyMarketdataItselfMayAsk() async throws {
        try await withDoor { bench, _, credentials, router in
            let client = RequestClient(router: router, loop: bench.loop)
            #expect(try await client.post(KeepAliveAnswer.path, json: JSONValue.object([:])).status == 401)
            let other = try credentials.serviceToken("scheduler", audience: "marketdata")
            #expect(
                try await client.with(header: "Authorization", "Service \(other)").post(KeepAliveAnswer.path, json: JSONValue.object([:])).status
                    == 403
            )
        }
    }

    @Test func aLiveClientIsLiveAndAnotherIsAClearNone() async throws {
        try await withDoor { bench, keepAlive, credentials, router in
            let server = HTTPServer(name: "test", address: "127.0.0.1", port: 0, router: router, loops: [bench.loop])
            try await server.start()
            let tokens = ServiceTokenSource(service: "marketdata", key: try credentials.key(of: "marketdata"))
            @Sendable func client(_ port: Int) -> ServiceClient {
                ServiceClient(baseURLs: ["http://127.0.0.1:\(port)"], audience: "marketdata", tokens: tokens, http: HTTPClient(), rounds: 1)
            }
            // Nobody watches yet: none, once the watchdog's patience is over.
            async let none: Void = KeepAliveAnswer.ask(client(server.boundPort))
            while try await bench.time.fellAsleep.next() != KeepAliveAnswer.patience {}
            bench.time.advance(by: KeepAliveAnswer.patience)
            do {
                try await none
                Issue.record("it is live")
            } catch let error as SourceError {
                #expect(error == .unavailable("IQFeed's client program: not watched"))
            }
            // And so nobody gets a connection.
            var asking = bench.connector
            asking.makeSure = { throw SourceError.unavailable("none") }
            await #expect(throws: SourceError.unavailable("none")) { try await asking.connect(.lookup) }
            try await keepAlive.start()
            while try await bench.simulator.connected.next() != .admin {}
            await bench.simulator.send("S,STATS,x,1,1300,0,2,1,0,0,a,b,Connected,6.2.0.25,\"1\",0,0.0,0.0,0.08,0.08,0.08,", to: .admin)
            while try await bench.simulator.heard.next() != (.level1, "S,CONNECT") {}
            await bench.simulator.send("T,20210326 09:30:00", to: .level1)
            try await KeepAliveAnswer.ask(client(server.boundPort))
            asking.makeSure = { [port = server.boundPort] in try await KeepAliveAnswer.ask(client(port)) }
            let session = try await asking.connect(.lookup)
            #expect(session.version == .v62)
            await session.connection.close()
            await server.stop()
            // Without the watchdog connecting tells.
            let again = try await asking.connect(.lookup)
            await again.connection.close()
        }
    }

    @Test func settingsOfTheWatchdog() throws {
        var reader = SettingsReader(environment: [:])
        _ = KeepAliveSettings(from: &reader)
        let secrets = reader.definitions.filter(\.secret).map(\.key)
        #expect(secrets == ["AUSPEX_DTN_PRODUCT_ID", "AUSPEX_DTN_LOGIN", "AUSPEX_DTN_PASSWORD"])
        do {
            try reader.finish()
            Issue.record("it needs no login")
        } catch {
            #expect(secrets.allSatisfy { error.description.contains($0) })
        }
        var bad = SettingsReader(environment: ["AUSPEX_DTN_PASSWORD": "a,b-secret", "AUSPEX_DTN_PRODUCT_ID": "p", "AUSPEX_DTN_LOGIN": "l"])
        _ = KeepAliveSettings(from: &bad)
        do {
            try bad.finish()
        } catch {
            #expect(error.description.contains("AUSPEX_DTN_PASSWORD must hold neither commas"))
            #expect(!error.description.contains("a,b-secret"))
        }
        #expect(KeepAlive.cleaned(["AUSPEX_X": "1", "PATH": "/bin", "WINEPREFIX": "/w"]) == ["PATH": "/bin", "WINEPREFIX": "/w"])
    }
}

@Suite("Files and replays are sources too", .enabled(if: TestServers.hasPostgres)) struct OwnSourceTests {
    @Test func theyTellOfTheirLastUse() async throws {
        try await withPostgresStore { store, _ in
            let catalogue = SourceCatalogue(entries: OwnSources(uses: SourceUseStore(pool: store.pool)).entries)
            let before = await catalogue.report()
            #expect(before.map(\.0.id) == ["file", "replay"])
            #expect(before.map(\.1.state) == [.unused, .unused])
            #expect(before.allSatisfy { !$0.0.licence.isEmpty && !$0.0.limits.notes.isEmpty })
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 40), as: "BTCUSD.csv")
            let after = await catalogue.report()
            #expect(after.map(\.1.state) == [.healthy, .unused])
            #expect(after[0].1.lastAnswerAt != nil)
            // They are told of, and fetched from by nobody.
            #expect(catalogue.source("file") == nil)
        }
    }
}
