import Contracts
import Cryptography
import HTTPServing
import TestSupport
import Testing

@testable import auth

@Suite("Registration, login, refresh, logout", .serialized)
struct SessionRouteTests {
    @Test(arguments: StoreKind.available)
    func aPersonRegistersAndLogsIn(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let registered = try await auth.client.post(
                "/api/register",
                json: RegisterInput(
                    email: " Ada@Example.com",
                    password: AuthFixture.password,
                    displayName: "Ada  L",
                    roles: ["subscriber", "provider"]
                )
            )
            #expect(registered.status == 201)
            let user = try registered.decode(UserOutput.self)
            #expect(user.email == "ada@example.com" && user.displayName == "Ada L" && user.roles == ["provider", "subscriber"])
            #expect(!registered.text.contains("$2b$"))

            let twice = try await auth.client.post("/api/register", json: RegisterInput(email: "ADA@example.com", password: AuthFixture.password))
            #expect(twice.status == 409 && twice.problemCode == "email_taken" && twice.problemField == "email")

            let answer = try await auth.client.post("/api/login", json: LoginInput(email: "ada@EXAMPLE.com", password: AuthFixture.password))
            #expect(answer.status == 200)
            #expect(answer.headers["cache-control"] == "no-store")
            let tokens = try answer.decode(TokensOutput.self)
            #expect(tokens.user == user)
            let set = try JWKSet(json: try await auth.client.get("/.well-known/jwks.json").body)
            let claims: AccessTokenClaims = try JWT.verify(
                try #require(tokens.accessToken),
                keys: { set.verifyingKeys()[$0] },
                now: auth.time.now(),
                audience: "auspex",
                issuer: "auspex-auth"
            )
            #expect(claims.userID == user.id && claims.accountID == user.accountID && claims.sessionID == tokens.sessionID)
            #expect(claims.roles == ["provider", "subscriber"] && claims.userVersion == 1)

            let types = try await auth.announced().map(\.type)
            #expect(types == ["auth.account.created.v1", "auth.user.changed.v1"])
        }
    }

    @Test(arguments: StoreKind.available)
    func theSpecifiedPathsAnswerWithASlashToo(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let registered = try await auth.client.post("/api/register/", json: RegisterInput(email: "a@b.c", password: AuthFixture.password))
            #expect(registered.status == 201)
            let login = try await auth.client.post("/api/login/", json: LoginInput(email: "a@b.c", password: AuthFixture.password))
            let token = try #require(try login.decode(TokensOutput.self).accessToken)
            let logout = try await auth.client.get("/api/logout/", headers: [("Authorization", "Bearer \(token)")])
            #expect(logout.status == 204)
        }
    }

    @Test(arguments: StoreKind.available)
    func unknownAndWrongAreRefusedAlike(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            _ = try await auth.person()
            let wrong = try await auth.client.post("/api/login", json: LoginInput(email: "ada@example.com", password: "wrong password"))
            let unknown = try await auth.client.post("/api/login", json: LoginInput(email: "eve@example.com", password: "wrong password"))
            let malformed = try await auth.client.post("/api/login", json: LoginInput(email: "no address", password: "wrong password"))
            let long = try await auth.client.post(
                "/api/login",
                json: LoginInput(email: "ada@example.com", password: String(repeating: "x", count: 80))
            )
            for answer in [wrong, unknown, malformed, long] {
                #expect(answer.status == 401 && answer.problemCode == "invalid_credentials")
            }
            let lines = try await auth.store.transaction { try await $0.auditEntries(of: nil, before: nil, limit: 10) }
            #expect(lines.filter { $0.action == .loginFailed }.count == 4)
            #expect(!"\(lines)".contains("eve@"))
        }
    }

    /// The same work is done for an unknown address: one hash of the same cost, not none.
    @Test func anUnknownAddressTakesAsLong() async throws {
        try await withAuth(bcryptCost: 5) { auth in
            _ = try await auth.person()
            _ = auth.checks.take()
            for email in ["ada@example.com", "eve@example.com"] {
                let answer = try await auth.client.post("/api/login", json: LoginInput(email: email, password: "wrong password"))
                #expect(answer.status == 401)
                #expect(auth.checks.take() == [5], "\(email)")
            }
        }
    }

    @Test(arguments: StoreKind.available)
    func refreshTokensRotateAndReuseEndsTheSession(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let first = try #require(ada.tokens.refreshToken)
            auth.time.advance(by: .seconds(60))
            let refreshed = try await auth.client.post("/api/refresh", json: ["refresh_token": first])
            #expect(refreshed.status == 200)
            let tokens = try refreshed.decode(TokensOutput.self)
            let second = try #require(tokens.refreshToken)
            #expect(second != first && tokens.sessionID == ada.tokens.sessionID)
            let client = auth.client.with(header: "Authorization", "Bearer \(tokens.accessToken ?? "")")
            #expect(try await client.get("/api/me").status == 200)

            let reused = try await auth.client.post("/api/refresh", json: ["refresh_token": first])
            #expect(reused.status == 401 && reused.problemCode == "refresh_token_reused")
            let afterwards = try await auth.client.post("/api/refresh", json: ["refresh_token": second])
            #expect(afterwards.status == 401 && afterwards.problemCode == "invalid_refresh_token")
            let me = try await client.get("/api/me")
            #expect(me.status == 401 && me.problemCode == "token_revoked")

            let events = try await auth.announced().filter { $0.type == "auth.session.revoked.v1" }
            #expect(events.map(\.subject) == [tokens.sessionID.description])
            let event = try WireJSON.decode(SessionRevoked.self, from: try #require(events.first).data)
            #expect(event.tokenExpiresAt == auth.time.now() + .seconds(900))
        }
    }

    @Test(arguments: StoreKind.available)
    func foreignRefreshTokensAreRefused(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            _ = try await auth.person()
            for text in ["", "x", RefreshToken.makeText()] {
                let answer = try await auth.client.post("/api/refresh", json: ["refresh_token": text])
                #expect(answer.status == 401 && answer.problemCode == "invalid_refresh_token")
            }
        }
    }

    @Test(arguments: StoreKind.available)
    func aSessionEndsAfterItsLifetime(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            auth.time.advance(by: .seconds(901 + 5))
            #expect(try await ada.client.get("/api/me").problemCode == "token_expired")
            auth.time.advance(by: .seconds(Session.lifetimeSeconds))
            let late = try await auth.client.post("/api/refresh", json: ["refresh_token": ada.tokens.refreshToken ?? ""])
            #expect(late.status == 401)
        }
    }

    @Test(arguments: StoreKind.available, ["POST", "GET"])
    func logoutEndsTheSession(kind: StoreKind, method: String) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let other = try await auth.logIn(ada.email)
            #expect(try await ada.client.send(.head, "/api/logout").status == 204)
            #expect(try await ada.client.get("/api/me").status == 200, "HEAD changes nothing")
            let answer = try await ada.client.send(method == "POST" ? .post : .get, "/api/logout")
            #expect(answer.status == 204)
            #expect(try await ada.client.get("/api/me").problemCode == "token_revoked")
            #expect(try await auth.client.post("/api/refresh", json: ["refresh_token": ada.tokens.refreshToken ?? ""]).status == 401)
            #expect(try await other.client.get("/api/me").status == 200)
        }
    }

    @Test(arguments: StoreKind.available)
    func browsersGetCookiesThatOnlyTheirOwnPagesMayUse(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let answer = try await auth.client.post(
                "/api/login",
                json: LoginInput(email: ada.email, password: AuthFixture.password, useCookies: true)
            )
            let tokens = try answer.decode(TokensOutput.self)
            #expect(tokens.accessToken == nil && tokens.refreshToken == nil)
            let refresh = try #require(answer.headers["set-cookie"])
            #expect(
                refresh.hasPrefix("auspex_refresh=aur_") && refresh.contains("HttpOnly; SameSite=Strict") && refresh.contains("Path=/api/refresh")
            )

            // The fixture's client keeps the last of equal headers; the access cookie is made by hand.
            let cookie = ("Cookie", "theme=dark; auspex_access=\(ada.tokens.accessToken ?? "")")
            for headers in [[("Sec-Fetch-Site", "same-origin")], [("Host", "auspex.test"), ("Origin", "http://auspex.test")]] {
                #expect(try await auth.client.get("/api/me", headers: [cookie] + headers).status == 200)
            }
            for headers in [
                [], [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")], [("Host", "auspex.test"), ("Origin", "http://evil.test")],
                [("Host", "auspex.test"), ("Origin", "null")], [("Host", "auspex.test"), ("Referer", "http://auspex.test.evil.test/")],
            ] {
                let refused = try await auth.client.send(.get, "/api/logout", headers: [cookie] + headers)
                #expect(refused.status == 403 && refused.problemCode == "cross_site")
            }
            let pair = try #require(refresh.split(separator: ";").first)
            let crossSite = try await auth.client.send(.post, "/api/refresh", headers: [("Cookie", String(pair)), ("Sec-Fetch-Site", "cross-site")])
            #expect(crossSite.problemCode == "cross_site")
            let refreshed = try await auth.client.send(.post, "/api/refresh", headers: [("Cookie", String(pair)), ("Sec-Fetch-Site", "same-origin")])
            #expect(refreshed.status == 200)
            let logout = try await auth.client.send(.get, "/api/logout", headers: [cookie, ("Sec-Fetch-Site", "same-origin")])
            #expect(logout.status == 204 && logout.headers["set-cookie"]?.contains("Max-Age=0") == true)
        }
    }

    @Test func registrationIsSlowedDownAndCanBeClosed() async throws {
        try await withAuth(registrationPolicy: ThrottlePolicy(freeAttempts: 2, windowSeconds: 60, maximumWaitSeconds: 60)) { (auth) async throws in
            for name in ["a", "b"] {
                #expect(
                    try await auth.client.post("/api/register", json: RegisterInput(email: "\(name)@b.c", password: AuthFixture.password)).status
                        == 201
                )
            }
            #expect(try await auth.client.post("/api/register", json: RegisterInput(email: "c@b.c", password: AuthFixture.password)).status == 429)
        }
        try await withAuth(registrationOpen: false) { auth in
            let answer = try await auth.client.post("/api/register", json: RegisterInput(email: "a@b.c", password: AuthFixture.password))
            #expect(answer.status == 403 && answer.problemCode == "registration_closed")
        }
    }

    @Test(arguments: StoreKind.available)
    func aHashOfALowerCostIsRenewedAtLogin(kind: StoreKind) async throws {
        try await withAuth(kind, bcryptCost: 5) { auth in
            let ada = try await auth.person()
            try await auth.store.transaction { transaction in
                var user = try #require(try await transaction.user(ada.tokens.user.id, locking: true))
                user.passwordHash = try PasswordHash.hash(AuthFixture.password, cost: 4)
                try await transaction.update(user)
            }
            _ = try await auth.logIn(ada.email)
            let hash = try await auth.store.transaction { try await $0.user(ada.tokens.user.id, locking: false)?.passwordHash }
            #expect(PasswordHash.cost(of: try #require(hash)) == 5)
            _ = try await auth.logIn(ada.email)
        }
    }

    @Test(arguments: StoreKind.available)
    func sessionsAreListedAndEndedByTheirOwner(kind: StoreKind) async throws {
        struct Page: Decodable {
            struct Item: Decodable {
                let id: SessionID
                let current: Bool
            }
            let items: [Item]
            let nextCursor: String?
        }
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let second = try await auth.logIn(ada.email)
            let eve = try await auth.person("eve")
            let first = try await ada.client.get("/api/me/sessions?limit=1").decode(Page.self)
            #expect(first.items.count == 1)
            let next = try #require(first.nextCursor)
            let rest = try await ada.client.get("/api/me/sessions?limit=1&cursor=\(next)").decode(Page.self)
            #expect(rest.nextCursor == nil)
            let all = first.items + rest.items
            #expect(Set(all.map(\.id)) == [ada.tokens.sessionID, second.tokens.sessionID])
            #expect(all.filter(\.current).map(\.id) == [ada.tokens.sessionID])

            #expect(try await eve.client.delete("/api/me/sessions/\(second.tokens.sessionID)").status == 404)
            #expect(try await ada.client.delete("/api/me/sessions/\(second.tokens.sessionID)").status == 204)
            #expect(try await second.client.get("/api/me").problemCode == "token_revoked")
            #expect(try await ada.client.delete("/api/me/sessions/\(second.tokens.sessionID)").status == 404)
            #expect(try await ada.client.delete("/api/me/sessions/nonsense").status == 404)
        }
    }
}
