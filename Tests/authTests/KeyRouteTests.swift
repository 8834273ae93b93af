import Contracts
import Cryptography
import HTTPServing
import TestSupport
import Testing

@testable import auth

struct KeyInput: Encodable {
    var name: String
    var scopes: [String]
    var expiresAt: Timestamp?
}

@Suite("API keys", .serialized)
struct KeyRouteTests {
    struct KeyOutput: Decodable {
        let id: APIKeyID
        let state: String
        let prefix: String
        let lastUsedAt: Timestamp?
        let successorID: APIKeyID?
        let expiresAt: Timestamp?
    }

    struct Verdict: Decodable {
        let outcome: String
        let keyID: APIKeyID?
        let accountID: AccountID?
        let roles: [String]
        let scopes: [String]
        let generation: Int64
    }

    func verify(_ auth: AuthFixture, _ text: String) async throws -> Verdict {
        var router = Router()
        auth.routes.addInternalRoutes(to: &router) { _ in Everybody() }
        let answer = try await RequestClient(router: router).post(
            "/internal/v1/keys/verify",
            json: ["key_sha256": SHA256.digest(utf8: text).hex]
        )
        return try answer.decode(Verdict.self)
    }

    func make(_ person: Person, _ input: KeyInput = KeyInput(name: "k", scopes: ["bars:read"])) async throws -> (id: APIKeyID, text: String) {
        let answer = try await person.client.post("/api/keys", json: input)
        #expect(answer.status == 201 && answer.headers["cache-control"] == "no-store")
        let made = try answer.decode(NewKeyOutput.self)
        return (made.id, try #require(made.key))
    }

    @Test(arguments: StoreKind.available)
    func aKeyIsShownOnceAndVerified(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, KeyInput(name: "pull", scopes: ["predictions:read", "bars:read"]))
            #expect(APIKeyText(parsing: key.text) != nil)
            let listed = try await ada.client.get("/api/keys")
            #expect(!listed.text.contains(key.text) && listed.text.contains(String(key.text.prefix(8))))
            let verdict = try await verify(auth, key.text)
            #expect(verdict.outcome == "VALID" && verdict.keyID == key.id && verdict.accountID == ada.tokens.user.accountID)
            #expect(verdict.scopes == ["bars:read", "predictions:read"] && verdict.roles == ["provider"] && verdict.generation == 1)
            #expect(try await verify(auth, APIKeyText.make().text).outcome == "NOT_FOUND")

            await auth.usage.flush()
            let used = try await ada.client.get("/api/keys/\(key.id)").decode(KeyOutput.self)
            #expect(used.lastUsedAt == auth.time.now())
        }
    }

    @Test(arguments: StoreKind.available)
    func aKeyIsSwitchedOffAndOnAndEnded(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada)
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["enabled": false]).decode(KeyOutput.self).state == "disabled")
            #expect(try await verify(auth, key.text).outcome == "DISABLED")
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["enabled": true]).status == 200)
            #expect(try await verify(auth, key.text).outcome == "VALID")
            #expect(try await ada.client.delete("/api/keys/\(key.id)").status == 204)
            #expect(try await ada.client.delete("/api/keys/\(key.id)").status == 204)
            #expect(try await verify(auth, key.text).outcome == "DISABLED")
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["enabled": true]).problemCode == "key_not_active")
            let events = try await auth.announced().filter { $0.type == "auth.key.changed.v1" }
            #expect(events.map(\.version) == [1, 2, 3, 4])
            let last = try WireJSON.decode(KeyChanged.self, from: try #require(events.last).data)
            #expect(last.state == .revoked && last.keySHA256 == SHA256.digest(utf8: key.text))
        }
    }

    @Test(arguments: StoreKind.available)
    func aRerolledKeyWorksForTheOverlap(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let old = try await make(ada)
            let answer = try await ada.client.post("/api/keys/\(old.id)/reroll", json: ["overlap_seconds": 3_600])
            #expect(answer.status == 201)
            let made = try answer.decode(NewKeyOutput.self)
            #expect(try await verify(auth, old.text).outcome == "VALID")
            #expect(try await verify(auth, try #require(made.key)).outcome == "VALID")
            let listed = try await ada.client.get("/api/keys/\(old.id)").decode(KeyOutput.self)
            #expect(listed.state == "rerolled" && listed.successorID == made.id)
            auth.time.advance(by: .seconds(3_600))
            #expect(try await verify(auth, old.text).outcome == "EXPIRED")
            #expect(try await verify(auth, try #require(made.key)).outcome == "VALID")

            let person = try await auth.logIn(ada.email)
            #expect(try await person.client.post("/api/keys/\(old.id)/reroll", json: ["overlap_seconds": 0]).problemCode == "key_not_active")
            let odd = try await person.client.post("/api/keys/\(made.id)/reroll", json: ["overlap_seconds": 7])
            #expect(odd.status == 400 && odd.problemField == "overlap_seconds")
        }
    }

    @Test(arguments: StoreKind.available)
    func keysEndByThemselvesAndWithTheirOwner(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, KeyInput(name: "k", scopes: ["bars:read"], expiresAt: auth.time.now() + .seconds(60)))
            let lasting = try await make(ada)
            #expect(try await verify(auth, key.text).outcome == "VALID")
            auth.time.advance(by: .seconds(60))
            #expect(try await verify(auth, key.text).outcome == "EXPIRED")
            try await auth.routes.profiles.setDisabled(true, email: EmailAddress(stored: ada.email))
            #expect(try await verify(auth, lasting.text).outcome == "DISABLED")
        }
    }

    @Test(arguments: StoreKind.available)
    func somebodyElsesKeysDoNotExist(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let eve = try await auth.person("eve")
            let key = try await make(ada)
            #expect(try await eve.client.get("/api/keys/\(key.id)").status == 404)
            #expect(try await eve.client.put("/api/keys/\(key.id)", json: ["enabled": false]).status == 404)
            #expect(try await eve.client.delete("/api/keys/\(key.id)").status == 404)
            #expect(try await eve.client.post("/api/keys/\(key.id)/reroll", json: ["overlap_seconds": 0]).status == 404)
            #expect(try await verify(auth, key.text).outcome == "VALID")
        }
    }

    @Test(arguments: StoreKind.available)
    func aRepeatedCreationMakesOneKeyAndShowsItOnce(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let headers = [("Idempotency-Key", "make-1")]
            let input = KeyInput(name: "k", scopes: ["bars:read"])
            let first = try await ada.client.post("/api/keys", json: input, headers: headers)
            let second = try await ada.client.post("/api/keys", json: input, headers: headers)
            #expect(first.status == 201 && second.status == 201)
            let (made, replayed) = (try first.decode(NewKeyOutput.self), try second.decode(NewKeyOutput.self))
            #expect(made.id == replayed.id && made.key != nil && replayed.key == nil)
            #expect(!made.secretAlreadyShown && replayed.secretAlreadyShown && second.headers["idempotency-replayed"] == "true")
            let other = try await ada.client.post("/api/keys", json: KeyInput(name: "other", scopes: ["bars:read"]), headers: headers)
            #expect(other.status == 422 && other.problemCode == "idempotency_key_reused")
            let eve = try await auth.person("eve")
            #expect(try await eve.client.post("/api/keys", json: input, headers: headers).decode(NewKeyOutput.self).id != made.id)
            auth.time.advance(by: .seconds(86_401))
            let later = try await auth.logIn(ada.email)
            #expect(try await later.client.post("/api/keys", json: input, headers: headers).decode(NewKeyOutput.self).key != nil)
        }
    }

    @Test func anAccountHasSoManyKeys() async throws {
        try await withAuth { auth in
            let ada = try await auth.person()
            for _ in 0..<APIKey.maximumPerAccount { _ = try await make(ada) }
            let surplus = try await ada.client.post("/api/keys", json: KeyInput(name: "k", scopes: ["bars:read"]))
            #expect(surplus.status == 409 && surplus.problemCode == "too_many_keys")
        }
    }

    @Test(arguments: StoreKind.available)
    func aSuccessorCountsAsLongAsBothKeysWork(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let first = try await make(ada)
            for _ in 1..<APIKey.maximumPerAccount { _ = try await make(ada) }
            let surplus = try await ada.client.post("/api/keys/\(first.id)/reroll", json: ["overlap_seconds": 3_600])
            #expect(surplus.status == 409 && surplus.problemCode == "too_many_keys")
            #expect(try await ada.client.get("/api/keys/\(first.id)").decode(KeyOutput.self).state == "active")
            // Without an overlap one key takes the other's place.
            #expect(try await ada.client.post("/api/keys/\(first.id)/reroll", json: ["overlap_seconds": 0]).status == 201)
            #expect(try await ada.client.post("/api/keys", json: KeyInput(name: "k", scopes: ["bars:read"])).problemCode == "too_many_keys")
        }
    }

    @Test(arguments: StoreKind.available)
    func whatCannotBeSwitchedOffSaysSo(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let old = try await make(ada)
            #expect(try await ada.client.post("/api/keys/\(old.id)/reroll", json: ["overlap_seconds": 3_600]).status == 201)
            for enabled in [false, true] {
                let refused = try await ada.client.put("/api/keys/\(old.id)", json: ["enabled": enabled])
                #expect(refused.status == 409 && refused.problemCode == "key_not_active")
            }
            #expect(try await verify(auth, old.text).outcome == "VALID")
            #expect(try await ada.client.put("/api/keys/\(old.id)", json: ["name": "old"]).status == 200)
            // Its owner ends it with DELETE, and then there is nothing to switch off.
            #expect(try await ada.client.delete("/api/keys/\(old.id)").status == 204)
            #expect(try await verify(auth, old.text).outcome == "DISABLED")
            #expect(try await ada.client.put("/api/keys/\(old.id)", json: ["enabled": false]).problemCode == "key_not_active")
        }
    }

    @Test(arguments: StoreKind.available)
    func theDenySetNamesWhatIsVoid(kind: StoreKind) async throws {
        struct Revoked: Decodable {
            struct DeniedSession: Decodable {
                let sessionID: SessionID
                let expiresAt: Timestamp
            }
            struct ChangedUser: Decodable {
                let userID: UserID
                let userVersion: Int64
            }
            let sessions: [DeniedSession]
            let users: [ChangedUser]
        }
        try await withAuth(kind) { auth in
            var router = Router()
            auth.routes.addInternalRoutes(to: &router) { _ in Everybody() }
            let inside = RequestClient(router: router)
            let (ada, eve) = (try await auth.person(), try await auth.person("eve"))
            _ = try await ada.client.send(.post, "/api/logout")
            try await auth.routes.profiles.resetPassword(of: EmailAddress(stored: eve.email), to: "a reset password")
            let revoked = try await inside.get("/internal/v1/sessions/revoked").decode(Revoked.self)
            #expect(Set(revoked.sessions.map(\.sessionID)) == [ada.tokens.sessionID, eve.tokens.sessionID])
            #expect(revoked.users.map(\.userID) == [eve.tokens.user.id] && revoked.users.map(\.userVersion) == [2])
            auth.time.advance(by: .seconds(1_000))
            let later = try await inside.get("/internal/v1/sessions/revoked").decode(Revoked.self)
            #expect(later.sessions.isEmpty && later.users.isEmpty)
        }
    }
}

/// Stands where `ServiceAuthentication` stands in the service.
struct Everybody: Middleware {
    func handle(_ request: Request, next: Handler) async throws -> Response { try await next(request) }
}
