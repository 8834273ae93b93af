import Contracts
import Cryptography
import HTTPServing
import TestSupport
import Testing

@testable import auth

/// What every version of the store must do; both run through all of it.
@Suite("Auth store contract", .serialized)
struct AuthStoreContractTests {
    let now = Timestamp(seconds: 1_770_000_000)

    func user(_ email: String = "ada@example.com", account: AccountID = .make()) -> User {
        User(
            id: .make(),
            accountID: account,
            email: EmailAddress(stored: email),
            displayName: "Ada",
            passwordHash: "$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            passwordChangedAt: now,
            roles: [.provider, .subscriber],
            version: 1,
            versionRaisedAt: now,
            disabledAt: nil,
            createdAt: now
        )
    }

    func session(of user: User, endsAfter seconds: Int64 = 1_000) -> Session {
        Session(
            id: .make(),
            userID: user.id,
            accountID: user.accountID,
            createdAt: now,
            lastUsedAt: now,
            endsAt: now + .seconds(seconds),
            tokenExpiresAt: now + .seconds(900),
            address: "192.0.2.1",
            userAgent: "test"
        )
    }

    func key(of user: User, _ text: String) -> APIKey {
        APIKey(
            id: .make(),
            accountID: user.accountID,
            userID: user.id,
            name: text,
            sha256: SHA256.digest(utf8: text),
            prefix: "aus_abcd",
            scopes: ["bars:read"],
            state: .active,
            createdAt: now,
            generation: 1
        )
    }

    func idempotent(_ key: String, account: AccountID?) throws -> IdempotentRequest {
        var request = try Request(method: .post, target: "/x", headers: [("Idempotency-Key", key)], body: Array("body".utf8))
        request.principal = account.map { Principal(userID: .make(), accountID: $0, roles: [], credential: .session(.make())) }
        return try #require(try Idempotency<AuthIdempotencyStore>.idempotentRequest(of: request))
    }

    func add(_ user: User, to transaction: any AuthTransaction) async throws {
        try await transaction.insert(Account(id: user.accountID, kind: .person, name: "Ada", createdAt: now))
        try await transaction.insert(user)
    }

