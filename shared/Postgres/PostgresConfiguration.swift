/// How to reach a database and what a connection may do.
public struct PostgresConfiguration: Sendable {
    /// `postgresql://user:password@host:port/database`, or any connection string of libpq.
    public var url: String
    /// All connections of a pool together, over all its loops.
    public var maximumConnections: Int
    /// How long a caller waits for a connection before it is refused.
    public var waitTimeout: Duration
    /// How long a statement may run.
    public var statementTimeout: Duration
    /// How long making a connection may take.
    public var connectTimeout: Duration
    /// The schema whose tables statements name without a prefix; the role's own search path if `nil`.
    public var schema: String?
    /// What the server shows as the owner of a connection.
    public var applicationName: String
    /// How many prepared statements a connection keeps.
    public var maximumPreparedStatements: Int
    /// Further settings of every session, such as `enable_seqscan`: names and values are the program's own.
    public var sessionSettings: [String: String] = [:]
    /// How many callers may wait on one loop; one more is refused at once.
    public var maximumWaiters: Int
    /// How many short reads may be on one connection at once.
    public var maximumSharedReads = 16

    /// A configuration with sound defaults.
    public init(
        url: String,
        maximumConnections: Int = 8,
        waitTimeout: Duration = .seconds(2),
        statementTimeout: Duration = .seconds(10),
        connectTimeout: Duration = .seconds(5),
        schema: String? = nil,
        applicationName: String = "auspex",
        maximumPreparedStatements: Int = 256,
        maximumWaiters: Int = 1024
    ) {
        precondition(maximumConnections > 0 && maximumPreparedStatements > 0)
        self.url = url
        self.maximumConnections = maximumConnections
        self.waitTimeout = waitTimeout
        self.statementTimeout = statementTimeout
        self.connectTimeout = connectTimeout
        self.schema = schema
        self.applicationName = applicationName
        self.maximumPreparedStatements = maximumPreparedStatements
        self.maximumWaiters = maximumWaiters
    }

    /// The settings that every session of ours starts with.
    var sessionOptions: String {
        var options = "-c statement_timeout=\(milliseconds(statementTimeout)) -c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout=60000"
        for (name, value) in sessionSettings.sorted(by: { $0.key < $1.key }) { options += " -c \(name)=\(value)" }
        if let schema {
            // The server splits options at blanks; a backslash keeps one.
            let escaped = quotedIdentifier(schema).flatMap { $0 == " " || $0 == "\\" ? ["\\", $0] : [$0] }
            options += " -c search_path=" + String(escaped)
        }
        return options
    }
}

func milliseconds(_ duration: Duration) -> Int64 {
    duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
}
