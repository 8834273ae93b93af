internal import CCurl
public import ServiceRuntime

/// GET requests to others' servers over TLS, on one loop: connections are kept and used again, certificates are verified, redirects are answers like
/// any other. A request is tried once; who may repeat it is the caller's to know.
public actor OutboundClient {
    /// A request under way. Unchecked because it lives on the loop alone.
    private final class UnderWay: @unchecked Sendable {
        let handle: CurlHandle
        let host: String
        let maximumBytes: Int
        var head: [String: String] = [:]
        var body: [UInt8] = []
        var isTooLarge = false
        var continuation: CheckedContinuation<OutboundAnswer, any Error>?

        init(handle: CurlHandle, host: String, maximumBytes: Int) {
            self.handle = handle
            self.host = host
            self.maximumBytes = maximumBytes
        }

        /// A line of the head; an interim answer or a proxy's is forgotten when the next head begins.
        func takeHead(_ line: UnsafeBufferPointer<UInt8>) {
            if line.starts(with: Array("HTTP/".utf8)) { head = [:] }
            guard let colon = line.firstIndex(of: 0x3A), head.count < 256 else { return }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            let value = String(decoding: line[(colon + 1)...], as: UTF8.self)
            head[name] = String(value.drop { $0 == " " || $0 == "\t" }.prefix { $0 != "\r" && $0 != "\n" && $0 != "\r\n" })
        }

        func takeBody(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
            guard body.count + bytes.count <= maximumBytes else {
                isTooLarge = true
                return false
            }
            body.append(contentsOf: bytes)
            return true
        }
    }

    private let loop: EventLoop
    private let configuration: OutboundConfiguration
    private var transfers: Transfers?
    private var underWay: [UInt64: UnderWay] = [:]
    private var lastNumber: UInt64 = 0

    /// It runs where its transfers run.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// A client with connections of its own.
    public init(loop: EventLoop, configuration: OutboundConfiguration = OutboundConfiguration()) {
        self.loop = loop
        self.configuration = configuration
    }

    deinit { if let transfers { loop.execute { transfers.close() } } }

    /// Asks, and gives the answer whatever its status; throws ``OutboundError`` when there is none.
    public func send(_ request: OutboundRequest) async throws -> OutboundAnswer {
        let url = try OutboundURL(request.url)
        guard !url.scheme.isWebSocket else { throw OutboundError.badRequest("a request goes to http:// or https://") }
        for field in request.headers { try checkHeader(field.name, field.value) }
        guard underWay.count < configuration.maximumRequests else {
            throw OutboundError.notConnected(host: url.authority, reason: "too many requests wait")
        }
        lastNumber += 1
        let number = lastNumber
        let one = UnderWay(
            handle: CurlHandle(url.text, configuration: configuration),
            host: url.authority,
            maximumBytes: request.maximumAnswerBytes
        )
        one.handle.set(CURLOPT_TIMEOUT_MS, request.deadline.wholeMilliseconds)
        // All encodings that the library unpacks.
        one.handle.set(CURLOPT_ACCEPT_ENCODING, "")
        one.handle.set(CURLOPT_USERAGENT, configuration.userAgent)
        one.handle.setHeaders(request.headers)
        auspex_curl_set_writers(
            one.handle.handle,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                bytes.withMemoryRebound(to: UInt8.self, capacity: size * count) { bytes in
                    Unmanaged<UnderWay>.fromOpaque(context).takeUnretainedValue().takeHead(UnsafeBufferPointer(start: bytes, count: size * count))
                }
                return size * count
            },
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                let isTaken = bytes.withMemoryRebound(to: UInt8.self, capacity: size * count) { bytes in
                    Unmanaged<UnderWay>.fromOpaque(context).takeUnretainedValue().takeBody(UnsafeBufferPointer(start: bytes, count: size * count))
                }
                return isTaken ? size * count : 0
            },
            Unmanaged.passUnretained(one).toOpaque()
        )
        let transfers = transfers ?? Transfers(loop: loop, maximumConnections: configuration.maximumConnections)
        self.transfers = transfers
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard !Task.isCancelled else { return continuation.resume(throwing: CancellationError()) }
                one.continuation = continuation
                underWay[number] = one
                transfers.add(one.handle.handle) { [weak self] code in self?.assumeIsolated { $0.ended(number, code) } }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.finish(number, .failure(CancellationError())) } }
        }
    }

    private func ended(_ number: UInt64, _ code: CURLcode) {
        guard let one = underWay[number] else { return }
        if code == CURLE_OK {
            let status = auspex_curl_status(one.handle.handle)
            finish(number, .success(OutboundAnswer(status: status, headers: one.head, body: one.body)))
        } else if one.isTooLarge {
            finish(number, .failure(OutboundError.tooLarge(host: one.host, maximumBytes: one.maximumBytes)))
        } else {
            finish(number, .failure(OutboundError(code, host: one.host, detail: one.handle.errorDetail)))
        }
    }

    private func finish(_ number: UInt64, _ result: Result<OutboundAnswer, any Error>) {
        guard let one = underWay.removeValue(forKey: number) else { return }
        transfers?.remove(one.handle.handle)
        one.continuation?.resume(with: result)
        one.continuation = nil
    }
}
