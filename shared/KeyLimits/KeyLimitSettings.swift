public import HTTPServing
internal import Redis
public import ServiceRuntime

/// What a service that takes API keys is told about their limits.
public struct KeyLimitSettings: Sendable {
    /// The Redis of limits.
    public let redisURL: String
    /// Processes of each service.
    public let replicas: Int

    /// signals, scheduler and marketdata: each enforces the limits of every key.
    static let servicesThatTakeKeys = 3

    /// Reads the keys about limits.
    public init(from reader: inout SettingsReader) {
        redisURL = PeerSettings.redisLimits(from: &reader)
        replicas = reader.integer(
            "AUSPEX_REPLICAS",
            help: "processes of each service; divides the limits of API keys while the limits' Redis is away",
            default: 1,
            range: 1...1_000
        )
    }
}

extension KeyLimiter {
    /// The limits of a service: rates in the Redis of limits, credits of auth. A component with its own connections to Redis.
    public static func make(_ settings: KeyLimitSettings, auth: ServiceClient, loops: LoopGroup, time: any TimeSource) throws -> KeyLimiter {
        let redis = try RedisClient(url: settings.redisURL, loops: loops.all, role: .limits)
        return KeyLimiter(
            tokens: RedisRateTokens(redis: redis),
            lender: ServiceCreditLender(auth: auth),
            sharers: settings.replicas * KeyLimitSettings.servicesThatTakeKeys,
            control: loops.control,
            time: time,
            connections: [redis]
        )
    }
}
