import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import auth

/// The same thing asked for many times at once: the store decides, and it happens once.
@Suite("Side by side", .serialized)
struct ConcurrencyTests {
    func statuses(_ count: Int, _ body: @escaping @Sendable (Int) async throws -> RequestClient.Answer) async throws -> [Int] {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<count { group.addTask { try await body(number).status } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    @Test(arguments: StoreKind.available)
    func oneAddressIsRegisteredOnce(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let found = try await statuses(6) { _ in
                try await auth.client.post("/api/register", json: RegisterInput(email: "ada@example.com", password: AuthFixture.password))
            }
            #expect(found.sorted() == [201, 409, 409, 409, 409, 409])
            #expect(try await auth.announced().count == 2)
        }
    }

    @Test(arguments: StoreKind.available)
    func oneRefreshTokenIsUsedOnce(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let found = try await statuses(6) { _ in
                try await auth.client.post("/api/refresh", json: ["refresh_token": ada.tokens.refreshToken ?? ""])
            }
            #expect(found.filter { $0 == 200 }.count == 1 && found.filter { $0 == 401 }.count == 5)
            #expect(try await ada.client.get("/api/me").problemCode == "token_revoked")
            #expect(try await auth.announced().filter { $0.type == "auth.session.revoked.v1" }.count == 1)
        }
    }

    @Test(arguments: StoreKind.available)
    func guessesSideBySideAreCountedEachForItself(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let found = try await statuses(16) { number in
                try await auth.client.post("/api/login", json: LoginInput(email: ada.email, password: "wrong password \(number)"))
            }
            #expect(found.filter { $0 == 401 }.count == ThrottlePolicy.loginPlace.freeAttempts)
            #expect(found.filter { $0 == 429 }.count == 16 - ThrottlePolicy.loginPlace.freeAttempts)
        }
    }

    @Test(arguments: StoreKind.available)
    func successorsSideBySideAreCounted(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            var keys: [APIKeyID] = []
            for _ in 0..<(APIKey.maximumPerAccount - 2) {
                let made = try await ada.client.post("/api/keys", json: KeyInput(name: "k", scopes: ["bars:read"]))
                keys.append(try made.decode(NewKeyOutput.self).id)
            }
            let found = try await statuses(6) { [keys] number in
                try await ada.client.post("/api/keys/\(keys[number])/reroll", json: ["overlap_seconds": 3_600])
            }
            #expect(found.sorted() == [201, 201, 409, 409, 409, 409])
        }
    }

    @Test(arguments: StoreKind.available)
    func oneIdempotencyKeyMakesOneAPIKey(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let found = try await statuses(6) { _ in
                try await ada.client.post(
                    "/api/keys",
                    json: KeyInput(name: "k", scopes: ["bars:read"]),
                    headers: [("Idempotency-Key", "at-once")]
                )
            }
            #expect(found.allSatisfy { $0 == 201 || $0 == 409 } && found.contains(201))
            let count = try await auth.store.transaction { try await $0.openKeyCount(of: ada.tokens.user.accountID, at: auth.time.now()) }
            #expect(count == 1)
        }
    }

    /// More logins at once than the lane for password hashing takes: the rest is told to come back, and nothing breaks.
    @Test func aFullLaneIsA429() async throws {
        try await withAuth { auth in
            _ = try await auth.person()
            let lane = CPULane.passwordHashing
            // Nothing leaves the lane before somebody has been turned away.
            auth.checks.hold(true)
            let found = try await statuses(lane.maximumConcurrent + lane.maximumQueued + 15) { number in
                let answer = try await auth.client.post(
                    "/api/login",
                    json: LoginInput(email: "guess\(number)@example.com", password: "wrong password")
                )
                if answer.status == 429 { auth.checks.hold(false) }
                return answer
            }
            #expect(found.allSatisfy { $0 == 401 || $0 == 429 })
            #expect(found.contains(401) && found.contains(429))
        }
    }
}
