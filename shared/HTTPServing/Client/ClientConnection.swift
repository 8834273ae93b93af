internal import Contracts
internal import Glibc
internal import ServiceRuntime

/// One connection to another server, for one request at a time.
///
/// Unchecked because it stands for a socket of its loop: every member is touched on that loop's thread only.
final class ClientConnection: @unchecked Sendable {
    private struct Exchange {
        let number: UInt64
        var reader: AnswerReader
        var continuation: CheckedContinuation<ClientResponse, any Error>
        var timer: LoopTimer?
    }

    private let loop: EventLoop
    private let host: String
    private let descriptor: Int32
    private var watcher: SocketWatcher!
    private var isConnecting: Bool
    private var exchange: Exchange?
    private var output: [UInt8] = []
    private var outputOffset = 0
    private(set) var isOpen = true
    private(set) var isReusable = true
    private(set) var idleSince: UInt64 = 0
    private var limit = 0
    private var lastNumber: UInt64 = 0

    init(loop: EventLoop, host: String, address: String, port: Int) throws(HTTPClientError) {
        self.loop = loop
        self.host = host
        let result: Result<(Int32, Bool), HTTPClientError>? = SocketAddress.with(address, port: port) { family, pointer, length in
            let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return .failure(.notConnected(host: host, code: errno)) }
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            if connect(descriptor, pointer, length) == 0 { return .success((descriptor, false)) }
            let code = errno
            if code == EINPROGRESS { return .success((descriptor, true)) }
            Glibc.close(descriptor)
            return .failure(.notConnected(host: host, code: code))
        }
        guard let result else { throw .nameNotResolved(host) }
        (descriptor, isConnecting) = try result.get()
        watcher = loop.watch(fileDescriptor: descriptor, onReadable: { [self] in readable() }, onWritable: { [self] in writable() })
        watcher.wantsRead = !isConnecting
        watcher.wantsWrite = isConnecting
    }

    /// Sends a request and waits for its answer. Call it on the loop.
    func perform(_ bytes: [UInt8], method: Method, limit: Int, deadline: Duration) async throws -> ClientResponse {
        loop.checkIsolated()
        lastNumber += 1
        let number = lastNumber
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard isOpen else { return continuation.resume(throwing: HTTPClientError.connectionLost(host: host)) }
                // A cancel that came before there was anything to cancel is known by this only.
                guard !Task.isCancelled else {
                    close()
                    return continuation.resume(throwing: CancellationError())
                }
                self.limit = limit
                exchange = Exchange(number: number, reader: AnswerReader(method: method, limit: limit), continuation: continuation)
                exchange?.timer = loop.timer(after: deadline) { [self] in
                    fail(isConnecting ? .notConnected(host: host, code: ETIMEDOUT) : .timedOut(host: host))
                }
                output = bytes
                outputOffset = 0
                if !isConnecting { writable() }
            }
        } onCancel: {
            loop.execute { [self] in cancel(number) }
        }
    }

    /// Ends an exchange, if it is still under way: the connection may have been given to the next request meanwhile.
    private func cancel(_ number: UInt64) {
        guard let exchange, exchange.number == number else { return }
        self.exchange = nil
        exchange.timer?.cancel()
        close()
        exchange.continuation.resume(throwing: CancellationError())
    }

    private func writable() {
        if isConnecting {
            var code: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
            guard code == 0 else { return fail(.notConnected(host: host, code: code)) }
            isConnecting = false
            watcher.wantsRead = true
        }
        while outputOffset < output.count {
            let sent = output.withUnsafeBytes { bytes in
                Glibc.send(descriptor, bytes.baseAddress.map { $0 + outputOffset }, bytes.count - outputOffset, Int32(MSG_NOSIGNAL))
            }
            if sent > 0 {
                outputOffset += sent
            } else if sent < 0, errno == EINTR {
                continue
            } else if sent < 0, errno == EAGAIN {
                watcher.wantsWrite = true
                return
            } else {
                // The answer may be here already (a refused upload): reading decides.
                watcher.wantsWrite = false
                isReusable = false
                return
            }
        }
        output = []
        outputOffset = 0
        watcher.wantsWrite = false
    }

    private func readable() {
        withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 16) { buffer in
            let read = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if read > 0 {
                guard exchange != nil else { return close() }
                do throws(MessageFault) {
                    try exchange?.reader.take(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
                } catch {
                    if case .bodyTooLarge = error { return fail(.answerTooLarge(maximumBytes: limit)) }
                    return fail(.malformedAnswer(host: host))
                }
                if let response = exchange?.reader.response { succeed(response) }
            } else if read == 0 {
                if exchange?.reader.end() == true, let response = exchange?.reader.response {
                    succeed(response)
                } else {
                    fail(.connectionLost(host: host))
                }
            } else if errno != EAGAIN && errno != EINTR {
                fail(.connectionLost(host: host))
            }
        }
    }

    private func succeed(_ response: ClientResponse) {
        guard let exchange else { return }
        self.exchange = nil
        exchange.timer?.cancel()
        // An answer before the request was out leaves the connection in the middle of something.
        if !exchange.reader.keepsAlive || !output.isEmpty { close() }
        idleSince = monotonicNanoseconds()
        exchange.continuation.resume(returning: response)
    }

    private func fail(_ error: HTTPClientError) {
        let waiting = exchange
        exchange = nil
        waiting?.timer?.cancel()
        close()
        waiting?.continuation.resume(throwing: error)
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        watcher.close()
        Glibc.close(descriptor)
    }
}