    @Test(arguments: StoreKind.available)
    func usersAreFoundChangedAndUnique(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            var ada = user()
            let stored = ada
            try await auth.store.transaction { try await add(stored, to: $0) }
            #expect(try await auth.store.transaction { try await $0.user(email: stored.email, locking: true) } == stored)
            #expect(try await auth.store.transaction { try await $0.user(stored.id, locking: false) } == stored)
            #expect(try await auth.store.transaction { try await $0.user(.make(), locking: false) } == nil)

            let twin = user()
            await #expect(throws: AuthError.emailTaken) { try await auth.store.transaction { try await add(twin, to: $0) } }
            let bob = user("bob@example.com")
            try await auth.store.transaction { try await add(bob, to: $0) }
            var stolen = bob
            stolen.email = stored.email
            let theft = stolen
            await #expect(throws: AuthError.emailTaken) { try await auth.store.transaction { try await $0.update(theft) } }

            ada.displayName = "Countess"
            ada.disabledAt = now + .seconds(1)
            ada.roles = [.subscriber]
            ada.raiseVersion(at: now + .seconds(5))
            let changed = ada
            try await auth.store.transaction { try await $0.update(changed) }
            #expect(try await auth.store.transaction { try await $0.user(changed.id, locking: false) } == changed)
            #expect(try await auth.store.transaction { try await $0.users(versionRaisedSince: now) } == [changed])
            #expect(try await auth.store.transaction { try await $0.users(versionRaisedSince: now + .seconds(6)) } == [])
        }
    }

    @Test(arguments: StoreKind.available)
    func aThrowingTransactionLeavesNothing(kind: StoreKind) async throws {
        struct Interruption: Error {}
        try await withAuth(kind) { (auth) async throws in
            let ada = user()
            await #expect(throws: Interruption.self) {
                try await auth.store.transaction { transaction in
                    try await add(ada, to: transaction)
                    try await transaction.announce(ada.changed, version: 1)
                    throw Interruption()
                }
            }
            #expect(try await auth.store.transaction { try await $0.user(ada.id, locking: false) } == nil)
            #expect(try await auth.announced().isEmpty)
        }
    }

    @Test(arguments: StoreKind.available)
    func eventsCommitWithTheirTransaction(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = user()
            try await auth.store.transaction { transaction in
                try await add(ada, to: transaction)
                try await transaction.announce(ada.changed, version: 7)
            }
            let events = try await auth.announced()
            #expect(
                events == [
                    AnnouncedEvent(
                        type: "auth.user.changed.v1",
                        subject: ada.id.description,
                        version: 7,
                        data: try WireJSON.value(of: ada.changed)
                    )
                ]
            )
        }
    }

    @Test(arguments: StoreKind.available)
    func sessionsAreListedNewestFirstAndDenied(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = user()
            let sessions = (0..<3).map { _ in session(of: ada) }.sorted { $0.id < $1.id }
            let ended = session(of: ada, endsAfter: -1)
            try await auth.store.transaction { transaction in
                try await add(ada, to: transaction)
                for session in sessions + [ended] { try await transaction.insert(session) }
            }
            let firstPage = try await auth.store.transaction { try await $0.liveSessions(of: ada.id, at: now, after: nil, limit: 2) }
            #expect(firstPage == [sessions[2], sessions[1]])
            let secondPage = try await auth.store.transaction { try await $0.liveSessions(of: ada.id, at: now, after: sessions[1].id, limit: 2) }
            #expect(secondPage == [sessions[0]])

            var revoked = sessions[0]
            _ = revoked.revoke(.refreshReused, at: now)
            let stored = revoked
            try await auth.store.transaction { try await $0.update(stored) }
            #expect(try await auth.store.transaction { try await $0.session(stored.id, locking: true) } == stored)
            #expect(try await auth.store.transaction { try await $0.deniedSessions(at: now) } == [stored])
            #expect(try await auth.store.transaction { try await $0.deniedSessions(at: now + .seconds(900)) } == [])
            #expect(try await auth.store.transaction { try await $0.liveSessions(of: ada.id, at: now, after: nil, limit: 9).count } == 2)
        }
    }

    @Test(arguments: StoreKind.available)
    func refreshTokensAreUsedOnce(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = user()
            let session = session(of: ada)
            let sha256 = SHA256.digest(utf8: "token")
            try await auth.store.transaction { transaction in
                try await add(ada, to: transaction)
                try await transaction.insert(session)
                try await transaction.insert(
                    RefreshToken(sha256: sha256, sessionID: session.id, accountID: ada.accountID, issuedAt: now, expiresAt: session.endsAt)
                )
            }
            #expect(try await auth.store.transaction { try await $0.refreshToken(sha256) }?.usedAt == nil)
            try await auth.store.transaction { try await $0.use(sha256, at: now + .seconds(3)) }
            #expect(try await auth.store.transaction { try await $0.refreshToken(sha256) }?.usedAt == now + .seconds(3))
            #expect(try await auth.store.transaction { try await $0.refreshToken(SHA256.digest(utf8: "other")) } == nil)
        }
    }

    @Test(arguments: StoreKind.available)
    func keysAreFoundListedCountedAndUsed(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let (ada, bob) = (user(), user("bob@example.com"))
            let keys = (0..<3).map { key(of: ada, "key \($0)") }.sorted { $0.id < $1.id }
            let foreign = key(of: bob, "bob's")
            try await auth.store.transaction { transaction in
                try await add(ada, to: transaction)
                try await add(bob, to: transaction)
                for key in keys + [foreign] { try await transaction.insert(key) }
            }
            #expect(try await auth.store.transaction { try await $0.keys(of: ada.accountID, after: nil, limit: 2) } == [keys[2], keys[1]])
            #expect(try await auth.store.transaction { try await $0.keys(of: ada.accountID, after: keys[1].id, limit: 2) } == [keys[0]])
            let found = try await auth.store.transaction { transaction -> [String] in
                let found = try await transaction.key(sha256: keys[1].sha256)
                return [found?.key.name, found?.owner.email.text].compactMap(\.self)
            }
            #expect(found == [keys[1].name, "ada@example.com"])

            var (ending, revoked) = (keys[0], keys[1])
            ending.expiresAt = now + .seconds(10)
            revoked.revoke()
            let changes = [ending, revoked]
            try await auth.store.transaction { transaction in for key in changes { try await transaction.update(key) } }
            #expect(try await auth.store.transaction { try await $0.openKeyCount(of: ada.accountID, at: now) } == 2)
            #expect(try await auth.store.transaction { try await $0.openKeyCount(of: ada.accountID, at: now + .seconds(10)) } == 1)
            #expect(try await auth.store.transaction { try await $0.openKeys(of: ada.id).map(\.id) } == [keys[0].id, keys[2].id])

            try await auth.store.transaction { try await $0.recordUse(of: [keys[2].id: now + .seconds(9), keys[0].id: now + .seconds(2)]) }
            try await auth.store.transaction { try await $0.recordUse(of: [keys[2].id: now + .seconds(5)]) }
            #expect(try await auth.store.transaction { try await $0.key(keys[2].id, locking: false) }?.lastUsedAt == now + .seconds(9))
            let stale = keys[2]
            try await auth.store.transaction { try await $0.update(stale) }
            #expect(try await auth.store.transaction { try await $0.key(stale.id, locking: true) }?.lastUsedAt == now + .seconds(9))
        }
    }

    @Test(arguments: StoreKind.available)
    func keysOfALineShareABudget(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = user()
            let (first, foreign) = (key(of: ada, "first"), key(of: ada, "foreign"))
            var (second, third) = (key(of: ada, "second"), key(of: ada, "third"))
            second.firstID = first.id
            third.firstID = first.id
            let made = [first, foreign, second, third]
            let line = [first, second, third].sorted { $0.id < $1.id }
            let budget = KeyBudget(requestsPerMinute: 60, credits: 1_000_000_000_000, version: 4, creditsVersion: 2)
            try await auth.store.transaction { transaction in
                try await add(ada, to: transaction)
                // The first one first: the others name it.
                for key in made { try await transaction.insert(key) }
                #expect(try await transaction.budget(first.id, locking: true) == nil)
                try await transaction.write(KeyBudget(requestsPerMinute: 1, version: 3), of: first.id)
                try await transaction.write(budget, of: first.id)
            }
            let found = try await auth.store.transaction { transaction in
                #expect(try await transaction.budget(first.id, locking: false) == budget)
                return try await transaction.keys(sharing: first.id)
            }
            #expect(found.map(\.id) == line.map(\.id) && found.allSatisfy { $0.budget == budget && $0.budgetID == first.id })
            let stored = try await auth.store.transaction { [second] in try await $0.key(second.id, locking: true) }
            #expect(stored?.firstID == first.id && stored?.budget == budget)
            #expect(try await auth.store.transaction { try await $0.key(sha256: first.sha256)?.key.budget } == budget)
            #expect(try await auth.store.transaction { try await $0.key(foreign.id, locking: false) }?.budget == KeyBudget())
            #expect(try await auth.store.transaction { try await $0.keys(sharing: foreign.id) } == [foreign])
            #expect(try await auth.store.transaction { try await $0.keys(of: ada.accountID, after: nil, limit: 9).count } == 4)

            var block = CreditBlock(id: .make(), budgetID: first.id, creditsVersion: 2, service: "signals", credits: 10, takenAt: now)
            let taken = block
            try await auth.store.transaction { try await $0.insert(taken) }
            #expect(try await auth.store.transaction { try await $0.creditBlock(taken.id, locking: true) } == taken)
            block.unused = 3
            let returned = block
            try await auth.store.transaction { try await $0.update(returned) }
            #expect(try await auth.store.transaction { try await $0.creditBlock(taken.id, locking: false) } == returned)
            #expect(try await auth.store.transaction { try await $0.creditBlock(.make(), locking: false) } == nil)
        }
    }

    @Test(arguments: StoreKind.available)
    func tokenKeysThatAreGoneAreNotListed(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let box = MasterKeyBox(.generate())
            let before = try await auth.store.transaction { try await $0.tokenKeys().map(\.keyID) }
            var key = try TokenKey.make(state: .published, box: box, now: now)
            let made = key
            try await auth.store.transaction { transaction in
                try await transaction.lockTokenKeys()
                try await transaction.insert(made)
            }
            let listed = try await auth.store.transaction { try await $0.tokenKeys() }
            #expect(listed.contains(made))
            #expect(Set(listed.map(\.keyID)) == Set(before + [made.keyID]))
            key.move(to: .gone, at: now)
            let gone = key
            try await auth.store.transaction { try await $0.update(gone) }
            #expect(try await auth.store.transaction { try await $0.tokenKeys().map(\.keyID) } == before)
        }
    }

    @Test(arguments: StoreKind.available)
    func throttlesAreKeptAndForgotten(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let subject = ThrottleSubject.login(email: "ada@example.com")
            let state = ThrottleState(attempts: 3, windowStartedAt: now, blockedUntil: now + .seconds(4))
            #expect(try await auth.store.transaction { try await $0.throttle(subject) } == nil)
            try await auth.store.transaction { try await $0.setThrottle(subject, state) }
            #expect(try await auth.store.transaction { try await $0.throttle(subject) } == state)
            #expect(try await auth.store.transaction { try await $0.throttle(.login(address: "ada@example.com")) } == nil)
            try await auth.store.transaction { try await $0.setThrottle(subject, nil) }
            #expect(try await auth.store.transaction { try await $0.throttle(subject) } == nil)
        }
    }

    @Test(arguments: StoreKind.available)
    func loginPlacesAreKeptUpToTheirNumberAndForgottenTogether(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let most = LoginPlace.maximumPerAccount
            let places = (0...most).map { LoginPlace(email: "ada@example.com", address: "192.0.2.\($0)") }
            let other = LoginPlace(email: "bob@example.com", address: "192.0.2.0")
            func known() async throws -> [Bool] {
                try await auth.store.transaction { transaction in
                    var known: [Bool] = []
                    for place in places + [other] { known.append(try await transaction.isKnown(place)) }
                    return known
                }
            }
            #expect(try await known().allSatisfy { !$0 })
            for (number, place) in places.enumerated() {
                try await auth.store.transaction { transaction in
                    try await transaction.remember(place, at: now + .seconds(number))
                    // The first is used again and again, so the second is the oldest.
                    try await transaction.remember(places[0], at: now + .seconds(number))
                }
            }
            try await auth.store.transaction { try await $0.remember(other, at: now) }
            #expect(try await known() == [true, false] + Array(repeating: true, count: most))

            let state = ThrottleState(attempts: 3, windowStartedAt: now, blockedUntil: nil)
            let counts = [ThrottleSubject.login(email: "ada@example.com"), .login(place: places[0]), .login(place: places[5])]
            let kept = [ThrottleSubject.login(place: other), .login(address: "192.0.2.0"), .login(email: "bob@example.com")]
            try await auth.store.transaction { transaction in
                for subject in counts + kept { try await transaction.setThrottle(subject, state) }
                try await transaction.forgetLogins(of: counts[0])
            }
            try await auth.store.transaction { (transaction) async throws in
                for subject in counts { #expect(try await transaction.throttle(subject) == nil) }
                for subject in kept { #expect(try await transaction.throttle(subject) == state) }
            }
            #expect(try await known() == Array(repeating: false, count: most + 1) + [true])

            try await auth.store.transaction { transaction in
                try await transaction.remember(places[0], at: now)
                try await transaction.remember(places[1], at: now - .seconds(Retention.loginPlaceSeconds + 1))
                try await transaction.deleteEnded(before: now)
            }
            #expect(try await known().prefix(2) == [true, false])
        }
    }

    @Test(arguments: StoreKind.available)
    func theAuditLogIsReadNewestFirst(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let account = AccountID.make()
            let origin = RequestOrigin(address: "192.0.2.1", userAgent: "agent", requestID: "r1")
            let entries = (0..<3).map { number in
                AuditEntry(
                    .loginFailed,
                    accountID: account,
                    actorID: .make(),
                    subject: "s\(number)",
                    detail: ["n": .integer(Int64(number))],
                    origin: origin,
                    at: now + .seconds(number)
                )
            }.sorted { $0.id < $1.id }
            let foreign = AuditEntry(.keyRevoked, accountID: nil, actorID: nil, subject: "x", origin: .local, at: now)
            try await auth.store.transaction { transaction in for entry in entries + [foreign] { try await transaction.record(entry) } }
            #expect(try await auth.store.transaction { try await $0.auditEntries(of: account, before: nil, limit: 2) } == [entries[2], entries[1]])
            #expect(try await auth.store.transaction { try await $0.auditEntries(of: account, before: entries[1].id, limit: 2) } == [entries[0]])
            let all = try await auth.store.transaction { try await $0.auditEntries(of: nil, before: nil, limit: 10) }
            #expect(all.contains(foreign) && all.contains(entries[0]))
        }
    }

    @Test(arguments: StoreKind.available)
    func idempotentAnswersAreKeptByAccountRouteAndKey(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let account = AccountID.make()
            let request = try idempotent("k", account: account)
            let answer = IdempotentAnswer(
                requestSHA256: request.requestSHA256,
                status: 201,
                contentType: "application/json",
                body: Array("{}".utf8)
            )
            let anonymous = try idempotent("k", account: nil)
            try await auth.store.transaction { transaction in
                #expect(try await transaction.claim(request))
                #expect(try await transaction.answer(to: request, since: .distantPast) == nil)
                try await transaction.remember(answer, to: request, at: now)
                try await transaction.remember(answer, to: anonymous, at: now)
            }
            let since = now - .seconds(1)
            #expect(try await auth.store.transaction { try await $0.answer(to: request, since: since) } == answer)
            #expect(try await auth.store.transaction { try await $0.answer(to: anonymous, since: since) } == answer)
            #expect(try await auth.store.transaction { try await $0.answer(to: request, since: now) } == nil)
            for other in [try idempotent("k", account: .make()), try idempotent("other", account: account)] {
                #expect(try await auth.store.transaction { try await $0.answer(to: other, since: since) } == nil)
            }
            let newer = IdempotentAnswer(requestSHA256: request.requestSHA256, status: 204, contentType: nil, body: [])
            try await auth.store.transaction { try await $0.remember(newer, to: request, at: now + .seconds(9)) }
            #expect(try await auth.store.transaction { try await $0.answer(to: request, since: since) } == newer)
        }
    }

    @Test(arguments: StoreKind.available)
    func housekeepingDeletesWhatIsOver(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = user()
            let (old, young) = (session(of: ada, endsAfter: -Retention.endedSessionSeconds - 1), session(of: ada, endsAfter: -1))
            let sha256 = SHA256.digest(utf8: "token")
            let throttle = ThrottleSubject.login(email: "x")
            let request = try idempotent("k", account: nil)
            try await auth.store.transaction { transaction in
                try await add(ada, to: transaction)
                try await transaction.insert(old)
                try await transaction.insert(young)
                try await transaction.insert(
                    RefreshToken(sha256: sha256, sessionID: old.id, accountID: ada.accountID, issuedAt: now, expiresAt: now)
                )
                try await transaction.setThrottle(
                    throttle,
                    ThrottleState(attempts: 1, windowStartedAt: now - .seconds(Retention.throttleSeconds + 1), blockedUntil: nil)
                )
                try await transaction.remember(
                    IdempotentAnswer(requestSHA256: sha256, status: 204, contentType: nil, body: []),
                    to: request,
                    at: now - .seconds(86_401)
                )
                try await transaction.deleteEnded(before: now)
            }
            try await auth.store.transaction { (transaction) async throws in
                #expect(try await transaction.session(old.id, locking: false) == nil)
                #expect(try await transaction.session(young.id, locking: false) == young)
                #expect(try await transaction.refreshToken(sha256) == nil)
                #expect(try await transaction.throttle(throttle) == nil)
                #expect(try await transaction.answer(to: request, since: .distantPast) == nil)
            }
        }
    }
}
