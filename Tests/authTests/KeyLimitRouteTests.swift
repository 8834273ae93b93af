import Contracts
import Cryptography
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import auth

@Suite("Limits of API keys", .serialized)
struct KeyLimitRouteTests {
    struct KeyOutput: Decodable, Equatable {
        let id: APIKeyID
        let requestsPerMinute: Int?
        let credits: Int64?
    }

    struct Verdict: Decodable {
        let outcome: String
        let generation: Int64
        let budget: APIKeyBudget?
    }

    func inside(_ auth: AuthFixture) -> RequestClient {
        var router = Router()
        auth.routes.addInternalRoutes(to: &router) { _ in Everybody() }
        return RequestClient(router: router)
    }

    func verify(_ auth: AuthFixture, _ text: String) async throws -> Verdict {
        try await inside(auth).post("/internal/v1/keys/verify", json: ["key_sha256": SHA256.digest(utf8: text).hex]).decode(Verdict.self)
    }

    func take(_ auth: AuthFixture, _ budget: APIKeyID, block: CreditBlockID = .make()) async throws -> CreditBlockAnswer {
        try await inside(auth).post("/internal/v1/keys/credits/take", json: CreditBlockRequest(blockID: block, budgetID: budget)).decode()
    }

    func giveBack(_ auth: AuthFixture, _ block: CreditBlockID, unused: Int64) async throws {
        let answer = try await inside(auth).post(
            "/internal/v1/keys/credits/return",
            json: CreditReturn(blocks: [.init(blockID: block, unused: unused)])
        )
        #expect(answer.status == 204)
    }

