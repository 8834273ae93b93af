import Contracts
import HTTPServing
import TestSupport
import Testing

@testable import auth

/// Every field of every body: missing, of the wrong type, too large, unknown, hostile. Nothing of it changes anything.
@Suite("Bad input", .serialized)
struct BadInputTests {
    static let bodies: [(route: String, body: String, code: String, field: String?)] = [
        ("POST /api/register", "", "invalid_json", nil),
        ("POST /api/register", "{", "invalid_json", nil),
        ("POST /api/register", "[]", "wrong_type", nil),
        ("POST /api/register", "{}", "missing_field", "email"),
        ("POST /api/register", #"{"email": 7, "password": "correct horse"}"#, "wrong_type", "email"),
        ("POST /api/register", #"{"email": null, "password": "correct horse"}"#, "wrong_type", "email"),
        ("POST /api/register", #"{"email": "a@b.c", "password": ["x"]}"#, "wrong_type", "password"),
        ("POST /api/register", #"{"email": "a@b.c'; DROP TABLE users; --", "password": "correct horse"}"#, "invalid_value", "email"),
        ("POST /api/register", #"{"email": "a@b.c", "password": "short"}"#, "password_too_short", "password"),
        ("POST /api/register", #"{"email": "a@b.c", "password": "correct\u0000horse"}"#, "invalid_json", nil),
        ("POST /api/register", #"{"email": "a@b.c", "password": "correct horse", "admin": true}"#, "unknown_field", "admin"),
        ("POST /api/register", #"{"email": "a@b.c", "password": "correct horse", "roles": "provider"}"#, "wrong_type", "roles"),
        ("POST /api/register", #"{"email": "a@b.c", "password": "correct horse", "roles": []}"#, "invalid_value", "roles"),
        ("POST /api/register", #"{"email": "a@b.c", "password": "correct horse", "roles": ["king"]}"#, "invalid_value", "roles[0]"),
        ("POST /api/register", #"{"email": "a@b.c", "email": "d@e.f", "password": "correct horse"}"#, "duplicate_field", nil),
        ("POST /api/register", #"{"email": "a@b.c", "password": "correct horse", "display_name": "a\nb"}"#, "invalid_value", "display_name"),
        ("POST /api/login", #"{"email": "a@b.c"}"#, "missing_field", "password"),
        ("POST /api/login", #"{"email": "a@b.c", "password": "x", "use_cookies": "yes"}"#, "wrong_type", "use_cookies"),
        ("POST /api/refresh", #"{"refresh_token": {}}"#, "wrong_type", "refresh_token"),
        ("PUT /api/me", #"{"password": "x"}"#, "unknown_field", "password"),
        ("PUT /api/me", #"{"email": "nonsense"}"#, "invalid_value", "email"),
        ("PUT /api/me", #"{"display_name": ""}"#, "invalid_value", "display_name"),
        ("POST /api/me/password", #"{"new_password": "correct horse"}"#, "missing_field", "current_password"),
        ("POST /api/keys", #"{"scopes": ["bars:read"]}"#, "missing_field", "name"),
        ("POST /api/keys", #"{"name": "", "scopes": ["bars:read"]}"#, "invalid_value", "name"),
        ("POST /api/keys", #"{"name": "k", "scopes": []}"#, "invalid_value", "scopes"),
        ("POST /api/keys", #"{"name": "k", "scopes": ["bars:read", "everything"]}"#, "unknown_scope", "scopes[1]"),
        ("POST /api/keys", #"{"name": "k", "scopes": ["signals:write"]}"#, "scope_not_allowed", "scopes"),
        ("POST /api/keys", #"{"name": "k", "scopes": ["bars:read"], "expires_at": "tomorrow"}"#, "invalid_value", "expires_at"),
        ("POST /api/keys", #"{"name": "k", "scopes": ["bars:read"], "expires_at": "2001-01-01T00:00:00Z"}"#, "invalid_value", "expires_at"),
        ("PUT /api/keys/01920000-0000-7000-8000-000000000000", #"{"enabled": 1}"#, "wrong_type", "enabled"),
        ("POST /api/keys/01920000-0000-7000-8000-000000000000/reroll", #"{"overlap_seconds": 1.5}"#, "wrong_type", "overlap_seconds"),
        ("POST /api/keys/01920000-0000-7000-8000-000000000000/reroll", #"{"overlap_seconds": 60}"#, "invalid_value", "overlap_seconds"),
    ]

    @Test func bodiesAreRefusedByFieldAndChangeNothing() async throws {
        try await withAuth { auth in
            let ada = try await auth.person(roles: ["subscriber"])
            let before = try await auth.announced()
            for (route, body, code, field) in Self.bodies {
                let words = route.split(separator: " ").map(String.init)
                let method = try method(words[0])
                let answer = try await ada.client.send(method, words[1], headers: [("content-type", "application/json")], body: Array(body.utf8))
                #expect((400..<500).contains(answer.status) && answer.status != 404, "\(route) \(body): \(answer.status)")
                #expect(answer.problemCode == code && answer.problemField == field, "\(route) \(body): \(answer.text)")
                #expect(answer.headers["content-type"] == "application/problem+json")
            }
            #expect(try await auth.announced() == before)
        }
    }

    @Test(arguments: [
        ("/api/me/sessions?limit=0", "invalid_parameter", "limit"), ("/api/me/sessions?limit=x", "invalid_parameter", "limit"),
        ("/api/keys?limit=201", "invalid_parameter", "limit"), ("/api/keys?cursor=x", "invalid_cursor", "cursor"),
        ("/api/keys?cursor=WyJ4Il0", "invalid_cursor", "cursor"), ("/api/keys?order=name", "unknown_parameter", "order"),
        ("/api/me?x=1", "unknown_parameter", "x"), ("/api/me/audit?limit=1&limit=2", "duplicate_parameter", "limit"),
    ])
    func parametersAreRefusedByName(path: String, code: String, field: String) async throws {
        try await withAuth { auth in
            let answer = try await auth.person().client.get(path)
            #expect(answer.status == 400 && answer.problemCode == code && answer.problemField == field, "\(answer.text)")
        }
    }

    @Test(arguments: ["", " ", "a b", "ü", String(repeating: "x", count: 256)])
    func idempotencyKeysAreChecked(key: String) async throws {
        try await withAuth { auth in
            let answer = try await auth.person().client.post(
                "/api/keys",
                json: KeyInput(name: "k", scopes: ["bars:read"]),
                headers: [("Idempotency-Key", key)]
            )
            #expect(answer.status == 400 && answer.problemCode == "invalid_idempotency_key")
        }
    }

    @Test func aRepeatedRegistrationIsAnsweredOnceAndItsKeyStoresNoPassword() async throws {
        try await withAuth { auth in
            let headers = [("Idempotency-Key", "register-1")]
            let input = RegisterInput(email: "a@b.c", password: AuthFixture.password)
            let first = try await auth.client.post("/api/register", json: input, headers: headers)
            let second = try await auth.client.post("/api/register", json: input, headers: headers)
            #expect(first.status == 201 && second.status == 201)
            #expect(try first.decode(UserOutput.self) == second.decode(UserOutput.self))
            var otherPassword = input
            otherPassword.password = "another password"
            #expect(try await auth.client.post("/api/register", json: otherPassword, headers: headers).status == 201)
            var otherName = input
            otherName.displayName = "Somebody"
            #expect(try await auth.client.post("/api/register", json: otherName, headers: headers).problemCode == "idempotency_key_reused")
        }
    }
}
