import Contracts
import Cryptography
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import auth

@Suite("Profile, password, audit", .serialized)
struct ProfileRouteTests {
    @Test(arguments: StoreKind.available)
    func aProfileIsReadAndChanged(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            #expect(try await ada.client.get("/api/me").decode(UserOutput.self) == ada.tokens.user)
            let renamed = try await ada.client.put("/api/me", json: ["display_name": "Countess"])
            #expect(try renamed.decode(UserOutput.self).displayName == "Countess")
            #expect(try await ada.client.get("/api/me").status == 200, "a new name voids no token")

            let refused = try await ada.client.put("/api/me", json: ["email": "new@example.com"])
            #expect(refused.status == 403 && refused.problemCode == "wrong_password")
            let moved = try await ada.client.put("/api/me", json: ["email": "New@example.com", "current_password": AuthFixture.password])
            #expect(try moved.decode(UserOutput.self).email == "new@example.com")
            _ = try await auth.logIn("new@example.com")
        }
    }

    @Test(arguments: StoreKind.available)
    func newRolesVoidOlderTokensAndAreSaid(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person(roles: ["subscriber"])
            let made = try await ada.client.post("/api/keys", json: KeyInput(name: "k", scopes: ["bars:read"]))
            #expect(made.status == 201)
            let changed = try await ada.client.put("/api/me", json: ["roles": ["provider", "subscriber"]])
            #expect(try changed.decode(UserOutput.self).roles == ["provider", "subscriber"])
            let stale = try await ada.client.get("/api/me")
            #expect(stale.status == 401 && stale.problemCode == "token_superseded")
            let refreshed = try await auth.client.post("/api/refresh", json: ["refresh_token": ada.tokens.refreshToken ?? ""])
            let token = try #require(try refreshed.decode(TokensOutput.self).accessToken)
            #expect(try await auth.client.get("/api/me", headers: [("Authorization", "Bearer \(token)")]).status == 200)

            let events = try await auth.announced()
            let users = events.filter { $0.type == "auth.user.changed.v1" }
            #expect(users.map(\.version) == [1, 2])
            #expect(try WireJSON.decode(UserChanged.self, from: try #require(users.last).data).roles == ["provider", "subscriber"])
            #expect(events.filter { $0.type == "auth.key.changed.v1" }.map(\.version) == [1, 2], "what was known of the user's keys is void")
        }
    }

    @Test(arguments: StoreKind.available)
    func nobodyMakesHimselfAnAdministrator(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let answer = try await ada.client.put("/api/me", json: ["roles": ["admin"]])
            #expect(answer.status == 400 && answer.problemField == "roles")
            let registered = try await auth.client.post(
                "/api/register",
                json: RegisterInput(email: "x@y.z", password: AuthFixture.password, roles: ["admin"])
            )
            #expect(registered.status == 400 && registered.problemField == "roles")
            let root = try await auth.administrator()
            let kept = try await root.client.put("/api/me", json: ["roles": ["subscriber"]])
            #expect(try kept.decode(UserOutput.self).roles == ["subscriber", "admin"])
        }
    }

    @Test(arguments: StoreKind.available)
    func aNewPasswordEndsTheOtherSessions(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let other = try await auth.logIn(ada.email)
            let wrong = try await ada.client.post("/api/me/password", json: ["current_password": "wrong one", "new_password": "another password"])
            #expect(wrong.status == 403 && wrong.problemCode == "wrong_password")
            let short = try await ada.client.post("/api/me/password", json: ["current_password": AuthFixture.password, "new_password": "short"])
            #expect(short.status == 400 && short.problemField == "new_password")
            let body = ["current_password": AuthFixture.password, "new_password": "another password"]
            let key = [("Idempotency-Key", "change-1")]
            #expect(try await ada.client.post("/api/me/password", json: body, headers: key).status == 204)
            let again = try await ada.client.post("/api/me/password", json: body, headers: key)
            #expect(again.status == 204 && again.headers["idempotency-replayed"] == "true")
            #expect(try await ada.client.get("/api/me").status == 200)
            #expect(try await other.client.get("/api/me").problemCode == "token_revoked")
            #expect(try await auth.client.post("/api/login", json: LoginInput(email: ada.email, password: AuthFixture.password)).status == 401)
            _ = try await auth.logIn(ada.email, password: "another password")
        }
    }

    @Test(arguments: StoreKind.available)
    func theCommandLineResetsDisablesAndEnables(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let email = EmailAddress(stored: ada.email)
            try await auth.routes.profiles.resetPassword(of: email, to: "a reset password")
            #expect(try await ada.client.get("/api/me").status == 401)
            let anew = try await auth.logIn(ada.email, password: "a reset password")
            try await auth.routes.profiles.setDisabled(true, email: email)
            #expect(try await anew.client.get("/api/me").status == 401)
            let refused = try await auth.client.post("/api/login", json: LoginInput(email: ada.email, password: "a reset password"))
            #expect(refused.status == 403 && refused.problemCode == "user_disabled")
            try await auth.routes.profiles.setDisabled(false, email: email)
            _ = try await auth.logIn(ada.email, password: "a reset password")
            await #expect(throws: AuthError.notFound) {
                try await auth.routes.profiles.resetPassword(of: EmailAddress(stored: "nobody@example.com"), to: "a reset password")
            }
            let versions = try await auth.announced().filter { $0.type == "auth.user.changed.v1" }.map(\.version)
            #expect(versions == [1, 2, 3, 4])
        }
    }

    @Test(arguments: StoreKind.available)
    func theAuditLogShowsOnesOwnLines(kind: StoreKind) async throws {
        struct Page: Decodable {
            struct Item: Decodable {
                let action: String
                let accountID: AccountID?
            }
            let items: [Item]
        }
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            _ = try await auth.person("eve")
            _ = try await ada.client.put("/api/me", json: ["display_name": "Countess"])
            let own = try await ada.client.get("/api/me/audit").decode(Page.self).items
            #expect(own.map(\.action) == ["user.updated", "login.succeeded", "user.registered"])
            #expect(own.allSatisfy { $0.accountID == ada.tokens.user.accountID })
            let root = try await auth.administrator()
            let all = try await root.client.get("/api/me/audit/all?limit=200").decode(Page.self).items
            #expect(all.count > 6 && Set(all.map(\.accountID)).count >= 3)
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres))
    func nothingInTheAuditLogCanBeChanged() async throws {
        try await withDatabase(service: "auth", catalogue: try Migrations.catalogue()) { database in
            try await database.withPool { pool in
                try await pool.execute(
                    """
                    INSERT INTO audit_log (id, recorded_at, action, subject, detail, address, user_agent, request_id)
                    VALUES (\(AuditID.make()), now(), 'login.failed', 'x', '{}', '', '', '')
                    """
                )
                for statement in ["UPDATE audit_log SET subject = 'y'", "DELETE FROM audit_log", "TRUNCATE audit_log"] as [SQL] {
                    await #expect(throws: PostgresError.self) { try await pool.execute(statement) }
                }
                #expect(try await pool.query("SELECT 1 FROM audit_log").count == 1)
            }
            var owner = database.configuration()
            owner.url = database.ownerURL
            let pool = PostgresPool(configuration: owner, loops: [TestLoop.shared])
            try await pool.start()
            for statement in ["UPDATE audit_log SET subject = 'y'", "DELETE FROM audit_log", "TRUNCATE audit_log"] as [SQL] {
                let error = await #expect(throws: PostgresError.self) { try await pool.execute(statement) }
                #expect(error?.sqlState == "42501", "the trigger refuses the owner too")
            }
            await pool.stop()
        }
    }
}
