internal import Glibc

/// Where the test servers are: `AUSPEX_TEST_POSTGRES_URL`, `AUSPEX_TEST_BROKER_URL`, `AUSPEX_TEST_BROKER_ADMIN_URL`, `AUSPEX_TEST_REDIS_URL`.
public enum TestServers {
    /// PostgreSQL as its superuser; connections of other roles need no password.
    public static let postgresURL = environment("AUSPEX_TEST_POSTGRES_URL")
    /// RabbitMQ as a user who may do everything.
    public static let brokerURL = environment("AUSPEX_TEST_BROKER_URL")
    /// RabbitMQ's management API.
    public static let brokerAdminURL = environment("AUSPEX_TEST_BROKER_ADMIN_URL")
    /// Redis.
    public static let redisURL = environment("AUSPEX_TEST_REDIS_URL")

    /// Whether PostgreSQL is there.
    public static let hasPostgres = !postgresURL.isEmpty
    /// Whether RabbitMQ is there.
    public static let hasBroker = !brokerURL.isEmpty && !brokerAdminURL.isEmpty
    /// Whether Redis is there.
    public static let hasRedis = !redisURL.isEmpty
    /// Whether all servers are there.
    public static let available = hasPostgres && hasBroker && hasRedis

    private static func environment(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
}

/// Why a test could not be set up.
public struct TestSupportError: Error, CustomStringConvertible {
    /// The reason in a line.
    public let description: String

    /// An error with its reason.
    public init(_ description: String) { self.description = description }
}
