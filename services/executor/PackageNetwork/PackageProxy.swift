import Contracts
import Glibc
import ServiceRuntime

/// Lets one build reach the package index, and nobody else: serves what comes through its door, by the routes that it was given.
///
/// It resolves names itself and connects to the address that it looked at, so a name cannot lead elsewhere a moment later.
actor PackageProxy {
    /// What one build may have.
    struct Bounds: Sendable {
        var connectionsAtOnce = 64
        var connections = 20_000
        /// From outside to the build.
        var bytes = 16 << 30
    }

    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let routes: PackageRoutes
    private let bounds: Bounds
    private let resolve: @Sendable (String) async -> [String]
    private var door: BuildDoor?
    private var doorWatcher: SocketWatcher?
    private var listener: Int32 = -1
    private var listenerWatcher: SocketWatcher?
    private var tunnels: [ObjectIdentifier: PackageTunnel] = [:]
    private(set) var connections = 0
    private(set) var bytes = 0
    /// What was asked for and is on no route, in the order of asking, each once.
    private(set) var refused: [String] = []
    /// What is on a route and could not be reached.
    private(set) var unreached: [String] = []

    init(
        routes: PackageRoutes,
        loop: EventLoop,
        bounds: Bounds = Bounds(),
        resolve: @escaping @Sendable (String) async -> [String] = NameResolver.ask
    ) {
        self.routes = routes
        self.loop = loop
        self.bounds = bounds
        self.resolve = resolve
    }

    /// Serves the door until ``close()``.
    func serve(_ door: BuildDoor) {
        self.door = door
        doorWatcher = loop.watch(fileDescriptor: door.outside, onReadable: { self.takeListener() }, onWritable: {})
        doorWatcher?.wantsRead = true
    }

    /// Ends everything that is under way.
    func close() {
        doorWatcher?.close()
        doorWatcher = nil
        listenerWatcher?.close()
        listenerWatcher = nil
        if listener >= 0 { Glibc.close(listener) }
        listener = -1
        if let door { Glibc.close(door.outside) }
        door = nil
        for tunnel in tunnels.values { tunnel.close() }
        tunnels = [:]
    }

    private func takeListener() {
        guard let door else { return }
        let descriptor = door.receive()
        if descriptor < 0, errno == EAGAIN || errno == EINTR { return }
        doorWatcher?.close()
        doorWatcher = nil
        guard descriptor >= 0 else { return }
        listener = descriptor
        listenerWatcher = loop.watch(fileDescriptor: descriptor, onReadable: { self.accept() }, onWritable: {})
        listenerWatcher?.wantsRead = true
    }

    private func accept() {
        var peer = SocketAddress.Storage()
        // The next turn takes the rest.
        for _ in 0..<16 {
            let client = peer.accept(on: listener)
            guard client >= 0 else { return }
            connections += 1
            guard connections <= bounds.connections, bytes <= bounds.bytes, tunnels.count < bounds.connectionsAtOnce else {
                Glibc.close(client)
                continue
            }
            let tunnel = PackageTunnel(
                loop: loop,
                client: client,
                onRequest: { tunnel, head in self.asked(tunnel, head) },
                onBytes: { _, count in self.count(count) },
                onClosed: { tunnel in self.tunnels[ObjectIdentifier(tunnel)] = nil }
            )
            tunnels[ObjectIdentifier(tunnel)] = tunnel
            tunnel.start()
        }
    }

    private func count(_ count: Int) {
        bytes += count
        if bytes > bounds.bytes { for tunnel in tunnels.values { tunnel.close() } }
    }

    private func note(_ text: String, in list: inout [String]) {
        if list.count < 20, !list.contains(text) { list.append(text) }
    }

    private func asked(_ tunnel: PackageTunnel, _ head: [UInt8]) {
        guard let request = ProxyRequest(head: head) else { return tunnel.refuse(400, "this proxy knows CONNECT, and GET of http:// addresses") }
        let id = ObjectIdentifier(tunnel)
        guard case .allowed(let mayBePrivate) = routes.decision(on: request.endpoint) else {
            note("\(request.endpoint)", in: &refused)
            return tunnel.refuse(403, "\(request.endpoint) is no package index of this platform")
        }
        Task(on: loop) { await self.connect(id, request, mayBePrivate: mayBePrivate) }
    }

    private func connect(_ id: ObjectIdentifier, _ request: ProxyRequest, mayBePrivate: Bool) async {
        let target = request.endpoint
        let outer = routes.proxy(for: target.host)
        let next = outer?.endpoint ?? target
        var addresses = NameResolver.isNumeric(next.host) ? [next.host] : await resolve(next.host)
        if outer == nil, !mayBePrivate { addresses = addresses.filter(PublicAddress.isPublic) }
        for address in addresses.prefix(8) {
            guard let tunnel = tunnels[id] else { return }
            let isConnected = await withCheckedContinuation { continuation in
                tunnel.connect(to: address, port: next.port) { continuation.resume(returning: $0) }
            }
            if isConnected { return open(id, request, outer) }
        }
        note("\(target)", in: &unreached)
        tunnels[id]?.refuse(502, "\(target) cannot be reached")
    }

    private func open(_ id: ObjectIdentifier, _ request: ProxyRequest, _ outer: PackageRoutes.OuterProxy?) {
        guard let tunnel = tunnels[id] else { return }
        let authorization = outer?.authorization.map { "Proxy-Authorization: \($0)\r\n" } ?? ""
        switch request {
        case .tunnel(let endpoint):
            let greeting = outer == nil ? "" : "CONNECT \(endpoint) HTTP/1.1\r\nHost: \(endpoint)\r\n\(authorization)\r\n"
            tunnel.open(greeting: Array(greeting.utf8), isTunnel: true, isAnswered: outer != nil)
        case .document(let endpoint, let method, let target, let lines):
            let place = outer == nil ? target : "http://\(endpoint)\(target)"
            let head = ["\(method) \(place) HTTP/1.1"] + lines + ["Connection: close"]
            let text = head.map { $0 + "\r\n" }.joined() + authorization + "\r\n"
            tunnel.open(greeting: Array(text.utf8), isTunnel: false, isAnswered: false)
        }
    }
}
