import Contracts
import Cryptography
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import auth

/// A copy of the database must be worth nothing: no password, token or key is in it, in no table and in no form.
@Suite("Secrecy", .enabled(if: TestServers.hasPostgres))
struct SecrecyTests {
    @Test func noTableHoldsASecret() async throws {
        try await withAuth(.postgres) { auth in
            let ada = try await auth.person()
            let refreshed = try await auth.client.post("/api/refresh", json: ["refresh_token": ada.tokens.refreshToken ?? ""])
            let tokens = try refreshed.decode(TokensOutput.self)
            let made = try await ada.client.post(
                "/api/keys",
                json: KeyInput(name: "k", scopes: ["bars:read"]),
                headers: [("Idempotency-Key", "k1")]
            )
            let key = try #require(try made.decode(NewKeyOutput.self).key)
            _ = try await auth.client.post("/api/login", json: LoginInput(email: ada.email, password: "a mistyped password"))
            let body = ["current_password": AuthFixture.password, "new_password": "the next password"]
            #expect(try await ada.client.post("/api/me/password", json: body, headers: [("Idempotency-Key", "p1")]).status == 204)

            let secrets = [
                AuthFixture.password, "a mistyped password", "the next password", key, ada.tokens.refreshToken, ada.tokens.accessToken,
                tokens.refreshToken, tokens.accessToken, try auth.tokenKeys.signingKey().pem(),
            ].compactMap(\.self)
            #expect(secrets.count == 9)
            let dump = try await auth.dump()
            #expect(dump.contains("ada@example.com") && dump.contains("login.failed"), "the dump is one")
            for secret in secrets {
                #expect(!dump.contains(secret))
                // Bytes are shown in hex; half of it would be too much.
                #expect(!dump.contains(Hex.encode(Array(secret.utf8).suffix(secret.utf8.count / 2))))
            }
            // A bare SHA-256 over a password could be guessed at a billion times a second.
            for password in secrets.prefix(3) { #expect(!dump.contains(SHA256.digest(utf8: password).hex)) }
        }
    }
}

extension AuthFixture {
    /// Every row of every table as text.
    fileprivate func dump() async throws -> String {
        guard let pool else { return "" }
        var text = ""
        for row in try await pool.query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'auth' AND tablename <> 'schema_migrations'") {
            let table = try row.column(0, as: String.self)
            for line in try await pool.query("SELECT t::text FROM \(identifier: table) t") { text += try line.column(0, as: String.self) + "\n" }
        }
        return text
    }
}
