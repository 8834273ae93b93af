internal import CCurl
public import ServiceRuntime

/// What a WebSocket puts up with.
public struct WebSocketConfiguration: Sendable {
    /// How the server is reached.
    public var outbound = OutboundConfiguration()
    /// How long the handshake may take once there is a connection.
    public var handshakeTimeout = Duration.seconds(10)
    /// The largest message that is taken.
    public var maximumMessageBytes = 4 << 20
    /// Bytes of messages that may wait for their reader; then the socket is left unread until some are taken, and the server has to wait.
    public var maximumUnreadBytes = 4 << 20
    /// Bytes that may wait to be sent.
    public var maximumUnsentBytes = 1 << 20
    /// After so long without a sign of life the server is asked for one.
    public var pingAfter = Duration.seconds(15)
    /// After so long without a sign of life it is given up.
    public var silenceLimit = Duration.seconds(30)

    /// The defaults.
    public init() {}
}

/// One WebSocket to another's server (RFC 6455), encrypted or not, on one loop: libcurl makes the connection (names, proxy, TLS), the frames are read and
/// written here. Pings are answered, silence is found out.
///
/// One reader at a time takes messages with ``next()``; what came whole before the end is always read before the end is.
public actor WebSocketConnection {
    private enum State {
        case connecting(CheckedContinuation<Void, any Error>)
        /// There is a connection, and nothing was said yet.
        case connected
        case agreeing(CheckedContinuation<Void, any Error>)
        case open
        case ended(OutboundError)
    }

    /// What the connection is made of. Unchecked because it is touched on the loop alone, also when the connection is forgotten.
    private final class Wire: @unchecked Sendable {
        var transfers: Transfers?
        var curl: CurlHandle?
        var watcher: SocketWatcher?

        func release() {
            watcher?.close()
            watcher = nil
            if let curl { transfers?.remove(curl.handle) }
            transfers?.close()
            curl = nil
            transfers = nil
        }
    }

    /// The server, for logs: `host:port`.
    public nonisolated let peer: String
    private let url: OutboundURL
    private let headers: [(name: String, value: String)]
    private let loop: EventLoop
    private let time: any TimeSource
    private let configuration: WebSocketConfiguration
    private let handshake = WebSocketHandshake()
    private let wire = Wire()
    private var state = State.ended(.stopped)
    private var head: [UInt8] = []
    private var frames: FrameReader
    private var unread: [WebSocketMessage] = []
    /// Taken from the front of `unread`.
    private var taken = 0
    private var unreadBytes = 0
    private var reader: CheckedContinuation<WebSocketMessage?, any Error>?
    private var output: [UInt8] = []
    private var outputOffset = 0
    private var heardAt: UInt64 = 0
    private var silenceWatch: Task<Void, Never>?

    /// The connection runs where its loop runs.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private init(
        _ url: OutboundURL,
        headers: [(name: String, value: String)],
        loop: EventLoop,
        time: any TimeSource,
        configuration: WebSocketConfiguration
    ) {
        self.url = url
        self.headers = headers
        self.loop = loop
        self.time = time
        self.configuration = configuration
        peer = url.authority
        frames = FrameReader(maximumMessageBytes: configuration.maximumMessageBytes)
    }

    /// Connects to `wss://…` (or `ws://…`) and agrees on a WebSocket; throws ``OutboundError``.
    public static func connect(
        to text: String,
        headers: [(name: String, value: String)] = [],
        on loop: EventLoop,
        time: any TimeSource = SystemTimeSource(),
        configuration: WebSocketConfiguration = WebSocketConfiguration()
    ) async throws -> WebSocketConnection {
        let url = try OutboundURL(text)
        guard url.scheme.isWebSocket else { throw OutboundError.badRequest("a WebSocket's URL begins with ws:// or wss://") }
        for field in headers { try checkHeader(field.name, field.value) }
        let connection = WebSocketConnection(url, headers: headers, loop: loop, time: time, configuration: configuration)
        try await connection.open()
        return connection
    }

    deinit {
        silenceWatch?.cancel()
        loop.execute { [wire] in wire.release() }
    }

    // MARK: Talking

    /// Sends text; throws when the connection is over, and when the server has long not read.
    public func send(_ text: String) throws {
        guard case .open = state else { throw endReason }
        try write(FrameWriter.frame(.text, Array(text.utf8)))
    }

    /// The next message; nothing when the server ended the connection in good order.
    public func next() async throws -> WebSocketMessage? {
        if let message = take() { return message }
        if case .ended(let error) = state { return try ended(error) }
        precondition(reader == nil, "a WebSocket has one reader")
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled { continuation.resume(throwing: CancellationError()) } else { reader = continuation }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.cancelRead() } }
        }
    }

    /// Says goodbye and ends the connection; what came before may still be read.
    public func close() {
        if case .open = state {
            // Best effort: nobody waits for the server's own goodbye.
            try? write(FrameWriter.close(code: 1_000))
        }
        end(.stopped)
    }

    // MARK: Beginning

    private func open() async throws {
        let curl = CurlHandle(url.connectionURL, configuration: configuration.outbound)
        curl.set(CURLOPT_CONNECT_ONLY, 1)
        // The Upgrade of HTTP/1.1 is what is spoken, through a tunnel where a proxy stands between.
        curl.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        curl.set(CURLOPT_HTTPPROXYTUNNEL, 1)
        let transfers = Transfers(loop: loop, maximumConnections: 1)
        wire.curl = curl
        wire.transfers = transfers
        try await inTime {
            self.state = .connecting($0)
            transfers.add(curl.handle) { [weak self] code in self?.assumeIsolated { $0.connected(code) } }
        }
        try await inTime(configuration.handshakeTimeout) {
            guard case .connected = self.state else { return $0.resume(throwing: self.endReason) }
            self.state = .agreeing($0)
            self.output = self.handshake.request(self.url, headers: self.headers, userAgent: self.configuration.outbound.userAgent)
            self.flush()
        }
        heardAt = time.monotonicNanoseconds()
        watchSilence()
    }

    /// Waits for a step of the beginning, which ends when the task is cancelled or the time is up.
    private func inTime(_ limit: Duration? = nil, _ begin: (CheckedContinuation<Void, any Error>) -> Void) async throws {
        let deadline = limit.map { limit in
            Task(on: loop) { [weak self, time] in
                guard (try? await time.sleep(for: limit)) != nil else { return }
                await self?.giveUp()
            }
        }
        defer { deadline?.cancel() }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if Task.isCancelled { continuation.resume(throwing: CancellationError()) } else { self.begin(continuation, begin) }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.cancelOpening() } }
        }
    }

    /// By way of `self`: a closure that does not touch the actor would not run on it.
    private func begin(_ continuation: CheckedContinuation<Void, any Error>, _ body: (CheckedContinuation<Void, any Error>) -> Void) {
        body(continuation)
    }

    private func giveUp() { failOpening(.timedOut(host: peer)) }

    private func cancelOpening() { failOpening(.stopped, throwing: CancellationError()) }

    private func failOpening(_ error: OutboundError, throwing thrown: (any Error)? = nil) {
        switch state {
        case .connecting(let continuation), .agreeing(let continuation):
            state = .ended(error)
            release()
            continuation.resume(throwing: thrown ?? error)
        case .connected:
            state = .ended(error)
            release()
        case .open, .ended: break
        }
    }

    private func connected(_ code: CURLcode) {
        guard case .connecting(let continuation) = state, let curl = wire.curl else { return }
        guard code == CURLE_OK else { return failOpening(OutboundError(code, host: peer, detail: curl.errorDetail)) }
        let descriptor = auspex_curl_socket(curl.handle)
        guard descriptor >= 0 else { return failOpening(.lost(host: peer, reason: "it went as soon as it had come")) }
        wire.watcher = loop.watch(
            fileDescriptor: descriptor,
            onReadable: { [weak self] in self?.assumeIsolated { $0.readable() } },
            onWritable: { [weak self] in self?.assumeIsolated { $0.flush() } }
        )
        wire.watcher?.wantsRead = true
        state = .connected
        continuation.resume()
    }

    private func takeHead(_ bytes: UnsafeRawBufferPointer) {
        head.append(contentsOf: bytes)
        guard let end = head.firstRange(of: [0x0D, 0x0A, 0x0D, 0x0A]) else {
            if head.count > WebSocketHandshake.maximumHeadBytes { failOpening(.malformed(host: peer, reason: "the head of its answer does not end")) }
            return
        }
        let rest = head[end.upperBound...]
        switch handshake.judge(head: head[..<end.lowerBound], body: rest) {
        case .refused(let status, let text, let retryAfterSeconds):
            failOpening(.refused(host: peer, status: status, text: text, retryAfterSeconds: retryAfterSeconds))
        case .malformed(let reason): failOpening(.malformed(host: peer, reason: reason))
        case .agreed:
            guard case .agreeing(let continuation) = state else { return }
            state = .open
            let early = Array(rest)
            head = []
            continuation.resume()
            early.withUnsafeBytes { takeFrames($0) }
        }
    }

    // MARK: The end

    private var endReason: OutboundError { if case .ended(let error) = state { error } else { .stopped } }

    /// An orderly goodbye of the server is no error to who reads.
    private func ended(_ error: OutboundError) throws -> WebSocketMessage? {
        if case .closed(_, 1_000, _) = error { return nil }
        throw error
    }

    private func end(_ error: OutboundError) {
        guard case .open = state else { return failOpening(error) }
        state = .ended(error)
        release()
        guard let reader else { return }
        self.reader = nil
        do { reader.resume(returning: try ended(error)) } catch { reader.resume(throwing: error) }
    }

    private func release() {
        silenceWatch?.cancel()
        silenceWatch = nil
        wire.release()
        output = []
        outputOffset = 0
    }

    // MARK: The socket

    private func write(_ bytes: [UInt8]) throws {
        guard output.count - outputOffset + bytes.count <= configuration.maximumUnsentBytes else {
            end(.peerDoesNotRead(host: peer))
            throw OutboundError.peerDoesNotRead(host: peer)
        }
        output.append(contentsOf: bytes)
        flush()
    }

    private func flush() {
        guard let curl = wire.curl else { return }
        while outputOffset < output.count {
            var sent = 0
            let code = output.withUnsafeBytes { bytes in
                curl_easy_send(curl.handle, bytes.baseAddress.map { $0 + outputOffset }, bytes.count - outputOffset, &sent)
            }
            if code == CURLE_AGAIN {
                wire.watcher?.wantsWrite = true
                return
            }
            // What the server said before it went may still be read: reading finds the end.
            guard code == CURLE_OK else { break }
            outputOffset += sent
        }
        output.removeAll(keepingCapacity: true)
        outputOffset = 0
        wire.watcher?.wantsWrite = false
    }

    private func readable() {
        // The library may hold what it has decrypted already: it is read until it says that there is no more, or until somebody else must have a turn.
        for _ in 0..<16 {
            guard let curl = wire.curl, wire.watcher?.wantsRead == true else { return }
            let goesOn = withUnsafeTemporaryAllocation(byteCount: 64 * 1_024, alignment: 16) { buffer -> Bool in
                var count = 0
                let code = curl_easy_recv(curl.handle, buffer.baseAddress, buffer.count, &count)
                if code == CURLE_AGAIN { return false }
                if code != CURLE_OK || count == 0 {
                    end(.lost(host: peer, reason: frames.isBetweenMessages ? "it hung up" : "it hung up in the middle of a message"))
                    return false
                }
                received(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                return true
            }
            guard goesOn else { return }
        }
        loop.execute { self.assumeIsolated { $0.readable() } }
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        heardAt = time.monotonicNanoseconds()
        switch state {
        case .agreeing: takeHead(bytes)
        case .open: takeFrames(bytes)
        case .connecting, .connected, .ended: break
        }
    }

    private func takeFrames(_ bytes: UnsafeRawBufferPointer) {
        frames.append(bytes)
        do throws(FrameReader.Fault) {
            while case .open = state, let item = try frames.next() {
                switch item {
                case .message(let message):
                    unread.append(message)
                    unreadBytes += message.byteCount
                case .ping(let payload): try? write(FrameWriter.frame(.pong, payload))
                case .pong: break
                case .close(let code, let reason):
                    try? write(FrameWriter.close(code: code == 1_005 ? 1_000 : code))
                    handOver()
                    return end(.closed(host: peer, code: code, reason: reason))
                }
            }
        } catch {
            handOver()
            switch error {
            case .protocolViolation(let reason):
                try? write(FrameWriter.close(code: 1_002))
                return end(.malformed(host: peer, reason: reason))
            case .tooLarge(let maximumBytes):
                try? write(FrameWriter.close(code: 1_009))
                return end(.tooLarge(host: peer, maximumBytes: maximumBytes))
            }
        }
        handOver()
        if unreadBytes > configuration.maximumUnreadBytes { wire.watcher?.wantsRead = false }
    }

    private func handOver() {
        guard let reader, let message = take() else { return }
        self.reader = nil
        reader.resume(returning: message)
    }

    private func take() -> WebSocketMessage? {
        guard taken < unread.count else { return nil }
        let message = unread[taken]
        taken += 1
        unreadBytes -= message.byteCount
        if taken == unread.count || taken > 4_096 {
            unread.removeFirst(taken)
            taken = 0
        }
        if let watcher = wire.watcher, !watcher.wantsRead, unreadBytes <= configuration.maximumUnreadBytes / 2 {
            heardAt = time.monotonicNanoseconds()
            watcher.wantsRead = true
            // The library may hold bytes for which the socket will not call again.
            loop.execute { self.assumeIsolated { $0.readable() } }
        }
        return message
    }

    private func cancelRead() {
        reader?.resume(throwing: CancellationError())
        reader = nil
    }

    // MARK: Silence

    private func watchSilence() {
        silenceWatch = Task(on: loop) { [weak self, time] in
            while !Task.isCancelled, let rest = await self?.restOfSilence() {
                guard (try? await time.sleep(for: rest)) != nil else { return }
            }
        }
    }

    /// How long until the next look at the server's silence; while the reader leaves messages unread the server is not to blame.
    private func restOfSilence() -> Duration? {
        guard case .open = state else { return nil }
        if wire.watcher?.wantsRead == false { return configuration.pingAfter }
        let silence = Duration.nanoseconds(Int64(time.monotonicNanoseconds() - heardAt))
        if silence < configuration.pingAfter { return configuration.pingAfter - silence }
        if silence < configuration.silenceLimit {
            try? write(FrameWriter.frame(.ping, []))
            return configuration.silenceLimit - silence
        }
        end(.silent(host: peer, after: configuration.silenceLimit))
        return nil
    }
}
