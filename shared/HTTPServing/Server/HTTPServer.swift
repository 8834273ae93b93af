internal import Glibc
internal import Synchronization
public import ServiceRuntime

/// An HTTP/1.1 server on the loops of a service: each loop listens on the same port (`SO_REUSEPORT`) and keeps what it accepts.
public final class HTTPServer: Component {
    /// The server's name in metrics and logs, such as `public` or `internal`.
    public let name: String
    private let address: String
    private let port: Int
    private let router: Router
    private let loops: [EventLoop]
    private let limits: HTTPLimits
    private let logger: Logger
    private let shared: ServerShared
    private let state = Mutex((port: 0, loops: [ServerLoop]()))

    /// A server that listens once started; `port` 0 takes any free one. Its limits go by the clock of `time`.
    public convenience init(
        name: String,
        address: String,
        port: Int,
        router: Router,
        loops: [EventLoop],
        limits: HTTPLimits = HTTPLimits(),
        logger: Logger = Logger("http"),
        time: any TimeSource = SystemTimeSource()
    ) {
        self.init(
            name: name,
            address: address,
            port: port,
            router: router,
            loops: loops,
            limits: limits,
            logger: logger,
            shared: ServerShared(time: time, observe: nil)
        )
    }

    init(
        name: String,
        address: String,
        port: Int,
        router: Router,
        loops: [EventLoop],
        limits: HTTPLimits,
        logger: Logger = Logger("http"),
        shared: ServerShared
    ) {
        precondition(!loops.isEmpty, "a server needs a loop")
        self.name = name
        self.address = address
        self.port = port
        self.router = router
        self.loops = loops
        self.limits = limits
        self.logger = logger
        self.shared = shared
    }

    /// The port that it listens on; 0 before the start.
    public var boundPort: Int { state.withLock { $0.port } }

    /// Listens; throws ``HTTPServerError`` when the port is not to be had.
    public func start() async throws {
        router.freeze()
        let listeners = try open()
        for (loop, listener) in zip(loops, listeners) {
            let server = ServerLoop(name: name, loop: loop, router: router, limits: limits, shared: shared)
            state.withLock { $0.loops.append(server) }
            try await loop.run { server.start(listener: listener) }
        }
        logger.info("listening", ["server": .string(name), "address": .string(address), "port": .integer(boundPort)])
    }

    private func open() throws -> [Int32] {
        guard port == 0 else { return try openOnce() }
        // The port that the kernel chose may be somebody else's before the loops listen on it: another one is as good.
        for _ in 0..<8 {
            do { return try openOnce() } catch HTTPServerError.notListening(_, _, EADDRINUSE) {}
        }
        return try openOnce()
    }

    private func openOnce() throws -> [Int32] {
        // First without sharing: another process on this port is an error, not a partner.
        let probe = try SocketAddress.listen(address: address, port: port, sharesPort: false)
        var local = SocketAddress.Storage()
        local.readLocal(of: probe)
        close(probe)
        let bound = local.port
        state.withLock { $0.port = bound }
        var listeners: [Int32] = []
        do {
            for _ in loops { listeners.append(try SocketAddress.listen(address: address, port: bound, sharesPort: true)) }
        } catch {
            for listener in listeners { close(listener) }
            throw error
        }
        return listeners
    }

    /// Stops accepting, lets requests in flight finish within the drain timeout, ends streams, hangs up.
    public func stop() async {
        shared.isDraining.store(true, ordering: .relaxed)
        let servers = state.withLock { $0.loops }
        for server in servers { try? await server.loop.run { server.stopListening() } }
        await withTaskGroup(of: Void.self) { group in
            for server in servers { group.addTask { try? await server.loop.run { await server.drain() } } }
        }
        state.withLock { $0.loops = [] }
    }
}
