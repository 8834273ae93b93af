import Redis
import ServiceRuntime
import TestSupport
import Testing

@Suite("Redis", .enabled(if: TestServers.hasRedis, "needs AUSPEX_TEST_REDIS_URL"), .timeLimit(.minutes(10)))
struct RedisClientTests {
    private func withClient<T: Sendable>(
        timeout: Duration = .seconds(60),
        _ body: @escaping @Sendable (RedisClient, String) async throws -> T
    ) async throws -> T {
        try await withLoop { loop in
            let client = try RedisClient(url: TestServers.redisURL, loops: [loop], role: .cache, commandTimeout: timeout)
            try await client.start()
            try await eventually { (try? await client.command(["PING"])) != nil }
            let result: T
            do {
                result = try await withRedisPrefix { prefix in try await body(client, prefix) }
            } catch {
                await client.stop()
                throw error
            }
            await client.stop()
            return result
        }
    }

    @Test("values come back byte for byte, also with zeros and without bytes")
    func bytes() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            let values: [[UInt8]] = [[], [0], [0, 255, 13, 10, 0], Array(repeating: 7, count: 300_000)]
            for (index, value) in values.enumerated() { try await client.set("\(prefix)\(index)", value, expireSeconds: 60) }
            for (index, value) in values.enumerated() { #expect(try await client.get("\(prefix)\(index)") == value) }
            #expect(try await client.get("\(prefix)absent") == nil)
            #expect(try await client.mget(["\(prefix)1", "\(prefix)absent", "\(prefix)0"]) == [[0], nil, []])
            #expect(try await client.delete(["\(prefix)0", "\(prefix)absent"]) == 1)
        }
    }

    @Test("only the first of two sets when the key must be absent")
    func onlyIfAbsent() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            #expect(try await client.set("\(prefix)lock", [1], expireSeconds: 60, onlyIfAbsent: true))
            #expect(try await client.set("\(prefix)lock", [2], expireSeconds: 60, onlyIfAbsent: true) == false)
            #expect(try await client.get("\(prefix)lock") == [1])
        }
    }

    @Test("many commands at once are answered each with its own")
    func pipelining() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 0..<2_000 {
                    group.addTask {
                        try await client.set("\(prefix)\(index)", Array("\(index)".utf8), expireSeconds: 60)
                        let text = try await client.get("\(prefix)\(index)").map { String(decoding: $0, as: UTF8.self) }
                        return text == "\(index)" ? 1 : 0
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(sum == 2_000)
        }
    }

    @Test("a script runs by its hash, also after Redis forgot it")
    func scripts() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            let script = RedisScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
            for expected in [5, 10] as [Int64] {
                #expect(try await client.evaluate(script, keys: ["\(prefix)n"], arguments: [5]).integer == expected)
            }
            _ = try await client.command(["SCRIPT", "FLUSH"])
            #expect(try await client.evaluate(script, keys: ["\(prefix)n"], arguments: [5]).integer == 15)
        }
    }

    @Test("a refusal is an error of the command, and the connection goes on")
    func refusal() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            try await client.set("\(prefix)text", Array("bar".utf8), expireSeconds: 60)
            await #expect(throws: RedisError.self) { _ = try await client.increment("\(prefix)text") }
            #expect(try await client.get("\(prefix)text") == Array("bar".utf8))
        }
    }

    @Test("a killed connection fails what is under way and comes back by itself")
    func killed() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            let own = try #require(try await client.command(["CLIENT", "ID"]).integer)
            try await withLoop { other in
                let killer = try RedisClient(url: TestServers.redisURL, loops: [other], role: .cache, commandTimeout: .seconds(60))
                try await killer.start()
                try await eventually { (try? await killer.command(["PING"])) != nil }
                _ = try await killer.command(["CLIENT", "KILL", "ID", RedisArgument(Int(own))])
                await killer.stop()
            }
            try await eventually { (try? await client.set("\(prefix)back", [1], expireSeconds: 60)) != nil }
            let now = try #require(try await client.command(["CLIENT", "ID"]).integer)
            #expect(now != own)
        }
    }

    @Test("a Redis that hangs is given up after the command's time-out")
    func hanging() async throws {
        try await withClient(timeout: .milliseconds(100)) { (client, _) async throws -> Void in
            // BLPOP on a key that nobody fills answers "nothing" after two minutes, and that would be no error.
            await #expect(throws: RedisError.unavailable) { _ = try await client.command(["BLPOP", "auspex-nobody-fills-this", 120]) }
            try await eventually { (try? await client.command(["PING"])) != nil }
        }
    }

    @Test("nobody there: every call fails at once")
    func away() async throws {
        try await withLoop { loop in
            let client = try RedisClient(url: "redis://127.0.0.1:1/0", loops: [loop], role: .cache)
            try await client.start()
            for _ in 0..<3 { await #expect(throws: RedisError.unavailable) { _ = try await client.get("key") } }
            await client.stop()
        }
    }

    @Test("a listener hears what is published, and is told when it listens again")
    func publishing() async throws {
        try await withClient { (client, prefix) async throws -> Void in
            var messages = client.subscribe("\(prefix)channel").makeAsyncIterator()
            #expect(await messages.next() == .subscribed)
            #expect(try await client.publish("\(prefix)channel", [1, 0, 2]) == 1)
            #expect(await messages.next() == .message([1, 0, 2]))
            _ = try await client.command(["CLIENT", "KILL", "TYPE", "pubsub"])
            #expect(await messages.next() == .subscribed)
        }
    }

    @Test("what is not a Redis URL is refused", arguments: ["", "redis://", "http://host", "redis://host/x", "host:6379"])
    func badURL(_ url: String) throws {
        #expect(throws: RedisError.badURL) { try RedisClient(url: url, loops: [TestLoop.shared], role: .cache) }
    }
}
