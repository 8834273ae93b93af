import Contracts
import FoundationEssentials
import Redis
import ServiceRuntime

/// One at a time among all replicas: by Redis, and by the database when Redis is away.
///
/// Redis is the gate, where many may wait without costing the database anything; an advisory lock of the database decides. Whoever is at the work holds
/// both. So a Redis that forgets, or a lock there that ran out under a replica that is merely slow, lets nobody in beside the one who is at it; and a
/// replica that dies gives the database's lock back at once, and the gate when its time has run out.
struct FetchLock: Sendable {
    let redis: RedisClient
    let session: LockSession
    let time: any TimeSource
    var prefix = "marketdata:fetch:"
    /// For how long a gate stays shut that nobody shuts again.
    var lifetime = Duration.seconds(5)
    /// Between two looks at a gate that is shut.
    var pause = Duration.milliseconds(100)

    private enum Gate { case mine, shut, away }

    /// Runs `body` while nobody else does under the same name; waits for that as long as it takes.
    func holding<Outcome: Sendable>(_ name: String, _ body: @escaping @Sendable () async throws -> Outcome) async throws -> Outcome {
        let token = UUID().uuidString
        do {
            try await enter(name, token)
        } catch {
            await leaveGate(name, token)
            throw error
        }
        let outcome: Result<Outcome, any Error>
        do {
            outcome = .success(
                try await withThrowingTaskGroup(of: Outcome?.self) { group in
                    group.addTask { try await body() }
                    group.addTask {
                        // Shut again where Redis has forgotten it, so that the others wait there and not at the database.
                        while true {
                            try await time.sleep(for: lifetime / 3)
                            _ = await gate(name, token)
                        }
                    }
                    defer { group.cancelAll() }
                    guard let outcome = try await group.next() ?? nil else { throw CancellationError() }
                    return outcome
                }
            )
        } catch { outcome = .failure(error) }
        await session.unlock(prefix + name)
        await leaveGate(name, token)
        return try outcome.get()
    }

    private func enter(_ name: String, _ token: String) async throws {
        while true {
            try Task.checkCancellation()
            switch await gate(name, token) {
            case .mine, .away: if try await session.tryLock(prefix + name) { return }
            case .shut: break
            }
            try await time.sleep(for: pause)
        }
    }

    /// Sets the gate to us, or keeps it so, unless it is somebody else's.
    private static let take = RedisScript(
        """
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
        """
    )
    /// Removes it only if it is ours: its time may have run out and somebody else's begun.
    private static let give = RedisScript("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")

    private func gate(_ name: String, _ token: String) async -> Gate {
        let milliseconds = Int(lifetime.wholeMicroseconds / 1_000)
        do {
            let answer = try await redis.evaluate(Self.take, keys: [prefix + name], arguments: [RedisArgument(token), RedisArgument(milliseconds)])
            return answer.integer == 1 ? .mine : .shut
        } catch { return .away }
    }

    private func leaveGate(_ name: String, _ token: String) async {
        _ = try? await redis.evaluate(Self.give, keys: [prefix + name], arguments: [RedisArgument(token)])
    }
}
