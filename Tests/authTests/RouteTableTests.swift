import Contracts
import Foundation
import HTTPServing
import TestSupport
import Testing

@testable import auth

/// Who may use which route, written out once more on purpose: a slip in the service cannot pass unseen.
@Suite("Route × role table")
struct RouteTableTests {
    enum Audience {
        case anybody
        case people
        case administrators
    }

    static let table: [(route: String, audience: Audience)] = [
        ("GET /.well-known/jwks.json", .anybody),
        ("POST /api/register", .anybody),
        ("POST /api/login", .anybody),
        ("POST /api/refresh", .anybody),
        ("POST /api/logout", .people),
        ("GET /api/logout", .people),
        ("GET /api/me", .people),
        ("PUT /api/me", .people),
        ("POST /api/me/password", .people),
        ("GET /api/me/sessions", .people),
        ("DELETE /api/me/sessions/{id}", .people),
        ("GET /api/me/audit", .people),
        ("GET /api/me/audit/all", .administrators),
        ("GET /api/keys", .people),
        ("POST /api/keys", .people),
        ("GET /api/keys/{id}", .people),
        ("PUT /api/keys/{id}", .people),
        ("DELETE /api/keys/{id}", .people),
        ("POST /api/keys/{id}/reroll", .people),
    ]

    @Test func theTableNamesEveryRoute() async throws {
        try await withAuth { (auth) async throws in
            let routes = auth.routes.publicRouter().routes.map { "\($0.method.rawValue) \($0.pattern)" }
            #expect(Set(routes) == Set(Self.table.map(\.route)))
        }
    }

    @Test func theDescriptionNamesEveryRoute() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../services/auth/openapi.yaml")
        var described: Set<String> = []
        var path = ""
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("components:") { break }
            if line.hasPrefix("  /") { path = String(line.dropFirst(2).dropLast()) }
            for method in ["get", "post", "put", "delete"] where line == "    \(method):" { described.insert("\(method.uppercased()) \(path)") }
        }
        #expect(described == Set(Self.table.map(\.route)))
    }

    /// Everybody at every door: what counts is whether the door opens, not what is behind it.
    @Test func doorsOpenForTheirAudienceOnly() async throws {
        try await withAuth { auth in
            let key = try await auth.person("keyholder").client.post("/api/keys", json: KeyInput(name: "k", scopes: ["signals:write"]))
            let apiKey = try #require(try key.decode(NewKeyOutput.self).key)
            _ = try await auth.person("subscriber", roles: ["subscriber"])
            _ = try await auth.person("provider", roles: ["provider"])
            _ = try await auth.administrator()
            for (route, audience) in Self.table {
                let words = route.split(separator: " ").map(String.init)
                let method = try method(words[0])
                let path = words[1].replacing("{id}", with: "01920000-0000-7000-8000-000000000000")
                for name in ["subscriber", "provider", "root"] {
                    // A login for each door, as one of them is the logout.
                    let person = try await auth.logIn("\(name)@example.com")
                    let status = try await person.client.send(method, path).status
                    let isAdmitted = status != 401 && status != 403
                    let expected = audience != .administrators || name == "root"
                    // A refresh without a token is refused for what it lacks, a wrong body is not a closed door.
                    #expect(isAdmitted == expected, "\(name) at \(route): \(status)")
                }
                guard audience != .anybody else { continue }
                let nobody = try await auth.client.send(method, path)
                #expect(nobody.status == 401 && nobody.headers["www-authenticate"] != nil, "nobody at \(route)")
                for headers in [[("X-API-Key", apiKey)], [("Authorization", "Bearer \(apiKey)")]] {
                    let answer = try await auth.client.send(method, path, headers: headers)
                    #expect(answer.status == 403 && answer.problemCode == "insufficient_scope", "a key at \(route)")
                }
                for token in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
                    let answer = try await auth.client.send(method, path, headers: [("Authorization", "Bearer \(token)")])
                    #expect(answer.status == 401, "a forged token at \(route)")
                }
                #expect(try await auth.client.send(method, path, headers: [("Authorization", "Basic YTpi")]).status == 401)
            }
        }
    }
}
