import Contracts
import HTTPServing
import TestSupport
import Testing

@testable import signals

@Suite("Bad input", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct BadInputTests {
    @Test("Missing, wrong, unknown and hostile fields are refused with their names")
    func bodies() async throws {
        try await withPlatform { platform in
            let client = try platform.client(Person(roles: ["provider", "subscriber"]))
            let id = try #require(try await client.post("/api/signals", json: ["name": "x"] as JSONValue).json()["id"]?.string)
            let long = String(repeating: "x", count: 20_000)
            let cases: [(HTTPServing.Method, String, JSONValue, String, String?)] = [
                (.post, "/api/signals", [:], "400 missing_field", "name"),
                (.post, "/api/signals", ["name": 5], "400 wrong_type", "name"),
                (.post, "/api/signals", ["name": "x", "colour": 1], "400 unknown_field", "colour"),
                (.post, "/api/signals", ["name": ""], "400 invalid_value", "name"),
                (.post, "/api/signals", ["name": "a\u{1}b"], "400 invalid_value", "name"),
                (.post, "/api/signals", ["name": "a\nb"], "400 invalid_value", "name"),
                (.post, "/api/signals", ["name": "   "], "400 invalid_value", "name"),
                (.post, "/api/signals", ["name": .string(long)], "400 invalid_value", "name"),
                (.post, "/api/signals", ["name": "x", "description": .string(long)], "400 invalid_value", "description"),
                (.post, "/api/signals", [], "400 wrong_type", nil),
                (.put, "/api/signals/\(id)", ["name": false], "400 wrong_type", "name"),
                (.post, "/api/signals/\(id)/versions", [:], "400 missing_field", "files"),
                (.post, "/api/signals/\(id)/versions", ["files": []], "422 missing_file", "app.py"),
                (.post, "/api/signals/\(id)/versions", ["files": [["path": "app.py"]]], "400 invalid_value", "files[0]"),
                (
                    .post, "/api/signals/\(id)/versions", ["files": [["path": "app.py", "text": "", "sha256": .string(LedgerHash.zero.hex)]]],
                    "400 invalid_value", "files[0]"
                ),
                (
                    .post, "/api/signals/\(id)/versions", ["files": [["path": "app.py", "content_base64": "?"]]], "400 invalid_value",
                    "files[0].content_base64"
                ),
                (.post, "/api/signals/\(id)/versions", ["files": [["path": "app.py", "sha256": "xyz"]]], "400 invalid_value", "files[0].sha256"),
                (.post, "/api/signals/\(id)/versions", ["files": [["path": "../../etc/passwd", "text": ""]]], "422 bad_path", "../../etc/passwd"),
                (.post, "/api/signals/\(id)/publish", ["version": 9], "404 not_found", "version"),
                (.post, "/api/signals/\(id)/publish", ["version": "1"], "400 wrong_type", "version"),
                (.post, "/api/subscriptions", ["signal_id": "x"], "400 invalid_value", "signal_id"),
                (.post, "/api/subscriptions", ["signal_id": "'; DROP TABLE signals; --"], "400 invalid_value", "signal_id"),
            ]
            for (method, path, body, verdict, field) in cases {
                let answer = try await client.send(method, path, headers: [("Content-Type", "application/json")], body: WireJSON.encode(body))
                #expect(answer.verdict == verdict, "\(method.rawValue) \(path) \(String(decoding: WireJSON.encode(body).prefix(80), as: UTF8.self))")
                #expect(answer.problemField == field)
            }
            for bytes: [UInt8] in [
                [], Array("{".utf8), [0xff, 0xfe], Array("{\"name\":\"x\",\"name\":\"y\"}".utf8), Array(String(repeating: "[", count: 9_000).utf8),
            ] {
                #expect(try await client.send(.post, "/api/signals", headers: [("Content-Type", "application/json")], body: bytes).status == 400)
            }
            #expect(try await client.send(.post, "/api/signals", headers: [("Content-Type", "text/plain")], body: Array("{}".utf8)).status == 415)
            #expect(
                try await client.post("/api/signals", json: ["name": "x"] as JSONValue, headers: [("Idempotency-Key", "a b")]).verdict
                    == "400 invalid_idempotency_key"
            )
        }
    }

    @Test("What could never run is not published, whenever it was uploaded")
    func neverRuns() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            var ghost = Fixtures.manifest()
            ghost.schedule = .barClose(instrument: "GHOST", interval: "15s")
            var neverDue = Fixtures.manifest()
            neverDue.schedule = .cron(expression: "0 0 31 2 *", zone: "UTC")
            var tooFine = Fixtures.manifest()
            tooFine.schedule = .barClose(instrument: "BTCUSD", interval: "1s")
            var tooLong = Fixtures.manifest()
            tooLong.inputs[0].lookback = 100_000
            let cases: [(Manifest, String)] = [
                (ghost, "422 unknown_instrument"), (neverDue, "422 cannot_run"), (tooFine, "422 cannot_run"), (tooLong, "422 cannot_run"),
                (Fixtures.manifest(), "200"),
            ]
            for (manifest, verdict) in cases {
                let signal = Fixtures.signal(account: provider.accountID)
                try await platform.store.create(signal)
                _ = try await platform.store.addVersion(Fixtures.newVersion(signal, manifest: manifest))
                let answer = try await client.post("/api/signals/\(signal.id)/publish")
                #expect(answer.verdict == verdict, "\(answer.text)")
            }
        }
    }

    @Test("Queries and paths out of their form")
    func queries() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let id = try await platform.publish(provider)
            let cases: [(String, String)] = [
                ("/api/signals?limit=0", "400 invalid_parameter"), ("/api/signals?limit=x", "400 invalid_parameter"),
                ("/api/signals?colour=red", "400 unknown_parameter"), ("/api/signals?limit=1&limit=2", "400 duplicate_parameter"),
                ("/api/signals?interval=never", "400 invalid_parameter"), ("/api/signals?cursor=x", "400 invalid_parameter"),
                ("/api/signals?mine=perhaps", "400 invalid_parameter"), ("/api/signals/nonsense", "404 not_found"),
                ("/api/signals/\(id)?x=1", "400 unknown_parameter"), ("/api/signals/\(id)/versions/x", "404 not_found"),
                ("/api/signals/\(id)/versions/-1", "404 not_found"), ("/api/signals/\(id)/versions/99999999999999999999", "404 not_found"),
                ("/api/signals/\(id)/versions/9223372036854775807", "404 not_found"),
                ("/api/signals/\(id)/versions/1/file", "400 missing_parameter"), ("/api/signals/\(id)/versions/1/file?path=no.py", "404 not_found"),
                ("/api/signals/\(id)/versions/1/diff?from=9", "404 not_found"), ("/api/signals/\(id)/blobs/zz", "404 not_found"),
                ("/api/predictions/\(id)?after_seq=-1", "400 invalid_parameter"), ("/api/predictions/\(id)?wait=31", "400 invalid_parameter"),
                ("/api/predictions/\(id)?cursor=!!", "400 invalid_cursor"), ("/api/predictions/\(id)?format=xml", "400 invalid_parameter"),
                ("/api/predictions/\(id)?cursor=\(PredictionCursor(epoch: 7, seq: 1).text)", "409 ledger_epoch_changed"),
                ("/api/predictions?cursor=x", "400 invalid_cursor"), ("/api/predictions?after=x", "400 invalid_cursor"),
                ("/api/predictions?wait=5", "400 missing_parameter"), ("/api/predictions?after=AQA&cursor=x", "400 invalid_parameter"),
                ("/api/predictions?after=BwA", "409 ledger_epoch_changed"), ("/api/predictions?after=AQA", "200"),
                ("/api/predictions?limit=501", "400 invalid_parameter"),
                ("/api/predictions/\(id)?after_seq=9223372036854775807", "200"),
                ("/api/signals/\(id)/ledger?limit=0", "400 invalid_parameter"), ("/api/signals/\(id)/ledger?after_seq=9223372036854775807", "200"),
                ("/api/signals/ledger/seals?after=-1", "400 invalid_parameter"), ("/api/signals/ledger/days/yesterday", "404 not_found"),
                ("/api/signals/ledger/days/2001-01-01", "404 not_found"), ("/api/subscriptions?cursor=x", "400 invalid_parameter"),
                ("/api/signals?q=\(String(repeating: "x", count: 201))", "400 invalid_parameter"),
            ]
            for (path, verdict) in cases { #expect(try await client.get(path).verdict == verdict, "\(path)") }
        }
    }

    @Test("A wrong wait is refused whether the answer is in memory or not")
    func wrongWait() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            for isReady in [false, true] {
                for (wait, verdict) in [("abc", "400 invalid_parameter"), ("31", "400 invalid_parameter"), ("30", "400 missing_parameter")] {
                    // Nobody has asked about a new one.
                    let id = try await platform.publish(provider)
                    if isReady { #expect(try await client.get("/api/predictions/\(id)").status == 200) }
                    #expect(try await client.get("/api/predictions/\(id)?wait=\(wait)").verdict == verdict, "\(wait), in memory: \(isReady)")
                }
            }
        }
    }
}
