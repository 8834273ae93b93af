import Contracts
import Cryptography
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("Who may do what", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct AccessTableTests {
    /// Every public route with a body that would pass.
    static func routes(_ id: SignalID) -> [(method: HTTPServing.Method, path: String, body: JSONValue?)] {
        [
            (.get, "/api/signals", nil), (.post, "/api/signals", ["name": "x"]), (.get, "/api/signals/\(id)", nil),
            (.put, "/api/signals/\(id)", ["name": "y"]), (.get, "/api/signals/\(id)/versions", nil),
            (.post, "/api/signals/\(id)/versions", TestPlatform.files()), (.get, "/api/signals/\(id)/versions/1", nil),
            (.get, "/api/signals/\(id)/versions/1/file?path=app.py", nil), (.get, "/api/signals/\(id)/versions/1/diff", nil),
            (.post, "/api/signals/\(id)/versions/1/rollback", nil), (.post, "/api/signals/\(id)/versions/1/dry-run", nil),
            (.get, "/api/signals/\(id)/dry-runs/\(JobID.make())", nil), (.get, "/api/signals/\(id)/blobs/\(LedgerHash.zero)", nil),
            (.post, "/api/signals/\(id)/publish", nil), (.get, "/api/predictions/\(id)", nil), (.get, "/api/predictions", nil),
            (.get, "/api/signals/\(id)/ledger", nil), (.get, "/api/signals/ledger/seals", nil), (.get, "/api/signals/ledger/keys", nil),
            (.get, "/api/subscriptions", nil), (.post, "/api/subscriptions", ["signal_id": .string(id.description)]),
            (.get, "/api/signals/\(id)/incidents", nil), (.post, "/api/signals/\(id)/incidents/read", .object([:])),
            (.get, "/api/stream?topics=nothing", nil), (.get, "/api/signals/\(id)/cadence", nil),
        ]
    }

    private func send(_ client: RequestClient, _ route: (method: HTTPServing.Method, path: String, body: JSONValue?)) async throws -> String {
        let headers = route.body == nil ? [] : [("Content-Type", "application/json")]
        return try await client.send(route.method, route.path, headers: headers, body: route.body.map { WireJSON.encode($0) } ?? []).verdict
    }

    @Test("The table of roles and routes, for a published signal of somebody else")
    func published() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let columns: [(String, RequestClient)] = [
                ("nobody", try platform.client(nil)), ("provider", try platform.client(Person.provider())),
                ("subscriber", try platform.client(Person.subscriber())),
                ("key without scope", platform.client(key: platform.auth.makeKey(Person(roles: ["provider", "subscriber"]), scopes: ["bars:read"]))),
                ("key to write", platform.client(key: platform.auth.makeKey(Person.provider(), scopes: ["signals:write"]))),
            ]
            let (no, owner, scope) = ("401 unauthorized", "403 not_owner", "403 insufficient_scope")
            let expected: [[String]] = [
                ["200", "200", "200", "200", "200"],  // list
                [no, "201", "403 insufficient_role", scope, "201"],  // create
                ["200", "200", "200", "200", "200"],  // one
                [no, owner, owner, owner, owner],  // change
                [no, owner, owner, owner, owner], [no, owner, owner, owner, owner], [no, owner, owner, owner, owner],  // versions
                [no, owner, owner, owner, owner], [no, owner, owner, owner, owner], [no, owner, owner, owner, owner],  // file, diff, rollback
                [no, owner, owner, owner, owner], [no, owner, owner, owner, owner], [no, owner, owner, owner, owner],  // dry runs, blobs
                [no, owner, owner, owner, owner],  // publish
                [no, "403 not_subscribed", "403 not_subscribed", scope, scope],  // predictions of one
                [no, "200", "200", scope, scope],  // predictions of all
                ["200", "200", "200", "200", "200"], ["200", "200", "200", "200", "200"], ["200", "200", "200", "200", "200"],  // ledger
                [no, "200", "200", scope, scope],  // subscriptions
                [no, "403 insufficient_role", "201", scope, scope],  // subscribe
                [no, owner, owner, owner, owner], [no, owner, owner, owner, owner],  // incidents
                [no, "400 unknown_topic", "403 insufficient_role", scope, "400 unknown_topic"],  // stream
                ["200", "200", "200", "200", "200"],  // cadence
            ]
            for (route, row) in zip(Self.routes(id), expected) {
                for ((name, client), verdict) in zip(columns, row) {
                    #expect(try await send(client, route) == verdict, "\(name): \(route.method.rawValue) \(route.path)")
                }
            }
            #expect(Self.routes(id).count == expected.count)
        }
    }

    @Test("A foreign draft, a withdrawn and a deleted signal do not exist for others; an administrator sees all")
    func hidden() async throws {
        try await withPlatform { platform in
            let provider = Person.provider()
            let client = try platform.client(provider)
            let subscriber = Person.subscriber()
            let reader = try platform.client(subscriber)
            let draft = try #require(
                SignalID(try await client.post("/api/signals", json: ["name": "draft"] as JSONValue).json()["id"]?.string ?? "")
            )
            let withdrawn = try await platform.publish(provider)
            _ = try await reader.post("/api/subscriptions", json: ["signal_id": .string(withdrawn.description)] as JSONValue)
            #expect(try await reader.get("/api/predictions/\(withdrawn)").status == 200)
            _ = try await client.post("/api/signals/\(withdrawn)/unpublish")
            await platform.watch.look()
            for id in [draft, withdrawn, SignalID.make()] {
                for route in Self.routes(id) where route.path.contains("\(id)") || route.path == "/api/subscriptions" && route.method == .post {
                    // Who is subscribed goes on reading.
                    if route.path == "/api/predictions/\(withdrawn)" { continue }
                    #expect(try await send(reader, route) == "404 not_found", "\(route.method.rawValue) \(route.path)")
                }
            }
            #expect(try await client.get("/api/predictions/\(withdrawn)").status == 200)
            #expect(try await platform.client(Person.admin()).get("/api/signals/\(draft)").status == 200)
            #expect(try await client.delete("/api/signals/\(draft)").status == 204)
            #expect(try await client.get("/api/signals/\(draft)").verdict == "404 not_found")
            #expect(try await platform.client(Person.admin()).get("/api/signals/\(draft)").verdict == "404 not_found")
        }
    }

    @Test("The record of a withdrawn and of a deleted signal stays: verifiable for all, readable for those who followed it")
    func record() async throws {
        try await withPlatform { platform in
            let (provider, subscriber) = (Person.provider(), Person.subscriber())
            let id = try await platform.publish(provider)
            let (owner, reader, stranger) = (
                try platform.client(provider), try platform.client(subscriber), try platform.client(Person.subscriber())
            )
            _ = try await reader.post("/api/subscriptions", json: ["signal_id": .string(id.description)] as JSONValue)
            #expect(try await platform.hear(platform.completed(id, rows: 2)) == .done)
            _ = try await platform.store.seal(signing: Fixtures.signing)
            func check(_ state: String) async throws {
                await platform.watch.look()
                for client in [try platform.client(nil), stranger, reader, owner] {
                    let export: LedgerExport = try WireJSON.decode(from: try await client.get("/api/signals/\(id)/ledger").body)
                    #expect(export.rows.count == 2 && export.seals.count == 1 && export.firstFault() == nil)
                }
                let foreign: LedgerExport = try WireJSON.decode(from: try await stranger.get("/api/signals/\(id)/ledger").body)
                #expect(foreign.rows.allSatisfy { $0.payload == nil && $0.nonce == nil })
                let followed: LedgerExport = try WireJSON.decode(from: try await reader.get("/api/signals/\(id)/ledger").body)
                #expect(followed.rows.allSatisfy { $0.payload != nil })
                let page = try await reader.get("/api/predictions/\(id)").json()
                #expect(page["signal_state"]?.string == state && page["items"]?.array?.count == 2)
                let all = try await reader.get("/api/predictions").json()
                #expect(all["signals"]?[0]?["signal_state"]?.string == state && all["items"]?.array?.count == 2)
                #expect(try await owner.get("/api/predictions/\(id)").status == 200)
                #expect(try await stranger.get("/api/predictions/\(id)").verdict == "404 not_found")
                let late = try await stranger.post("/api/subscriptions", json: ["signal_id": .string(id.description)] as JSONValue)
                #expect(late.verdict == "404 not_found")
            }
            #expect(try await owner.post("/api/signals/\(id)/unpublish").status == 200)
            try await check("unpublished")
            #expect(try await owner.delete("/api/signals/\(id)").status == 204)
            try await check("deleted")
            #expect(try await owner.get("/api/signals/\(id)").verdict == "404 not_found")
            let subscription = try #require(try await reader.get("/api/subscriptions").json()["items"]?[0]?["id"]?.string)
            #expect(try await reader.delete("/api/subscriptions/\(subscription)").status == 204)
            #expect(try await reader.get("/api/predictions/\(id)").verdict == "404 not_found")
        }
    }

    @Test("Forged, expired, foreign and revoked credentials are refused")
    func credentials() async throws {
        try await withPlatform { platform in
            let person = Person.subscriber()
            func token(_ change: (inout AccessTokenClaims) -> Void, key: SigningKey) throws -> RequestClient {
                let token = try platform.people.token(
                    user: person.userID,
                    account: person.accountID,
                    roles: person.roles,
                    signedBy: key,
                    bending: change
                )
                return RequestClient(router: platform.router).with(header: "Authorization", "Bearer \(token)")
            }
            func verdict(_ client: RequestClient) async throws -> String { try await client.get("/api/subscriptions").verdict }
            #expect(try await verdict(token({ _ in }, key: platform.people.tokenKey)) == "200")
            #expect(try await verdict(token({ _ in }, key: SigningKey.generate())) == "401 invalid_token")
            #expect(try await verdict(token({ $0.audience = "other" }, key: platform.people.tokenKey)) == "401 invalid_token")
            #expect(
                try await verdict(token({ $0.expiresAt = Timestamp.now().seconds - 3_600 }, key: platform.people.tokenKey)) == "401 token_expired"
            )
            let session = SessionID.make()
            let client = try token({ $0.sessionID = session }, key: platform.people.tokenKey)
            #expect(try await verdict(client) == "200")
            try news(
                SessionRevoked(sessionID: session, userID: person.userID, accountID: person.accountID, tokenExpiresAt: .now() + .seconds(900)),
                platform
            )
            #expect(try await verdict(client) == "401 token_revoked")
            // Also where no credential is needed, a bad one is refused.
            #expect(try await client.get("/api/signals").verdict == "401 token_revoked")
        }
    }

    @Test("A revoked key is refused at the next request after the news, and never asked about twice a minute before")
    func revokedKey() async throws {
        try await withPlatform { platform in
            let provider = Person(roles: ["provider", "subscriber"])
            let id = try await platform.publish(provider)
            let key = platform.auth.makeKey(provider, scopes: ["predictions:read"])
            let client = platform.client(key: key)
            for _ in 0..<5 { #expect(try await client.get("/api/predictions/\(id)").status == 200) }
            #expect(platform.auth.asked.withLock { $0 } == 1)
            platform.auth.revoke(key)
            try news(
                KeyChanged(keyID: .make(), accountID: provider.accountID, keySHA256: key.sha256, state: .revoked, scopes: [], generation: 2),
                platform
            )
            #expect(try await client.get("/api/predictions/\(id)").verdict == "401 api_key_disabled")
        }
    }

    @Test("A subscription that ends on another replica closes this one's door with the news")
    func endedSubscription() async throws {
        try await withPlatform { platform in
            let id = try await platform.publish(Person.provider())
            let reader = Person.subscriber()
            let client = try platform.client(reader)
            _ = try await client.post("/api/subscriptions", json: ["signal_id": .string(id.description)] as JSONValue)
            #expect(try await client.get("/api/predictions/\(id)").status == 200)
            // Another replica does it: this one's memory knows nothing.
            let subscription = try #require(try await platform.store.subscriptions(reader.accountID, after: nil, limit: 1).first)
            let ended = try #require(try await platform.store.unsubscribe(subscription.id, accountID: reader.accountID, now: .now()))
            #expect(try await client.get("/api/predictions/\(id)").status == 200)
            try news(ended.changed, platform)
            #expect(try await client.get("/api/predictions/\(id)").verdict == "403 not_subscribed")
        }
    }

    private func news<Event: EventBody>(_ event: Event, _ platform: TestPlatform) throws {
        let envelope = try Envelope(event, subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
        try NewsListener.apply(envelope, to: platform.audience)
    }
}
