internal import Glibc
internal import ServiceRuntime
internal import Synchronization

/// What one loop holds of a server: its listening socket, its connections, its buffers. Touched only on that loop.
///
/// Unchecked for that reason, and because it stands for the listening socket.
final class ServerLoop: @unchecked Sendable {
    struct Nanoseconds {
        let head, body, idle, write, heartbeat: UInt64
        let linger: UInt64 = 2_000_000_000

        init(_ limits: HTTPLimits) {
            func nanoseconds(_ duration: Duration) -> UInt64 { UInt64(max(0, duration.inSeconds) * 1e9) }
            head = nanoseconds(limits.headTimeout)
            body = nanoseconds(limits.bodyTimeout)
            idle = nanoseconds(limits.idleTimeout)
            write = nanoseconds(limits.writeTimeout)
            heartbeat = nanoseconds(limits.heartbeatInterval)
        }
    }

    let loop: EventLoop
    let router: Router
    let limits: HTTPLimits
    let shared: ServerShared
    let nanoseconds: Nanoseconds
    let input: UnsafeMutableRawBufferPointer
    let output = OutputBuffer()
    let metrics: ServerMetrics
    let accessLog: AccessLog
    var date = DateHeader()
    private let openConnections: Gauge
    private var listener: Int32 = -1
    private var listenerWatcher: SocketWatcher?
    private var connections: [Int32: Connection] = [:]
    private var sweepTimer: LoopTimer?
    private var acceptTimer: LoopTimer?

    init(name: String, loop: EventLoop, router: Router, limits: HTTPLimits, shared: ServerShared) {
        self.loop = loop
        self.router = router
        self.limits = limits
        self.shared = shared
        nanoseconds = Nanoseconds(limits)
        input = .allocate(byteCount: 64 * 1024, alignment: 16)
        metrics = ServerMetrics(server: name)
        accessLog = AccessLog(policy: limits.accessLog, server: name, secretPathPrefixes: limits.secretPathPrefixes)
        openConnections = Metrics.shared.gauge("auspex_http_connections", help: "Open client connections.", labels: ["server": name])
    }

    deinit { input.deallocate() }

    /// Now, on the clock that the limits go by.
    var now: UInt64 { shared.time.monotonicNanoseconds() }

    var isDraining: Bool { shared.isDraining.load(ordering: .relaxed) }

    func start(listener: Int32) {
        self.listener = listener
        let watcher = loop.watch(fileDescriptor: listener, onReadable: { [self] in acceptAll() }, onWritable: {})
        watcher.wantsRead = true
        listenerWatcher = watcher
        scheduleSweep()
    }

    private func acceptAll() {
        for _ in 0..<64 {
            var address = SocketAddress.Storage()
            let descriptor = address.accept(on: listener)
            if descriptor < 0 {
                // Out of descriptors: a pause, or the loop would spin on the same connection.
                if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM { pauseAccepting() }
                return
            }
            let open = shared.connections.add(1, ordering: .relaxed).newValue
            if open > limits.maximumConnections {
                shared.connections.subtract(1, ordering: .relaxed)
                refuse(descriptor)
                continue
            }
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            let text = address.text
            let connection = Connection(
                server: self,
                descriptor: descriptor,
                peer: Peer(address: text, isTrusted: limits.trustedProxies.contains(text))
            )
            connections[descriptor] = connection
            openConnections.set(Double(open))
            connection.start()
            shared.observe?(.accepted)
        }
    }

    private func pauseAccepting() {
        Logger("http").error("no more file descriptors: accepting pauses", ["connections": .integer(connections.count)])
        listenerWatcher?.wantsRead = false
        acceptTimer = loop.timer(after: .milliseconds(200)) { [self] in listenerWatcher?.wantsRead = true }
    }

    private func refuse(_ descriptor: Int32) {
        let body = Problem.unavailable(code: "too_many_connections", detail: "Too many connections; try again.").json()
        let head =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\nConnection: close\r\n"
            + "Content-Length: \(body.count)\r\n\r\n"
        let bytes = Array(head.utf8) + body
        _ = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        shutdown(descriptor, Int32(SHUT_WR))
        Glibc.close(descriptor)
    }

    func closed(_ descriptor: Int32) {
        guard connections.removeValue(forKey: descriptor) != nil else { return }
        openConnections.set(Double(shared.connections.subtract(1, ordering: .relaxed).newValue))
        shared.observe?(.closed)
        if connections.isEmpty, let drained {
            self.drained = nil
            drained.resume()
        }
    }

    private func scheduleSweep() {
        let shortest = min(nanoseconds.head, nanoseconds.body, nanoseconds.idle, nanoseconds.write, nanoseconds.heartbeat)
        let interval = min(1_000_000_000, max(10_000_000, shortest / 4))
        sweepTimer = loop.timer(after: .nanoseconds(Int64(interval))) { [self] in
            let now = now
            for connection in Array(connections.values) { connection.tick(now: now) }
            accessLog.flush()
            scheduleSweep()
            shared.observe?(.swept)
        }
    }

    // MARK: Stopping

    private var drained: CheckedContinuation<Void, Never>?

    func stopListening() {
        acceptTimer?.cancel()
        acceptTimer = nil
        listenerWatcher?.close()
        listenerWatcher = nil
        if listener >= 0 { Glibc.close(listener) }
        listener = -1
        for connection in Array(connections.values) { connection.drain() }
    }

    /// Returns when every connection has ended; those that have not at the deadline are cut off.
    func drain() async {
        if !connections.isEmpty {
            let timer = loop.timer(after: limits.drainTimeout) { [self] in
                for connection in Array(connections.values) { connection.abort() }
            }
            await withCheckedContinuation { drained = $0 }
            timer.cancel()
        }
        sweepTimer?.cancel()
        sweepTimer = nil
        accessLog.flush()
    }
}
