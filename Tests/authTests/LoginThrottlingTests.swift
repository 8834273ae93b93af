import Contracts
import TestSupport
import Testing

@testable import auth

/// Guessing is slowed down, and nobody can keep an owner out by it: see docs/decisions/login-throttling.md.
@Suite("Login throttling")
struct LoginThrottlingTests {
    private let wrong = "wrong password"

    private func logIn(_ auth: AuthFixture, _ email: String, _ password: String, at address: String) async throws -> RequestClient.Answer {
        try await auth.client.at(address).post("/api/login", json: LoginInput(email: email, password: password))
    }

    /// Guesses at one account, each from an address of its own, until it is held up; gives how many guesses were heard.
    private func attackFromEverywhere(_ auth: AuthFixture, _ email: String, guesses: Int, firstNetwork: Int = 0) async throws -> Int {
        var heard = 0
        for number in 0..<guesses {
            let network = firstNetwork + number
            if try await logIn(auth, email, wrong, at: "198.18.\(network / 250).\(network % 250)").status == 401 { heard += 1 }
        }
        return heard
    }

    @Test(arguments: StoreKind.available)
    func guessingIsSlowedDownByPlaceAndForgivenBySuccess(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            for _ in 0..<ThrottlePolicy.loginPlace.freeAttempts {
                #expect(try await logIn(auth, ada.email, wrong, at: "127.0.0.1").status == 401)
            }
            let throttled = try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1")
            #expect(throttled.status == 429 && throttled.problemCode == "too_many_attempts" && throttled.headers["retry-after"] == "1")
            let other = try await logIn(auth, "bob@example.com", wrong, at: "127.0.0.1")
            #expect(other.status == 401, "another account from the same address is not held up")
            auth.time.advance(by: .seconds(1))
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1").status == 200)
            for _ in 0..<ThrottlePolicy.loginPlace.freeAttempts - 1 {
                #expect(try await logIn(auth, ada.email, wrong, at: "127.0.0.1").status == 401)
            }
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1").status == 200, "the count began anew")
        }
    }

    @Test(arguments: StoreKind.available)
    func anAttackerElsewhereDoesNotLockTheOwnerOut(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            // One address, for two hours, as often as it is let: the owner is held up nowhere, not even where nobody knows her.
            var heard = 0
            for _ in 0..<720 {
                if try await logIn(auth, ada.email, wrong, at: "203.0.113.9").status == 401 { heard += 1 }
                auth.time.advance(by: .seconds(10))
            }
            #expect(heard > ThrottlePolicy.loginPlace.freeAttempts && heard < 60, "\(heard)")
            #expect(try await logIn(auth, ada.email, wrong, at: "203.0.113.9").status == 429)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1").status == 200)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "192.0.2.200").status == 200)
        }
    }

    @Test(arguments: StoreKind.available)
    func anAttackFromEverywhereIsSlowedDownAndSparesKnownPlaces(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let free = ThrottlePolicy.loginAccount.freeAttempts
            #expect(try await attackFromEverywhere(auth, ada.email, guesses: free + 20) == free)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "192.0.2.200").status == 429, "a stranger waits")
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1").status == 200, "the owner does not")
            #expect(try await ada.client.get("/api/me").status == 200)
            // Nor has it become easier for the attacker.
            auth.time.advance(by: .seconds(1))
            #expect(try await attackFromEverywhere(auth, ada.email, guesses: 5, firstNetwork: 100) == 1)
            // Where the owner has logged in once she is no stranger any more.
            auth.time.advance(by: .seconds(2))
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "192.0.2.200").status == 200)
            #expect(try await attackFromEverywhere(auth, ada.email, guesses: 5, firstNetwork: 200) == 1)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "192.0.2.200").status == 200)
        }
    }

    @Test(arguments: StoreKind.available)
    func successDoesNotGiveTheAttackerNewGuesses(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            _ = try await auth.person("mallory")
            // By place: the attacker's own account from the same address changes nothing.
            for _ in 0..<ThrottlePolicy.loginPlace.freeAttempts { #expect(try await logIn(auth, ada.email, wrong, at: "203.0.113.9").status == 401) }
            #expect(try await logIn(auth, "mallory@example.com", AuthFixture.password, at: "203.0.113.9").status == 200)
            #expect(try await logIn(auth, ada.email, wrong, at: "203.0.113.9").status == 429)
            // Nor does the owner's success, wherever it is.
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1").status == 200)
            #expect(try await logIn(auth, ada.email, wrong, at: "203.0.113.9").status == 429)

            // By address: every success of its own gives back one attempt, its own.
            let left = ThrottlePolicy.loginAddress.freeAttempts - ThrottlePolicy.loginPlace.freeAttempts
            for number in 0..<left {
                #expect(try await logIn(auth, "guess\(number)@example.com", wrong, at: "203.0.113.9").status == 401)
                if number + 1 < left {
                    #expect(try await logIn(auth, "mallory@example.com", AuthFixture.password, at: "203.0.113.9").status == 200)
                }
            }
            #expect(try await logIn(auth, "another@example.com", wrong, at: "203.0.113.9").status == 429)

            // By account: the same.
            let spent = ThrottlePolicy.loginPlace.freeAttempts
            let free = ThrottlePolicy.loginAccount.freeAttempts - spent
            #expect(try await attackFromEverywhere(auth, ada.email, guesses: free - 1) == free - 1)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "192.0.2.201").status == 200)
            #expect(try await attackFromEverywhere(auth, ada.email, guesses: 10, firstNetwork: 100) == 1)
        }
    }

    @Test func anIPv6NetworkCountsAsOnePlace() async throws {
        try await withAuth { auth in
            let ada = try await auth.person()
            var statuses: [Int] = []
            for number in 0...ThrottlePolicy.loginPlace.freeAttempts {
                statuses.append(try await logIn(auth, ada.email, wrong, at: "2001:db8:7:1::\(number)").status)
            }
            #expect(statuses.dropLast().allSatisfy { $0 == 401 } && statuses.last == 429)
            #expect(try await logIn(auth, ada.email, wrong, at: "2001:db8:7:2::1").status == 401)
            // Known is the network too.
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "2001:db8:7:3::1").status == 200)
            _ = try await attackFromEverywhere(auth, ada.email, guesses: 40)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "2001:db8:7:3::2").status == 200)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "2001:db8:7:4::2").status == 429)
        }
    }

    @Test func anotherSpellingOfTheAddressIsNotAnotherCount() async throws {
        try await withAuth { auth in
            let ada = try await auth.person()
            var statuses: [Int] = []
            for number in 0...ThrottlePolicy.loginPlace.freeAttempts {
                let spelling = String(repeating: " ", count: number) + (number.isMultiple(of: 2) ? ada.email : ada.email.uppercased())
                statuses.append(try await logIn(auth, spelling, wrong, at: "203.0.113.9").status)
            }
            #expect(statuses.dropLast().allSatisfy { $0 == 401 } && statuses.last == 429)
        }
    }

    @Test func guessingIsSlowedDownByAddress() async throws {
        try await withAuth { auth in
            var statuses: [Int] = []
            for number in 0...ThrottlePolicy.loginAddress.freeAttempts {
                statuses.append(try await logIn(auth, "guess\(number)@example.com", wrong, at: "203.0.113.9").status)
            }
            #expect(statuses.dropLast().allSatisfy { $0 == 401 })
            #expect(statuses.last == 429)
        }
    }

    @Test(arguments: StoreKind.available)
    func theOperatorsResetLetsTheOwnerInAtOnce(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            for _ in 0..<ThrottlePolicy.loginPlace.freeAttempts { _ = try await logIn(auth, ada.email, wrong, at: "127.0.0.1") }
            _ = try await attackFromEverywhere(auth, ada.email, guesses: 40)
            #expect(try await logIn(auth, ada.email, AuthFixture.password, at: "127.0.0.1").status == 429)
            try await auth.routes.profiles.resetPassword(of: EmailAddress(stored: ada.email), to: "a brand new one")
            #expect(try await logIn(auth, ada.email, "a brand new one", at: "127.0.0.1").status == 200)
        }
    }

    @Test(arguments: StoreKind.available)
    func passwordsAskedForByASessionAreCountedApart(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            func change(_ password: String) async throws -> RequestClient.Answer {
                try await ada.client.post("/api/me/password", json: ["current_password": password, "new_password": "another password"])
            }
            // An attack on the login does not reach who is in already.
            for _ in 0..<ThrottlePolicy.loginPlace.freeAttempts { _ = try await logIn(auth, ada.email, wrong, at: "127.0.0.1") }
            _ = try await attackFromEverywhere(auth, ada.email, guesses: 40)
            for _ in 0..<ThrottlePolicy.passwordUser.freeAttempts { #expect(try await change(wrong).status == 403) }
            // A stolen session cannot guess on.
            #expect(try await change(AuthFixture.password).status == 429)
            auth.time.advance(by: .seconds(1))
            #expect(try await change(AuthFixture.password).status == 204)
        }
    }
}
