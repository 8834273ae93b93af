/// How others' servers are reached.
public struct OutboundConfiguration: Sendable {
    /// What stands between us and the world.
    public enum Proxy: Sendable, Equatable {
        /// As `HTTPS_PROXY`, `https_proxy`, `http_proxy`, `ALL_PROXY` and `NO_PROXY` say.
        case environment
        /// Nothing, whatever the environment says.
        case none
        /// That one.
        case url(String)
    }

    /// The proxy.
    public var proxy = Proxy.environment
    /// A file of certificate authorities (PEM) in place of the system's.
    public var authoritiesFile: String?
    /// How long a connection may take to come about, TLS included.
    public var connectTimeout = Duration.seconds(10)
    /// Connections at once; further requests wait, each until its own deadline.
    public var maximumConnections = 8
    /// Requests that may be under way or wait.
    public var maximumRequests = 256
    /// How we call ourselves.
    public var userAgent = "auspex"

    /// The defaults.
    public init() {}
}
