internal import Contracts
internal import Synchronization
public import ServiceRuntime

/// How an HTTP client behaves.
public struct HTTPClientConfiguration: Sendable {
    /// Connections to one host at once, for each loop; further requests wait, each until its own deadline.
    public var maximumConnectionsPerHost = 32
    /// How many requests may wait for one host, for each loop; further ones fail at once.
    public var maximumWaitersPerHost = 1024
    /// How long an idle connection is kept: shorter than any server of ours keeps it.
    public var idleTimeout = Duration.seconds(30)
    /// How often an idempotent request is tried in all.
    public var maximumAttempts = 3
    /// The wait before the first retry; it doubles, give or take half.
    public var retryDelay = Duration.milliseconds(50)

    /// The defaults.
    public init() {}

    /// The wait after this try, the first being 1, and before the next.
    func delay(after attempt: Int) -> Duration { retryDelay * (1 << (attempt - 1)) * Double.random(in: 0.5...1.5) }
}

/// A plain HTTP/1.1 client for calls between services: connections are kept by each loop, so a request from a loop stays on it.
///
/// Only requests that may be repeated are retried, after a lost connection or a 502, 503 or 504; a connection that was never made is retried for all.
public struct HTTPClient: Sendable {
    private final class Pools: Sendable {
        let byLoop = Mutex<[ObjectIdentifier: ClientPool]>([:])
    }

    let configuration: HTTPClientConfiguration
    let time: any TimeSource
    private let pools = Pools()

    /// For callers that run on no loop.
    private static let ownLoop = Mutex<EventLoop?>(nil)

    /// A client with connections of its own.
    public init(configuration: HTTPClientConfiguration = HTTPClientConfiguration(), time: any TimeSource = SystemTimeSource()) {
        self.configuration = configuration
        self.time = time
    }

    /// Sends a request and gives the answer, whatever its status; throws ``HTTPClientError`` when there is none.
    public func send(_ request: ClientRequest) async throws -> ClientResponse {
        let url = try ClientURL(request.url)
        let startedAt = monotonicNanoseconds()
        let maximumAttempts = request.maximumAttempts ?? configuration.maximumAttempts
        var attempt = 1
        while true {
            let remaining = request.deadline - .nanoseconds(Int64(monotonicNanoseconds() - startedAt))
            guard remaining > .zero else { throw HTTPClientError.timedOut(host: url.endpoint) }
            do {
                let response = try await once(request, url, deadline: remaining)
                let isPassing = response.status.code == 502 || response.status.code == 503 || response.status.code == 504
                guard isPassing, request.isIdempotent, attempt < maximumAttempts else { return response }
            } catch let error as HTTPClientError {
                let mayRepeat: Bool
                switch error {
                case .notConnected, .nameNotResolved: mayRepeat = true
                case .connectionLost: mayRepeat = request.isIdempotent
                case .badURL, .timedOut, .tooManyWaiting, .malformedAnswer, .answerTooLarge: mayRepeat = false
                }
                guard mayRepeat, attempt < maximumAttempts else { throw error }
            }
            let spent = Duration.nanoseconds(Int64(monotonicNanoseconds() - startedAt))
            let delay = configuration.delay(after: attempt)
            guard spent + delay < request.deadline else { throw HTTPClientError.timedOut(host: url.endpoint) }
            try await time.sleep(for: delay)
            attempt += 1
        }
    }

    private func once(_ request: ClientRequest, _ url: ClientURL, deadline: Duration) async throws -> ClientResponse {
        let loop = try EventLoop.current ?? Self.sharedLoop()
        let pool = pools.byLoop.withLock { pools in
            if let pool = pools[ObjectIdentifier(loop)] { return pool }
            let pool = ClientPool(loop: loop, configuration: configuration)
            pools[ObjectIdentifier(loop)] = pool
            return pool
        }
        return try await loop.run { try await pool.perform(request, url, deadline: deadline) }
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
