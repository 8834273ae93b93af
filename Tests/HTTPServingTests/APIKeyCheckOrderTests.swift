import Contracts
import Cryptography
import Synchronization
import Testing

@testable import HTTPServing

/// exists → enabled → not expired → credits → rate limit → scope: the first that fails is the one that is spoken of.
@Suite struct APIKeyCheckOrderTests {
    private final class House: APIKeyVerifier, APIKeyLimiter {
        struct State {
            var verdict = APIKeyVerdict.Outcome.valid
            var budget: APIKeyBudget?
            var allowance = APIKeyAllowance(outcome: .valid)
            var asked: [APIKeyBudget] = []
        }

        let state = Mutex(State())
        let scopes: [String]

        init(scopes: [String]) { self.scopes = scopes }

        func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
            state.withLock { state in
                APIKeyVerdict(
                    outcome: state.verdict,
                    keyID: .make(),
                    accountID: .make(),
                    userID: .make(),
                    roles: [],
                    scopes: scopes,
                    generation: 1,
                    budget: state.budget
                )
            }
        }

        func admit(_ budget: APIKeyBudget) async throws -> APIKeyAllowance {
            state.withLock { state in
                state.asked.append(budget)
                return state.allowance
            }
        }
    }

    private static let rate = APIKeyAllowance.Rate(limit: 600, remaining: 12, resetSeconds: 34)

    private func respond(_ house: House, key: String? = nil) async throws -> Response {
        let router = Router()
        router.grouped(APIKeyAuthentication(verifier: house, limiter: house)).get("/bars") { request in
            try request.authenticated().require(scope: "bars:read")
            return .text("bars")
        }
        return await router.respond(to: try Request(method: .get, target: "/bars", headers: [("X-API-Key", key ?? APIKeyText.make().text)]))
    }

    private func code(_ response: Response) throws -> String { try WireJSON.parse(response.bodyBytes)["code"]?.string ?? "-" }

    struct Row: Sendable, CustomTestStringConvertible {
        var verdict: APIKeyVerdict.Outcome
        var allowance: APIKeyVerdict.Outcome
        var scopes: [String]
        var status: Int
        var code: String
        var isCounted: Bool
        var testDescription: String { "\(verdict.rawValue), \(allowance.rawValue), \(scopes): \(code)" }
    }

    static let table = [
        Row(verdict: .notFound, allowance: .usageExceeded, scopes: [], status: 401, code: "invalid_api_key", isCounted: false),
        Row(verdict: .disabled, allowance: .usageExceeded, scopes: [], status: 401, code: "api_key_disabled", isCounted: false),
        Row(verdict: .expired, allowance: .usageExceeded, scopes: [], status: 401, code: "api_key_expired", isCounted: false),
        Row(verdict: .valid, allowance: .usageExceeded, scopes: [], status: 402, code: "usage_exceeded", isCounted: true),
        Row(verdict: .valid, allowance: .rateLimited, scopes: [], status: 429, code: "rate_limited", isCounted: true),
        Row(verdict: .valid, allowance: .valid, scopes: [], status: 403, code: "insufficient_scope", isCounted: true),
        Row(verdict: .valid, allowance: .valid, scopes: ["bars:read"], status: 200, code: "", isCounted: true),
    ]

    @Test(arguments: table) func theFirstThatFailsIsTheAnswer(row: Row) async throws {
        let house = House(scopes: row.scopes)
        let budget = APIKeyBudget(id: .make(), version: 1, requestsPerMinute: 600, countsCredits: true)
        house.state.withLock { state in
            (state.verdict, state.budget) = (row.verdict, budget)
            state.allowance = APIKeyAllowance(outcome: row.allowance, rate: Self.rate, retryAfterSeconds: 17)
        }
        let response = try await respond(house)
        #expect(response.status.code == row.status)
        if row.status != 200 { #expect(try code(response) == row.code) }
        #expect(house.state.withLock { $0.asked } == (row.isCounted ? [budget] : []))
        // Every answer to a counted request says how the rate stands, also a refusal of the handler.
        #expect(response.headers["RateLimit-Limit"] == (row.isCounted ? "600" : nil))
        #expect(response.headers["RateLimit-Remaining"] == (row.isCounted ? "12" : nil))
        #expect(response.headers["RateLimit-Reset"] == (row.isCounted ? "34" : nil))
        #expect(response.headers["Retry-After"] == (row.status == 429 ? "17" : nil))
        #expect(response.headers["X-RateLimit-Degraded"] == nil)
    }

    @Test func anUnknownTextIsNotEvenAskedFor() async throws {
        let house = House(scopes: ["bars:read"])
        #expect(try code(await respond(house, key: "aus_nonsense")) == "invalid_api_key")
        #expect(house.state.withLock { $0.asked.isEmpty })
    }

    @Test func keysWithoutABudgetAreNotCounted() async throws {
        let house = House(scopes: ["bars:read"])
        house.state.withLock { $0.allowance = APIKeyAllowance(outcome: .rateLimited) }
        let response = try await respond(house)
        #expect(response.status.code == 200 && response.headers["RateLimit-Limit"] == nil)
        #expect(house.state.withLock { $0.asked.isEmpty })
    }

    @Test func aDegradedAnswerIsMarked() async throws {
        let house = House(scopes: ["bars:read"])
        house.state.withLock { state in
            state.budget = APIKeyBudget(id: .make(), version: 1, requestsPerMinute: 600, countsCredits: false)
            state.allowance = APIKeyAllowance(outcome: .valid, rate: Self.rate, isDegraded: true)
        }
        let response = try await respond(house)
        #expect(response.status.code == 200 && response.headers["X-RateLimit-Degraded"] == "true")
    }

    @Test func aVerdictTravelsWithItsBudget() throws {
        let verdict = APIKeyVerdict(
            outcome: .valid,
            keyID: .make(),
            budget: APIKeyBudget(id: .make(), version: 3, requestsPerMinute: nil, countsCredits: true)
        )
        let json = try WireJSON.parse(try WireJSON.encode(verdict))
        #expect(json["budget"]?["counts_credits"] == .bool(true) && json["budget"]?["version"] == .integer(3))
        #expect(try WireJSON.decode(APIKeyVerdict.self, from: json) == verdict)
    }
}
