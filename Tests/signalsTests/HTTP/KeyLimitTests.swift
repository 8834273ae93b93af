import Contracts
import Cryptography
import HTTPServing
import KeyLimits
import Redis
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite(
    "Keys that may be used so often",
    .enabled(if: TestServers.hasPostgres && TestServers.hasRedis, "no test Postgres or Redis"),
    .timeLimit(.minutes(10))
)
struct KeyLimitTests {
    /// Lends a platform whose keys are counted in the test's Redis, by a clock that stands at the beginning of a minute.
    private func withLimits(_ body: (TestPlatform, ManualTimeSource) async throws -> Void) async throws {
        let redis = try RedisClient(url: TestServers.redisURL, loops: [TestLoop.shared], role: .limits, commandTimeout: .seconds(60))
        try await redis.start()
        try await eventually { (try? await redis.command(["PING"])) != nil }
        let clock = ManualTimeSource(Timestamp(seconds: 1_760_000_040))
        do {
            try await withRedisPrefix { prefix in
                try await withPlatform(limiter: { auth in
                    KeyLimiter(
                        tokens: RedisRateTokens(redis: redis, prefix: prefix, clock: clock),
                        lender: auth,
                        sharers: 1,
                        control: TestLoop.shared,
                        time: clock
                    )
                }) { try await body($0, clock) }
            }
            await redis.stop()
        } catch {
            await redis.stop()
            throw error
        }
    }

    private func budget(_ rate: Int?, credits: Bool = false, version: Int64 = 1, id: APIKeyID = .make()) -> APIKeyBudget {
        APIKeyBudget(id: id, version: version, requestsPerMinute: rate, countsCredits: credits)
    }

    @Test func theRateHoldsSlidesAndIsLiftedAtOnce() async throws {
        try await withLimits { (platform, clock) async throws -> Void in
            let reader = Person.subscriber()
            let limited = budget(3)
            let key = platform.auth.makeKey(reader, scopes: ["predictions:read"], budget: limited)
            let program = platform.client(key: key)
            for remaining in ["2", "1", "0"] {
                let answer = try await program.get("/api/predictions")
                #expect(answer.status == 200 && answer.headers["ratelimit-limit"] == "3" && answer.headers["ratelimit-remaining"] == remaining)
                #expect(answer.headers["ratelimit-reset"] == "60" && answer.headers["x-ratelimit-degraded"] == nil)
            }
            let refused = try await program.get("/api/predictions")
            #expect(refused.verdict == "429 rate_limited" && refused.headers["content-type"] == "application/problem+json")
            // A third of the last window has to slide out of sight first.
            #expect(refused.headers["retry-after"] == "80" && refused.headers["ratelimit-remaining"] == "0")
            // Routes for anybody count a key just the same; a person's session is not counted.
            #expect(try await program.get("/api/signals").verdict == "429 rate_limited")
            for _ in 0..<5 { #expect(try await platform.client(reader).get("/api/predictions").status == 200) }

            clock.advance(by: .seconds(80))
            #expect(try await program.get("/api/predictions").status == 200)
            #expect(try await program.get("/api/predictions").verdict == "429 rate_limited")

            let lifted = budget(600, version: 2, id: limited.id)
            platform.auth.set(key, reader, scopes: ["predictions:read"], budget: lifted, generation: 2)
            #expect(try await program.get("/api/predictions").verdict == "429 rate_limited")
            platform.keys.keyChanged(key.sha256, generation: 2)
            #expect(try await program.get("/api/predictions").headers["ratelimit-limit"] == "600")
            platform.auth.set(key, reader, scopes: ["predictions:read"], budget: nil, generation: 3)
            platform.keys.keyChanged(key.sha256, generation: 3)
            let free = try await program.get("/api/predictions")
            #expect(free.status == 200 && free.headers["ratelimit-limit"] == nil)
        }
    }

    @Test func creditsAreSpentOneByOneAndComeFirst() async throws {
        try await withLimits { (platform, clock) async throws -> Void in
            let reader = Person.subscriber()
            let counted = budget(2, credits: true)
            let key = platform.auth.makeKey(reader, scopes: ["predictions:read"], budget: counted)
            let program = platform.client(key: key)
            platform.auth.credits.withLock { $0 = 3 }
            for _ in 0..<2 { #expect(try await program.get("/api/predictions").status == 200) }
            // There is a credit left, and the refusal does not cost it.
            for _ in 0..<3 { #expect(try await program.get("/api/predictions").verdict == "429 rate_limited") }
            clock.advance(by: .seconds(120))
            #expect(try await program.get("/api/predictions").status == 200)
            #expect(try await program.get("/api/predictions").verdict == "402 usage_exceeded")
            #expect(platform.auth.credits.withLock { $0 } == 0)

            // With a new version there is no waiting.
            platform.auth.credits.withLock { $0 = 1 }
            platform.auth.set(key, reader, scopes: ["predictions:read"], budget: budget(2, credits: true, version: 2, id: counted.id), generation: 2)
            platform.keys.keyChanged(key.sha256, generation: 2)
            #expect(try await program.get("/api/predictions").status == 200)
        }
    }

    @Test func scopesComeLast() async throws {
        try await withLimits { (platform, _) async throws -> Void in
            let provider = Person.provider()
            let key = platform.auth.makeKey(provider, scopes: ["bars:read"], budget: budget(1))
            let program = platform.client(key: key)
            let refused = try await program.send(
                .post,
                "/api/signals",
                headers: [("Content-Type", "application/json")],
                body: Array(#"{"name":"a"}"#.utf8)
            )
            #expect(refused.verdict == "403 insufficient_scope" && refused.headers["ratelimit-remaining"] == "0")
            #expect(try await program.get("/api/signals").verdict == "429 rate_limited")
        }
    }

    @Test func twoKeysOfOneBudgetAreOne() async throws {
        try await withLimits { (platform, _) async throws -> Void in
            let reader = Person.subscriber()
            let shared = budget(2)
            let programs = (0..<2).map { _ in
                platform.client(key: platform.auth.makeKey(reader, scopes: ["predictions:read"], budget: shared))
            }
            for program in programs { #expect(try await program.get("/api/predictions").status == 200) }
            for program in programs { #expect(try await program.get("/api/predictions").verdict == "429 rate_limited") }
        }
    }
}
