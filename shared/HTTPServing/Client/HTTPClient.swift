internal import Contracts
internal import Synchronization
internal import ServiceRuntime

/// How an HTTP client behaves.
public struct HTTPClientConfiguration: Sendable {
    /// Connections to one host at once, for each loop; further requests wait, each until its own deadline.
    public var maximumConnectionsPerHost = 32
    /// How many requests may wait for one host, for each loop; further ones fail at once.
    public var maximumWaitersPerHost = 1024
    /// How long an idle connection is kept: shorter than any server of ours keeps it.
    public var idleTimeout = Duration.seconds(30)

    /// The defaults.
    public init() {}
}

/// A plain HTTP/1.1 client for calls between services: connections are kept by each loop, so a request from a loop stays on it.
///
/// A request is tried once; who may repeat it, and at whom, is the caller's to know.
public struct HTTPClient: Sendable {
    private final class Pools: Sendable {
        let byLoop = Mutex<[ObjectIdentifier: ClientPool]>([:])
    }

    private let configuration: HTTPClientConfiguration
    private let pools = Pools()

    /// For callers that run on no loop.
    private static let ownLoop = Mutex<EventLoop?>(nil)

    /// A client with connections of its own.
    public init(configuration: HTTPClientConfiguration = HTTPClientConfiguration()) {
        self.configuration = configuration
    }

    /// Sends a request and gives the answer, whatever its status; throws ``HTTPClientError`` when there is none.
    public func send(_ request: ClientRequest) async throws -> ClientResponse {
        let url = try ClientURL(request.url)
        let loop = try EventLoop.current ?? Self.sharedLoop()
        let pool = pools.byLoop.withLock { pools in
            if let pool = pools[ObjectIdentifier(loop)] { return pool }
            let pool = ClientPool(loop: loop, configuration: configuration)
            pools[ObjectIdentifier(loop)] = pool
            return pool
        }
        return try await loop.run { try await pool.perform(request, url, deadline: request.deadline) }
    }

    private static func sharedLoop() throws -> EventLoop {
        try ownLoop.withLock { loop in
            if let loop { return loop }
            let started = try EventLoop.start(name: "http-client")
            loop = started
            return started
        }
    }
}
