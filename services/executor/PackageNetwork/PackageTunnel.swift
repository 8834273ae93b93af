internal import CSandbox
import Glibc
import ServiceRuntime

/// One connection of a build through the proxy: its two sockets and what is under way between them. Used on the loop's thread only.
final class PackageTunnel {
    /// Bytes that wait for a side that does not read; then the other side is left unread.
    private static let mostWaitingBytes = 256 << 10

    /// One way of a connection.
    private struct Way {
        var bytes: [UInt8] = []
        var offset = 0
        /// The source has said all it will say.
        var isEnded = false
        /// The destination has been told.
        var isShut = false

        var waiting: Int { bytes.count - offset }
    }

    private enum Phase {
        /// The client's request has not come whole.
        case asking
        /// Nobody is read: a name is looked up.
        case waiting
        case connecting
        /// The outer proxy was asked for a tunnel.
        case asked
        case open
        case closed
    }

    private let loop: EventLoop
    private let client: Int32
    private var server: Int32 = -1
    private var clientWatcher: SocketWatcher?
    private var serverWatcher: SocketWatcher?
    private var phase = Phase.asking
    private var head: [UInt8] = []
    private var fromClient = Way()
    private var fromServer = Way()
    private var onConnected: ((Bool) -> Void)?
    /// Tells attempts to connect apart: the next one usually gets the descriptor of the last.
    private var attempts = 0
    private var answersToTunnel = false
    /// Only what the first request said goes on: it was rewritten, and what follows it was not.
    private var hearsClient = true

    private let onRequest: (PackageTunnel, [UInt8]) -> Void
    private let onBytes: (PackageTunnel, Int) -> Void
    private let onClosed: (PackageTunnel) -> Void

    /// A connection that was taken.
    ///
    /// - Parameters:
    ///   - onRequest: takes the head of what is asked; answered by ``refuse(_:_:)`` or ``connect(to:port:whenDone:)``.
    ///   - onBytes: takes how many bytes came from outside.
    init(
        loop: EventLoop,
        client: Int32,
        onRequest: @escaping (PackageTunnel, [UInt8]) -> Void,
        onBytes: @escaping (PackageTunnel, Int) -> Void,
        onClosed: @escaping (PackageTunnel) -> Void
    ) {
        self.loop = loop
        self.client = client
        self.onRequest = onRequest
        self.onBytes = onBytes
        self.onClosed = onClosed
    }

    func start() {
        clientWatcher = loop.watch(
            fileDescriptor: client,
            onReadable: { [weak self] in self?.clientReadable() },
            onWritable: { [weak self] in self?.pump() }
        )
        clientWatcher?.wantsRead = true
    }

    func close() {
        guard phase != .closed else { return }
        phase = .closed
        clientWatcher?.close()
        serverWatcher?.close()
        Glibc.close(client)
        if server >= 0 { Glibc.close(server) }
        // Its number may be another connection's by now.
        server = -1
        let done = onConnected
        onConnected = nil
        done?(false)
        onClosed(self)
    }

    // MARK: The request

