/// How much a client may send, and how long it may take. The defaults suit JSON routes behind the gateway.
public struct HTTPLimits: Sendable {
    /// Bytes of the path with its query; more is a 414.
    public var maximumTargetBytes = 8 * 1024
    /// Bytes of the whole head; more is a 431.
    public var maximumHeaderBytes = 16 * 1024
    /// Header fields; more is a 431.
    public var maximumHeaderFields = 100
    /// Bytes of a body, unless its route says otherwise; more is a 413.
    public var maximumBodyBytes = 1024 * 1024
    /// Bytes of bodies that may be in memory at once in this server; beyond it requests get a 503.
    public var maximumBufferedBytes = 256 * 1024 * 1024
    /// Connections at once; beyond it new ones get a 503 and are closed.
    public var maximumConnections = 10_000
    /// From the first byte of a request to the end of its head; then 408.
    public var headTimeout = Duration.seconds(10)
    /// What a body may take besides its bytes at `minimumBodyBytesPerSecond`; then 408.
    public var bodyTimeout = Duration.seconds(20)
    /// The slowest upload that is put up with.
    public var minimumBodyBytesPerSecond = 16 * 1024
    /// How long an idle connection is kept: longer than the gateway keeps its own, so that it is never the server that hangs up first.
    public var idleTimeout = Duration.seconds(75)
    /// How long a client may take nothing of an answer.
    public var writeTimeout = Duration.seconds(30)
    /// How long `stop` waits for requests in flight.
    public var drainTimeout = Duration.seconds(8)
    /// Bytes of an event stream that may wait for a slow client before it is dropped.
    public var maximumUnsentEventBytes = 256 * 1024
    /// How often an event stream says that it is alive.
    public var heartbeatInterval = Duration.seconds(15)
    /// Whose `X-Forwarded-For` is believed: the gateway is on loopback or on a private network of containers.
    public var trustedProxies = TrustedProxies.privateNetworks
    /// Which requests get a line in the access log.
    public var accessLog = AccessLogPolicy.all
    /// Beginnings of paths whose next segment is a secret: it is left out of the access log.
    public var secretPathPrefixes: [String] = []

    /// The defaults.
    public init() {}

    /// The defaults, with or without an access log (`AUSPEX_ACCESS_LOG`).
    public init(accessLog: Bool) { self.accessLog = accessLog ? .all : .off }
}

/// Which requests get a line in the access log.
public enum AccessLogPolicy: Sendable, Hashable {
    /// Every one.
    case all
    /// Those that failed with a 5xx, and one in `every` of the others.
    case sampled(every: Int)
    /// None.
    case off
}
