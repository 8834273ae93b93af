internal import Glibc
public import ServiceRuntime

/// A server of lines on a free port of the loopback, as simple as a test likes it: who connects, what is said, what is answered.
///
/// Unchecked because every member but the constants is touched on the loop's thread only; what tests call from elsewhere goes there first.
public final class LineServer: @unchecked Sendable {
    /// One client.
    public final class Peer: @unchecked Sendable {
        /// Counts clients of the server, from 0.
        public let number: Int
        fileprivate let descriptor: Int32
        fileprivate unowned let server: LineServer
        fileprivate var watcher: SocketWatcher?
        private var input: [UInt8] = []
        /// What came and was not understood yet, for a test that takes bytes.
        public var pending: [UInt8] = []
        private var output: [UInt8] = []
        private var closesWhenSent = false
        /// What the test wants to remember about the client.
        public var memory: [String: String] = [:]
        /// Whether it is still there.
        public private(set) var isOpen = true

        fileprivate init(number: Int, descriptor: Int32, server: LineServer) {
            self.number = number
            self.descriptor = descriptor
            self.server = server
        }

        /// Sends bytes as they are. Call it on the server's loop, as everything here.
        public func send(_ bytes: some Sequence<UInt8>) {
            guard isOpen else { return }
            output.append(contentsOf: bytes)
            flush()
        }

        /// Sends a line and CR LF.
        public func send(line: String) { send(Array(line.utf8) + [0x0D, 0x0A]) }

        /// Ends the connection once everything is sent.
        public func finish() {
            closesWhenSent = true
            flush()
        }

        /// Ends the connection at once.
        public func close() {
            guard isOpen else { return }
            isOpen = false
            watcher?.close()
            Glibc.close(descriptor)
            server.peers.removeAll { $0 === self }
        }

        fileprivate func flush() {
            while isOpen, !output.isEmpty {
                let sent = output.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if sent > 0 {
                    output.removeFirst(sent)
                } else if sent < 0, errno == EAGAIN {
                    watcher?.wantsWrite = true
                    return
                } else if sent < 0, errno == EINTR {
                    continue
                } else {
                    return close()
                }
            }
            watcher?.wantsWrite = false
            if closesWhenSent { close() }
        }

        fileprivate func readable() {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0 else { return close() }
            if let onBytes = server.onBytes { return onBytes(self, Array(buffer[..<count])) }
            input += buffer[..<count]
            while isOpen, let end = input.firstIndex(of: 0x0A) {
                let line = input[..<end].last == 0x0D ? input[..<(end - 1)] : input[..<end]
                let text = String(decoding: line, as: UTF8.self)
                input.removeSubrange(...end)
                server.onLine(self, text)
            }
        }
    }

    /// The port that it listens on.
    public let port: Int
    private let loop: EventLoop
    private let listener: Int32
    private var watcher: SocketWatcher?
    private let onConnect: (Peer) -> Void
    fileprivate let onLine: (Peer, String) -> Void
    fileprivate let onBytes: ((Peer, [UInt8]) -> Void)?
    /// The clients that are there.
    public fileprivate(set) var peers: [Peer] = []
    private var accepted = 0

    private init(
        loop: EventLoop,
        port: Int,
        listener: Int32,
        onConnect: @escaping (Peer) -> Void,
        onLine: @escaping (Peer, String) -> Void,
        onBytes: ((Peer, [UInt8]) -> Void)?
    ) {
        self.loop = loop
        self.port = port
        self.listener = listener
        self.onConnect = onConnect
        self.onLine = onLine
        self.onBytes = onBytes
    }

    /// Listens on a free port, or on that one; the callbacks run on the loop. With `onBytes` nothing is taken for lines.
    public static func start(
        on loop: EventLoop,
        port wanted: Int = 0,
        onConnect: @escaping @Sendable (Peer) -> Void = { _ in },
        onLine: @escaping @Sendable (Peer, String) -> Void = { _, _ in },
        onBytes: (@Sendable (Peer, [UInt8]) -> Void)? = nil
    ) async throws -> LineServer {
        let listener = SocketAddress.with("127.0.0.1", port: wanted) { family, pointer, length -> Int32 in
            let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
            guard bind(descriptor, pointer, length) == 0, listen(descriptor, 128) == 0 else {
                Glibc.close(descriptor)
                return -1
            }
            return descriptor
        }
        guard let listener, listener >= 0 else { throw TestSupportError("no port to listen on") }
        var address = SocketAddress.Storage()
        address.readLocal(of: listener)
        let server = LineServer(loop: loop, port: address.port, listener: listener, onConnect: onConnect, onLine: onLine, onBytes: onBytes)
        await server.onLoop { $0.begin() }
        return server
    }

    /// Ports for a program that is told where to listen: free a moment ago, and none that outgoing connections get or a private platform takes meanwhile.
    public static func freePorts(_ count: Int, on loop: EventLoop) async throws -> [Int] {
        var ports: [Int] = []
        for _ in 0..<1_000 where ports.count < count {
            guard let server = try? await start(on: loop, port: .random(in: 19_000..<20_000), onLine: { _, _ in }) else { continue }
            if !ports.contains(server.port) { ports.append(server.port) }
            await server.stop()
        }
        guard ports.count == count else { throw TestSupportError("no free ports") }
        return ports
    }

    /// Runs something on the server's loop and waits for it.
    public func onLoop<Value: Sendable>(_ body: @escaping @Sendable (LineServer) -> Value) async -> Value {
        await withCheckedContinuation { continuation in loop.execute { continuation.resume(returning: body(self)) } }
    }

    /// Ends all connections, and listens no more.
    public func stop() async {
        await onLoop { server in
            guard let watcher = server.watcher else { return }
            watcher.close()
            server.watcher = nil
            Glibc.close(server.listener)
            for peer in server.peers { peer.close() }
        }
    }

    private func begin() {
        watcher = loop.watch(fileDescriptor: listener, onReadable: { [unowned self] in accept() }, onWritable: {})
        watcher?.wantsRead = true
    }

    private func accept() {
        var address = SocketAddress.Storage()
        while true {
            let descriptor = address.accept(on: listener)
            guard descriptor >= 0 else { return }
            let peer = Peer(number: accepted, descriptor: descriptor, server: self)
            accepted += 1
            peers.append(peer)
            peer.watcher = loop.watch(
                fileDescriptor: descriptor,
                onReadable: { [unowned peer] in peer.readable() },
                onWritable: { [unowned peer] in peer.flush() }
            )
            peer.watcher?.wantsRead = true
            onConnect(peer)
        }
    }
}
