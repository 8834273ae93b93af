internal import Contracts
internal import Glibc
public import ServiceRuntime

/// What a connection of lines puts up with.
public struct LineConnectionConfiguration: Sendable {
    /// How long a connection may take to come about, for each address of the peer.
    public var connectTimeout = Duration.seconds(5)
    /// The longest line that is taken.
    public var maximumLineBytes = 64 << 10
    /// Received bytes that may wait for their reader; then the socket is left unread until some are taken, and the peer has to wait.
    public var maximumUnreadBytes = 256 << 10
    /// Bytes that may wait to be sent; more is an error, as the peer does not read.
    public var maximumUnsentBytes = 1 << 20

    /// The defaults.
    public init() {}
}

/// One outgoing TCP connection over which lines go both ways: what old feeds and terminals speak.
///
/// It lives on one loop. One reader at a time takes whole lines with ``next()``; what came whole before the end is always read before the end is.
public actor LineConnection {
    /// How the connection stands.
    private enum State {
        case connecting(CheckedContinuation<Void, any Error>)
        case open
        /// The peer has said all it will say.
        case ended
        case failed(LineConnectionError)
    }

    private struct Silence {
        let limit: Duration
        var since: UInt64
    }

    /// The peer, for logs: `host:port`.
    public nonisolated let peer: String
    private let loop: EventLoop
    private let time: any TimeSource
    private let configuration: LineConnectionConfiguration
    private var descriptor: Int32 = -1
    private var watcher: SocketWatcher?
    private var state = State.ended
    private var input: [UInt8] = []
    /// The bytes of `input` that are whole lines.
    private var wholeBytes = 0
    private var reader: CheckedContinuation<LineBatch?, any Error>?
    private var output: [UInt8] = []
    private var outputOffset = 0
    private var silence: Silence?
    private var silenceWatch: Task<Void, Never>?

    /// The connection runs where its loop runs.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private init(peer: String, loop: EventLoop, time: any TimeSource, configuration: LineConnectionConfiguration) {
        self.peer = peer
        self.loop = loop
        self.time = time
        self.configuration = configuration
    }

    /// Connects to a host, by name or address; of several addresses each is tried.
    public static func connect(
        to host: String,
        port: Int,
        on loop: EventLoop,
        time: any TimeSource = SystemTimeSource(),
        configuration: LineConnectionConfiguration = LineConnectionConfiguration()
    ) async throws -> LineConnection {
        let addresses = NameResolver.isNumeric(host) ? [host] : await NameResolver.ask(host)
        var failure: any Error = LineConnectionError.nameNotResolved(host)
        for address in addresses {
            try Task.checkCancellation()
            let connection = LineConnection(peer: "\(host):\(port)", loop: loop, time: time, configuration: configuration)
            do {
                try await connection.open(address, port: port)
                return connection
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                failure = error
            }
        }
        throw failure
    }

    isolated deinit {
        watcher?.close()
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    // MARK: Talking

    /// Sends one line; CR LF is added. Throws when it is not one line, when the connection is over, and when the peer has long not read.
    public func send(_ line: String) throws {
        let bytes = Array(line.utf8)
        guard bytes.allSatisfy({ $0 != 0x0A && $0 != 0x0D && $0 != 0 }) else { throw LineConnectionError.notOneLine }
        try throwIfOver()
        guard output.count - outputOffset + bytes.count + 2 <= configuration.maximumUnsentBytes else {
            fail(.peerDoesNotRead(peer: peer))
            throw LineConnectionError.peerDoesNotRead(peer: peer)
        }
        output.append(contentsOf: bytes)
        output.append(0x0D)
        output.append(0x0A)
        flush()
    }

    /// The lines that have come since the last call, or the next ones; nothing when the peer ended the connection after a whole line.
    public func next() async throws -> LineBatch? {
        if wholeBytes > 0 { return take() }
        switch state {
        case .failed(let error): throw error
        case .ended: return nil
        case .connecting, .open: break
        }
        precondition(reader == nil, "a line connection has one reader")
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled { continuation.resume(throwing: CancellationError()) } else { reader = continuation }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.cancelRead() } }
        }
    }

    /// Lets the connection fail when not a whole line has come for so long, from now on; nothing ends that.
    ///
    /// While the reader leaves lines unread the peer is not to blame for silence.
    public func watchSilence(_ limit: Duration?) {
        silenceWatch?.cancel()
        silenceWatch = nil
        silence = limit.map { Silence(limit: $0, since: time.monotonicNanoseconds()) }
        guard silence != nil, case .open = state else { return }
        silenceWatch = Task(on: loop) { [weak self, time] in
            while !Task.isCancelled, let rest = await self?.restOfSilence() {
                guard (try? await time.sleep(for: rest)) != nil else { return }
            }
        }
    }

    /// Ends the connection.
    public func close() { fail(.closed) }

    // MARK: Beginning and end

    private func open(_ address: String, port: Int) async throws {
        let peer = peer
        let made: Result<(Int32, Bool), LineConnectionError>? = SocketAddress.with(address, port: port) { family, pointer, length in
            let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return .failure(.notConnected(peer: peer, code: errno)) }
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            if Glibc.connect(descriptor, pointer, length) == 0 { return .success((descriptor, false)) }
            let code = errno
            if code == EINPROGRESS { return .success((descriptor, true)) }
            Glibc.close(descriptor)
            return .failure(.notConnected(peer: peer, code: code))
        }
        guard let made else { throw LineConnectionError.nameNotResolved(address) }
        let (descriptor, isConnecting) = try made.get()
        self.descriptor = descriptor
        watcher = loop.watch(
            fileDescriptor: descriptor,
            onReadable: { [weak self] in self?.assumeIsolated { $0.readable() } },
            onWritable: { [weak self] in self?.assumeIsolated { $0.writable() } }
        )
        guard isConnecting else {
            state = .open
            watcher?.wantsRead = true
            return
        }
        let deadline = Task(on: loop) { [weak self, time, limit = configuration.connectTimeout] in
            guard (try? await time.sleep(for: limit)) != nil else { return }
            await self?.giveUpConnecting(code: ETIMEDOUT)
        }
        defer { deadline.cancel() }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                state = .connecting(continuation)
                watcher?.wantsWrite = true
                if Task.isCancelled { giveUpConnecting(code: ECANCELED) }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.giveUpConnecting(code: ECANCELED) } }
        }
    }

    private func giveUpConnecting(code: Int32) {
        guard case .connecting(let continuation) = state else { return }
        fail(.notConnected(peer: peer, code: code))
        if code == ECANCELED {
            continuation.resume(throwing: CancellationError())
        } else {
            continuation.resume(throwing: LineConnectionError.notConnected(peer: peer, code: code))
        }
    }

    /// Ends the connection with its reason; the first reason stays.
    private func fail(_ error: LineConnectionError) {
        switch state {
        case .failed: return
        case .ended where error == .closed && descriptor < 0: return
        default: break
        }
        state = .failed(error)
        release()
        reader?.resume(throwing: error)
        reader = nil
    }

    /// The peer has ended: what came whole is still read, half a line is an error.
    private func end() {
        guard input.count == wholeBytes else { return fail(.cutMidLine(peer: peer)) }
        state = .ended
        release()
        reader?.resume(returning: nil)
        reader = nil
    }

    private func release() {
        silenceWatch?.cancel()
        silenceWatch = nil
        watcher?.close()
        watcher = nil
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
        output = []
        outputOffset = 0
    }

    private func throwIfOver() throws {
        switch state {
        case .failed(let error): throw error
        case .ended: throw LineConnectionError.lost(peer: peer, code: EPIPE)
        case .connecting, .open: break
        }
    }

    // MARK: The socket

    private func writable() {
        if case .connecting(let continuation) = state {
            var code: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            guard code == 0 else { return giveUpConnecting(code: code) }
            state = .open
            watcher?.wantsRead = true
            watcher?.wantsWrite = false
            continuation.resume()
        }
        flush()
    }

    private func flush() {
        guard case .open = state else { return }
        while outputOffset < output.count {
            let sent = output.withUnsafeBytes { bytes in
                Glibc.send(descriptor, bytes.baseAddress.map { $0 + outputOffset }, bytes.count - outputOffset, Int32(MSG_NOSIGNAL))
            }
            if sent > 0 {
                outputOffset += sent
            } else if sent < 0, errno == EINTR {
                continue
            } else if sent < 0, errno == EAGAIN {
                watcher?.wantsWrite = true
                return
            } else {
                // What the peer said before it went may still be read: reading finds the end.
                break
            }
        }
        output = []
        outputOffset = 0
        watcher?.wantsWrite = false
    }

    private func readable() {
        guard case .open = state else { return }
        withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 16) { buffer in
            let read = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if read > 0 {
                received(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
            } else if read == 0 {
                end()
            } else if errno != EAGAIN, errno != EINTR {
                fail(.lost(peer: peer, code: errno))
            }
        }
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        let before = input.count
        input.append(contentsOf: bytes)
        if let last = bytes.lastIndex(of: 0x0A) {
            wholeBytes = before + last + 1
            silence?.since = time.monotonicNanoseconds()
        }
        if input.count - wholeBytes > configuration.maximumLineBytes {
            return fail(.lineTooLong(peer: peer, maximumBytes: configuration.maximumLineBytes))
        }
        if wholeBytes > 0, let reader {
            self.reader = nil
            reader.resume(returning: take())
        } else if wholeBytes >= configuration.maximumUnreadBytes {
            watcher?.wantsRead = false
        }
    }

    private func take() -> LineBatch {
        let batch: LineBatch
        if wholeBytes == input.count {
            batch = LineBatch(input)
            input = []
        } else {
            batch = LineBatch(Array(input[..<wholeBytes]))
            input.removeSubrange(..<wholeBytes)
        }
        wholeBytes = 0
        if let watcher, !watcher.wantsRead, case .open = state {
            silence?.since = time.monotonicNanoseconds()
            watcher.wantsRead = true
        }
        return batch
    }

    private func cancelRead() {
        reader?.resume(throwing: CancellationError())
        reader = nil
    }

    /// How long the peer may still be silent; nothing when that was too long or is nobody's concern any more.
    private func restOfSilence() -> Duration? {
        guard let silence, case .open = state else { return nil }
        if wholeBytes > 0 { return silence.limit }
        let rest = silence.limit - .nanoseconds(Int64(time.monotonicNanoseconds() - silence.since))
        if rest > .zero { return rest }
        fail(.silent(peer: peer, after: silence.limit))
        return nil
    }
}