    private func clientReadable() {
        if phase != .asking { return pump() }
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
            let count = read(client, buffer.baseAddress, buffer.count)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            guard count > 0 else { return close() }
            head += buffer[..<count]
        }
        if phase == .closed { return }
        let mark: [UInt8] = [13, 10, 13, 10]
        guard let end = head.firstRange(of: mark)?.upperBound else {
            if head.count > ProxyRequest.maximumHeadBytes { refuse(431, "the request is too long") }
            return
        }
        phase = .waiting
        clientWatcher?.wantsRead = false
        let whole = Array(head[..<end])
        // A client that speaks before it was answered: in a tunnel its bytes are kept for the other side.
        fromClient.bytes = Array(head[end...])
        head = []
        onRequest(self, whole)
    }

    /// Answers with a refusal, and ends.
    func refuse(_ status: Int, _ reason: String) {
        guard phase != .closed else { return }
        let body = reason + "\n"
        let text = "HTTP/1.1 \(status) Refused\r\nContent-Type: text/plain\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        let bytes = Array(text.utf8)
        // A few hundred bytes fit into the socket of a client that has said nothing but its request.
        _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        close()
    }

    // MARK: Connecting

    /// Begins a connection to an address; `whenDone` hears whether it came about.
    func connect(to address: String, port: Int, whenDone: @escaping (Bool) -> Void) {
        guard phase != .closed else { return whenDone(false) }
        phase = .connecting
        let descriptor = SocketAddress.with(address, port: port) { family, pointer, length -> Int32 in
            let descriptor = auspex_stream_socket(family)
            guard descriptor >= 0 else { return -1 }
            if Glibc.connect(descriptor, pointer, length) != 0, errno != EINPROGRESS {
                Glibc.close(descriptor)
                return -1
            }
            return descriptor
        }
        guard let descriptor, descriptor >= 0 else { return whenDone(false) }
        server = descriptor
        attempts += 1
        let attempt = attempts
        onConnected = whenDone
        serverWatcher = loop.watch(
            fileDescriptor: descriptor,
            onReadable: { [weak self] in self?.pump() },
            onWritable: { [weak self] in self?.serverWritable() }
        )
        serverWatcher?.wantsWrite = true
        loop.timer(after: .seconds(10)) { [weak self] in
            if let self, self.onConnected != nil, self.attempts == attempt { self.connected(false) }
        }
    }

    private func serverWritable() {
        if phase != .connecting { return pump() }
        var (code, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        getsockopt(server, SOL_SOCKET, SO_ERROR, &code, &length)
        connected(code == 0)
    }

    private func connected(_ isConnected: Bool) {
        serverWatcher?.wantsWrite = false
        if !isConnected {
            serverWatcher?.close()
            serverWatcher = nil
            Glibc.close(server)
            server = -1
            phase = .waiting
        }
        let done = onConnected
        onConnected = nil
        done?(isConnected)
    }

    /// The connection stands: bytes go both ways.
    ///
    /// - Parameters:
    ///   - greeting: what the other side hears first.
    ///   - isTunnel: whether the client is told that its tunnel stands.
    ///   - isAnswered: whether the other side, a proxy, says first whether the tunnel stands.
    func open(greeting: [UInt8], isTunnel: Bool, isAnswered: Bool) {
        guard phase == .connecting else { return }
        answersToTunnel = isTunnel
        hearsClient = isTunnel
        if isAnswered {
            phase = .asked
            let early = fromClient.bytes
            fromClient = Way()
            fromClient.bytes = greeting
            head = []
            heldBack = early
        } else {
            phase = .open
            fromClient.bytes = greeting + (isTunnel ? fromClient.bytes : [])
            if isTunnel { fromServer.bytes = Self.established }
        }
        pump()
    }

    private var heldBack: [UInt8] = []
    private static let established = Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8)

    private func hearOuterProxy() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
            let count = read(server, buffer.baseAddress, buffer.count)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            guard count > 0 else { return refuse(502, "this machine's proxy ended the connection") }
            head += buffer[..<count]
        }
        if phase == .closed { return }
        let mark: [UInt8] = [13, 10, 13, 10]
        guard let end = head.firstRange(of: mark)?.upperBound else {
            if head.count > ProxyRequest.maximumHeadBytes { refuse(502, "this machine's proxy answered at length") }
            return
        }
        let line = String(decoding: head.prefix { $0 != 13 }, as: UTF8.self)
        guard line.hasPrefix("HTTP/1."), line.split(separator: " ").dropFirst().first == "200" else {
            return refuse(502, "this machine's proxy said: \(line.prefix(200))")
        }
        phase = .open
        fromServer.bytes = Self.established + head[end...]
        fromClient = Way()
        fromClient.bytes = heldBack
        heldBack = []
        head = []
    }

    // MARK: Both ways

    private func pump() {
        if phase == .asked {
            flush(&fromClient, to: server)
            // A proxy that has gone away ends the connection there.
            if phase == .asked { hearOuterProxy() }
        }
        if phase == .open {
            if hearsClient || fromClient.isEnded { fill(&fromClient, from: client, isServer: false) } else { drain() }
            if phase == .open { fill(&fromServer, from: server, isServer: true) }
            if phase == .open { flush(&fromClient, to: server) }
            if phase == .open { flush(&fromServer, to: client) }
        }
        guard phase == .open || phase == .asked else { return }
        if fromServer.isShut, fromClient.isShut || !hearsClient { return close() }
        let isOpen = phase == .open
        clientWatcher?.wantsRead = isOpen && !fromClient.isEnded && fromClient.waiting < Self.mostWaitingBytes
        serverWatcher?.wantsRead = !fromServer.isEnded && fromServer.waiting < Self.mostWaitingBytes
        serverWatcher?.wantsWrite = fromClient.waiting > 0
        clientWatcher?.wantsWrite = fromServer.waiting > 0
    }

    /// What a client says after its one document goes nowhere; its end ends the connection.
    private func drain() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
            let count = read(client, buffer.baseAddress, buffer.count)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            if count <= 0 { close() }
        }
    }

    private func fill(_ way: inout Way, from source: Int32, isServer: Bool) {
        guard !way.isEnded else { return }
        var taken = 0
        var isBroken = false
        withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
            // A bounded share of a turn: the loop has runs to look after.
            for _ in 0..<4 where way.waiting < Self.mostWaitingBytes {
                let count = read(source, buffer.baseAddress, buffer.count)
                if count < 0 && errno == EINTR { continue }
                if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) { return }
                if count < 0 { isBroken = true }
                guard count > 0 else {
                    way.isEnded = true
                    return
                }
                way.bytes += buffer[..<count]
                taken += count
            }
        }
        if isBroken { return close() }
        if isServer, taken > 0 { onBytes(self, taken) }
    }

    private func flush(_ way: inout Way, to destination: Int32) {
        while way.waiting > 0 {
            let count = way.bytes.withUnsafeBytes { send(destination, $0.baseAddress! + way.offset, way.waiting, Int32(MSG_NOSIGNAL)) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) { break }
            guard count > 0 else { return close() }
            way.offset += count
        }
        if way.waiting == 0 {
            way.bytes.removeAll(keepingCapacity: true)
            way.offset = 0
            if way.isEnded, !way.isShut {
                way.isShut = true
                _ = shutdown(destination, Int32(SHUT_WR))
            }
        }
    }
}
