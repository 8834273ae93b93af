public import Contracts
public import Redis
public import ServiceRuntime

/// The sliding windows of all budgets in the Redis of limits: one hash for each, `auspex:limits:v1:<budget>`, gone two windows after its last use.
///
/// One script decides in one step, by the clock of Redis: replicas whose clocks differ still share a window.
public struct RedisRateTokens: RateTokens {
    /// The length of a window.
    public static let windowMilliseconds = 60_000

    private let redis: RedisClient
    private let prefix: String
    private let clock: (any TimeSource)?

    /// - Parameters:
    ///   - prefix: begins every key; another one for each test.
    ///   - clock: replaces the clock of Redis in tests.
    public init(redis: RedisClient, prefix: String = "auspex:limits:v1:", clock: (any TimeSource)? = nil) {
        self.redis = redis
        self.prefix = prefix
        self.clock = clock
    }

    /// Takes tokens; throws ``RedisError`` when Redis is away.
    public func take(_ tokens: Int, of budget: APIKeyID, limit: Int, debt: Int) async throws -> RateGrant {
        let now = clock.map { Int($0.now().microseconds / 1_000) } ?? -1
        let answer = try await redis.evaluate(
            Self.script,
            keys: [prefix + budget.description],
            arguments: [.init(limit), .init(tokens), .init(Self.windowMilliseconds), .init(now), .init(debt)]
        )
        guard let numbers = answer.array?.compactMap(\.integer).map(Int.init), numbers.count == 4 else { throw RedisError.unexpectedAnswer }
        return RateGrant(tokens: numbers[0], left: numbers[1], waitMilliseconds: numbers[2], resetMilliseconds: numbers[3])
    }

    private static let script = RedisScript(
        """
        local limit, asked, length, now, debt = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
        if now < 0 then
            local time = redis.call('TIME')
            now = time[1] * 1000 + math.floor(time[2] / 1000)
        end
        local window = math.floor(now / length)
        local kept = redis.call('HMGET', KEYS[1], 'window', 'current', 'previous')
        local before, current, previous = tonumber(kept[1]), tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
        if before == nil or before < window - 1 then
            current, previous = 0, 0
        elseif before == window - 1 then
            current, previous = 0, current
        elseif before > window then
            -- The clock went back: the later window goes on.
            window = before
        end
        local elapsed = math.max(0, now - window * length)
        current = current + debt
        local left = math.floor(limit - current - previous * (length - elapsed) / length)
        local given = math.max(0, math.min(asked, left))
        current = current + given
        redis.call('HSET', KEYS[1], 'window', window, 'current', current, 'previous', previous)
        redis.call('PEXPIRE', KEYS[1], 2 * length)
        local wait = 0
        if given == 0 then
            local spare = limit - 1
            if current <= spare then
                wait = math.max(0, length - elapsed - length * (spare - current) / math.max(1, previous))
            else
                wait = length - elapsed + math.max(0, length - length * spare / current)
            end
        end
        return {given, math.max(0, left - given), math.ceil(wait), length - elapsed}
        """
    )
}