    func make(_ person: Person, _ limits: JSONValue = [:]) async throws -> (id: APIKeyID, text: String) {
        guard case .object(var body) = limits else { throw TestSupportError("not an object") }
        body["name"] = "k"
        body["scopes"] = ["bars:read"]
        let answer = try await person.client.post("/api/keys", json: JSONValue.object(body))
        guard answer.status == 201 else { throw TestSupportError("\(answer.status) \(answer.text)") }
        let made = try answer.decode(NewKeyOutput.self)
        return (made.id, try #require(made.key))
    }

    func show(_ person: Person, _ id: APIKeyID) async throws -> KeyOutput { try await person.client.get("/api/keys/\(id)").decode() }

    @Test(arguments: StoreKind.available)
    func limitsAreSetShownAndTakenAway(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let plain = try await make(ada)
            #expect(try await show(ada, plain.id) == KeyOutput(id: plain.id, requestsPerMinute: nil, credits: nil))
            #expect(try await verify(auth, plain.text).budget == nil)

            let key = try await make(ada, ["requests_per_minute": 600, "credits": 1_000])
            #expect(try await show(ada, key.id) == KeyOutput(id: key.id, requestsPerMinute: 600, credits: 1_000))
            #expect(try await verify(auth, key.text).budget == APIKeyBudget(id: key.id, version: 1, requestsPerMinute: 600, countsCredits: true))

            let changed = try await ada.client.put("/api/keys/\(key.id)", json: ["requests_per_minute": 60, "credits": .null] as JSONValue)
            #expect(try changed.decode(KeyOutput.self) == KeyOutput(id: key.id, requestsPerMinute: 60, credits: nil))
            let verdict = try await verify(auth, key.text)
            #expect(verdict.generation == 2)
            #expect(verdict.budget == APIKeyBudget(id: key.id, version: 2, requestsPerMinute: 60, countsCredits: false))

            // What is not named stays, and what is the same is no change.
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["name": "renamed"]).status == 200)
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["requests_per_minute": 60]).status == 200)
            #expect(try await show(ada, key.id).requestsPerMinute == 60)
            #expect(try await verify(auth, key.text).generation == 2)
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["requests_per_minute": .null] as JSONValue).status == 200)
            #expect(try await verify(auth, key.text).budget == nil)

            let versions = try await auth.announced().filter { $0.type == "auth.key.changed.v1" && $0.subject == key.id.description }.map(\.version)
            #expect(versions == [1, 2, 3])
            let audit = try await ada.client.get("/api/me/audit").text
            #expect(audit.contains(#""requests_per_minute":600"#))
        }
    }

    @Test(arguments: [
        (#"{"requests_per_minute": 0}"#, "requests_per_minute"), (#"{"requests_per_minute": 1000001}"#, "requests_per_minute"),
        (#"{"requests_per_minute": "many"}"#, "requests_per_minute"), (#"{"requests_per_minute": 1.5}"#, "requests_per_minute"),
        (#"{"credits": -1}"#, "credits"), (#"{"credits": 1000000000001}"#, "credits"), (#"{"credits": []}"#, "credits"),
        (#"{"credits": 99999999999999999999999}"#, "credits"), (#"{"budget": 1}"#, "budget"),
    ])
    func badLimitsAreRefusedByField(body: String, field: String) async throws {
        try await withAuth { auth in
            let ada = try await auth.person()
            let key = try await make(ada)
            let json = try WireJSON.parse(Array(body.utf8))
            let changed = try await ada.client.put("/api/keys/\(key.id)", json: json)
            #expect(changed.status == 400 && changed.problemField == field, "\(changed.text)")
            guard case .object(var members) = json else { return }
            members["name"] = "k"
            members["scopes"] = ["bars:read"]
            let made = try await ada.client.post("/api/keys", json: JSONValue.object(members))
            #expect(made.status == 400 && made.problemField == field, "\(made.text)")
            #expect(try await verify(auth, key.text).generation == 1)
        }
    }

    @Test(arguments: StoreKind.available)
    func onlyTheOwnerSetsLimitsAndOnlyOfOpenKeys(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let (ada, eve) = (try await auth.person(), try await auth.person("eve"))
            let key = try await make(ada, ["credits": 5])
            #expect(try await eve.client.put("/api/keys/\(key.id)", json: ["credits": 1_000_000]).status == 404)
            #expect(try await show(ada, key.id).credits == 5)
            #expect(try await ada.client.delete("/api/keys/\(key.id)").status == 204)
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["credits": 7]).problemCode == "key_not_active")
            #expect(try await show(ada, key.id).credits == 5)
        }
    }

    @Test(arguments: StoreKind.available)
    func aRerolledKeyAndItsSuccessorSpendOneBudget(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let old = try await make(ada, ["requests_per_minute": 600, "credits": 100])
            func reroll(_ id: APIKeyID) async throws -> (id: APIKeyID, text: String) {
                let made = try await ada.client.post("/api/keys/\(id)/reroll", json: ["overlap_seconds": 3_600]).decode(NewKeyOutput.self)
                return (made.id, try #require(made.key))
            }
            let middle = try await reroll(old.id)
            let new = try await reroll(middle.id)
            let budget = APIKeyBudget(id: old.id, version: 1, requestsPerMinute: 600, countsCredits: true)
            for key in [old, middle, new] { #expect(try await verify(auth, key.text).budget == budget) }
            #expect(try await take(auth, old.id).credits == 1)
            for key in [old, middle, new] { #expect(try await show(ada, key.id).credits == 99) }

            // Set on any of them, it holds for all, and all are announced.
            #expect(try await ada.client.put("/api/keys/\(middle.id)", json: ["credits": 7]).status == 200)
            for key in [old, middle, new] {
                #expect(try await show(ada, key.id).credits == 7)
                #expect(try await verify(auth, key.text).budget?.version == 2)
                let last = try await auth.announced().last { $0.type == "auth.key.changed.v1" && $0.subject == key.id.description }
                #expect(last?.version == (key.id == new.id ? 2 : 3))
            }
        }
    }

    @Test(arguments: StoreKind.available)
    func aBlockIsTheSameWhenAskedForAgainAndComesBackOnce(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, ["credits": 1_000])
            let block = CreditBlockID.make()
            let first = try await take(auth, key.id, block: block)
            #expect(first == CreditBlockAnswer(blockID: block, countsCredits: true, credits: 10, budgetVersion: 1))
            #expect(try await take(auth, key.id, block: block) == first)
            #expect(try await show(ada, key.id).credits == 990)
            // Another budget does not get it.
            let other = try await make(ada, ["credits": 1_000])
            #expect(try await take(auth, other.id, block: block).credits == 0)

            try await giveBack(auth, block, unused: 4)
            #expect(try await show(ada, key.id).credits == 994)
            try await giveBack(auth, block, unused: 4)
            try await giveBack(auth, .make(), unused: 4)
            #expect(try await show(ada, key.id).credits == 994)
            #expect(try await take(auth, key.id, block: block).credits == 0)
        }
    }

    @Test(arguments: StoreKind.available)
    func creditsThatAreSetReplaceWhatIsOnLoan(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, ["credits": 1_000])
            let block = CreditBlockID.make()
            #expect(try await take(auth, key.id, block: block).credits == 10)
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["credits": 2]).status == 200)
            try await giveBack(auth, block, unused: 10)
            #expect(try await show(ada, key.id).credits == 2)
            #expect(try await take(auth, key.id).credits == 1)
            #expect(try await take(auth, key.id).credits == 1)
            let last = try await take(auth, key.id)
            #expect(last.credits == 0 && last.countsCredits && last.budgetVersion == 2)
            #expect(try await ada.client.put("/api/keys/\(key.id)", json: ["credits": .null] as JSONValue).status == 200)
            #expect(try await take(auth, key.id).countsCredits == false)
            // A key of which nothing was ever set, and one that nobody knows.
            #expect(try await take(auth, try await make(ada).id).countsCredits == false)
            #expect(try await take(auth, .make()).countsCredits == false)
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func aRateThatIsSetWhileABlockIsTakenBringsNothingBack() async throws {
        try await withAuth(.postgres) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, ["credits": 1_000])
            let pool = try #require(auth.pool)
            let setting = try await auth.store.transaction { transaction in
                var budget = try #require(try await transaction.budget(key.id, locking: true))
                let taken = budget.take(.make(), of: key.id, for: "signals", at: .now())
                try await transaction.write(budget, of: key.id)
                try await transaction.insert(try #require(taken))
                let setting = Task { try await ada.client.put("/api/keys/\(key.id)", json: ["requests_per_minute": 60]).status }
                try await eventually("the change waiting for the block") {
                    try await pool.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").count == 1
                }
                return setting
            }
            #expect(try await setting.value == 200)
            let shown = try await show(ada, key.id)
            #expect(shown.credits == 990 && shown.requestsPerMinute == 60)
        }
    }

    @Test func theDefaultHoldsForKeysWithoutALimitOfTheirOwn() async throws {
        try await withAuth(defaultRequestsPerMinute: 300) { auth in
            let ada = try await auth.person()
            let (plain, own) = (try await make(ada), try await make(ada, ["requests_per_minute": 60]))
            #expect(try await verify(auth, plain.text).budget == APIKeyBudget(id: plain.id, version: 0, requestsPerMinute: 300, countsCredits: false))
            #expect(try await verify(auth, own.text).budget?.requestsPerMinute == 60)
            #expect(try await show(ada, plain.id).requestsPerMinute == nil)
        }
    }

    /// Many replicas take and give back at once: no credit is lost, none is lent twice.
    @Test(arguments: StoreKind.available)
    func creditsAreExactSideBySide(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, ["credits": 300])
            let credits = auth.routes.credits
            let spent = try await withThrowingTaskGroup(of: Int64.self) { group in
                for worker in 0..<12 {
                    group.addTask {
                        var spent: Int64 = 0
                        for round in 0..<200 {
                            let block = CreditBlockID.make()
                            // Every third answer is lost at first, and the same block asked for twice at once.
                            let lent: Int64
                            if (round + worker) % 3 == 0 {
                                async let one = credits.take(block, of: key.id, for: "signals")
                                async let two = credits.take(block, of: key.id, for: "signals")
                                let (first, second) = (try await one.credits, try await two.credits)
                                // One block, unless one of the two found nothing left and somebody gave something back between them.
                                #expect(first == second || first == 0 || second == 0)
                                lent = max(first, second)
                            } else {
                                lent = try await credits.take(block, of: key.id, for: "signals").credits
                            }
                            guard lent > 0 else { break }
                            let used = round % 2 == 0 ? lent : lent / 2
                            spent += used
                            if used < lent { try await credits.takeBack([.init(blockID: block, unused: lent - used)]) }
                        }
                        return spent
                    }
                }
                return try await group.reduce(0, +)
            }
            let left = try #require(try await show(ada, key.id).credits)
            #expect(spent + left == 300, "spent \(spent), left \(left)")
        }
    }

    @Test(arguments: StoreKind.available)
    func oldBlocksAreForgotten(kind: StoreKind) async throws {
        try await withAuth(kind) { auth in
            let ada = try await auth.person()
            let key = try await make(ada, ["credits": 1_000])
            let block = CreditBlockID.make()
            _ = try await take(auth, key.id, block: block)
            let now = auth.time.now()
            try await auth.store.transaction { try await $0.deleteEnded(before: now) }
            #expect(try await auth.store.transaction { try await $0.creditBlock(block, locking: true) } != nil)
            try await auth.store.transaction { try await $0.deleteEnded(before: now + .seconds(Retention.creditBlockSeconds + 1)) }
            #expect(try await auth.store.transaction { try await $0.creditBlock(block, locking: true) } == nil)
        }
    }
}
