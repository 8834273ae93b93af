/// The settings that every service has. A service that does not need one does not read it.
public struct CommonSettings: Sendable {
    /// The address to listen on.
    public let listenAddress: String
    /// The port of the public routes; 0 for any free one.
    public let port: Int
    /// The port of `/internal`, health and metrics; 0 for any free one.
    public let internalPort: Int
    /// How many loops serve requests.
    public let loops: Int
    /// The least level of log lines.
    public let logLevel: LogLevel
    /// Whether every request is a line in the log.
    public let accessLog: Bool
    /// The service's own private key (PEM), with which it signs its tokens.
    public let serviceKeyFile: String
    /// The public keys of all services.
    public let servicesJWKSFile: String

    /// Reads the keys that all services have.
    public init(from reader: inout SettingsReader) {
        listenAddress = reader.string("AUSPEX_LISTEN", help: "address to listen on", default: "127.0.0.1")
        port = reader.integer("AUSPEX_PORT", help: "port of the public routes, 0 for any", default: 0, range: 0...65535)
        internalPort = reader.integer(
            "AUSPEX_INTERNAL_PORT",
            help: "port of /internal, /healthz, /readyz and /metrics, 0 for any",
            default: 0,
            range: 0...65535
        )
        loops = reader.integer("AUSPEX_LOOPS", help: "threads that serve requests", default: CPULane.processors, range: 1...256)
        logLevel = reader.choice("AUSPEX_LOG_LEVEL", help: "least level of log lines", default: LogLevel.info)
        accessLog = reader.boolean("AUSPEX_ACCESS_LOG", help: "write a line for every request", default: true)
        serviceKeyFile = reader.path("AUSPEX_SERVICE_KEY_FILE", help: "this service's private key, PEM")
        servicesJWKSFile = reader.path("AUSPEX_SERVICES_JWKS_FILE", help: "public keys of all services")
    }
}

/// The settings of a service with tables of its own.
public struct DatabaseSettings: Sendable {
    /// For serving: the role `<service>_app`.
    public let url: String
    /// For migrations: the role `<service>_owner`; only `migrate` needs it.
    public let migrationURL: String?
    /// How many connections the service may open.
    public let maximumConnections: Int

    /// Reads the keys about the database.
    public init(from reader: inout SettingsReader) {
        url = reader.url(
            "AUSPEX_DATABASE_URL",
            help: "Postgres, as the role <service>_app",
            schemes: ["postgresql", "postgres"],
            secret: true
        )
        migrationURL = reader.optionalString("AUSPEX_MIGRATION_DATABASE_URL", help: "Postgres, as the role <service>_owner", secret: true)
        maximumConnections = reader.integer(
            "AUSPEX_DATABASE_CONNECTIONS",
            help: "connections to Postgres at most",
            default: 12,
            range: 1...500
        )
    }
}

/// Where the other parts of Auspex are. Each key is read only by a service that calls that part.
public enum PeerSettings {
    /// RabbitMQ, with this service's own user.
    public static func broker(from reader: inout SettingsReader) -> String {
        reader.url("AUSPEX_BROKER_URL", help: "RabbitMQ, as this service's user", schemes: ["amqp"], secret: true)
    }

    /// The Redis that may forget.
    public static func redisCache(from reader: inout SettingsReader) -> String {
        reader.url("AUSPEX_REDIS_CACHE_URL", help: "Redis for caches", schemes: ["redis"], secret: true)
    }

    /// The Redis of limits, which evicts nothing.
    public static func redisLimits(from reader: inout SettingsReader) -> String {
        reader.url("AUSPEX_REDIS_LIMITS_URL", help: "Redis for rate limits", schemes: ["redis"], secret: true)
    }

    /// The folder of blobs.
    public static func blobRoot(from reader: inout SettingsReader) -> String {
        reader.string("AUSPEX_BLOB_ROOT", help: "folder of blobs")
    }

    /// The internal base URLs of another service: `auth`, `signals`, `scheduler` or `marketdata`.
    public static func service(_ name: String, from reader: inout SettingsReader) -> [String] {
        reader.urls("AUSPEX_\(name.uppercased())_URL", help: "internal base URL of \(name), several with commas", schemes: ["http"])
    }
}
