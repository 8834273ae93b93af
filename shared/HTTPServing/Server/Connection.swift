internal import Contracts
internal import Glibc
internal import ServiceRuntime
internal import Synchronization

/// One client's connection: reads requests one after the other, runs their handlers on its loop, writes the answers.
///
/// Unchecked because it stands for a socket of its loop: every member is touched on that loop's thread only.
final class Connection: @unchecked Sendable {
    private enum Phase {
        /// Waits for, or is in the middle of, the head of a request.
        case head
        /// Reads the body of the request whose head is here.
        case body(PendingRequest)
        /// A handler is at work.
        case busy
        /// An event stream is running.
        case streaming
        /// The last answer is out or on its way; what still comes in is thrown away.
        case closing
        case closed
    }

    private struct PendingRequest {
        let head: RequestHead
        let match: RouteMatch
        var reader: BodyReader
        let startedAt: UInt64
        var reserved = 0
    }

    /// What the answer to the request at work needs to know of it.
    private struct InFlight {
        var method: Method?
        var block: HeaderBlock
        var path: Range<Int>
        var route: Route?
        var requestID: String
        var keepAlive: Bool
        var saysKeepAlive: Bool
        var startedAt: UInt64
        var reservedBytes: Int
    }

    private let server: ServerLoop
    private let descriptor: Int32
    private let peer: Peer
    private var watcher: SocketWatcher!
    private var phase = Phase.head
    private var pending: [UInt8] = []
    private var scanned = 0
    private var inFlight: InFlight?
    private var task: Task<Void, Never>?
    private var output: [[UInt8]] = []
    private var outputOffset = 0
    /// What the bodies in `output` hold until all of it is out.
    private var held: [any AnyObject & Sendable] = []
    private var unsent = 0
    /// How much of that was one piece of an event stream, larger than what may wait otherwise.
    private var unsentLargePiece = 0
    private var deadline: UInt64
    private var lastWrite: UInt64 = 0
    private var streamEndsAt: Timestamp?
    private var sawEnd = false
    private var consuming = false

    init(server: ServerLoop, descriptor: Int32, peer: Peer) {
        self.server = server
        self.descriptor = descriptor
        self.peer = peer
        deadline = server.now + server.nanoseconds.head
    }

    func start() {
        watcher = server.loop.watch(
            fileDescriptor: descriptor,
            onReadable: { [self] in readable() },
            onWritable: { [self] in writable() }
        )
        watcher.wantsRead = true
    }

    var isClosed: Bool {
        if case .closed = phase { return true }
        return false
    }

    // MARK: Reading

    private func readable() {
        let read = recv(descriptor, server.input.baseAddress, server.input.count, 0)
        if read > 0 {
            ingest(UnsafeRawBufferPointer(rebasing: server.input[..<read]))
        } else if read == 0 {
            inputEnded()
        } else if errno != EAGAIN && errno != EINTR {
            gone()
        }
    }

    private func ingest(_ data: UnsafeRawBufferPointer) {
        if case .closing = phase { return }
        if case .closed = phase { return }
        if pending.isEmpty {
            let used = consume(data)
            if used < data.count { pending.append(contentsOf: data[used...]) }
        } else {
            pending.append(contentsOf: data)
            consumePending()
        }
        // A client that pipelines without end is not read further until its answers are out.
        switch phase {
        case .busy, .streaming: if pending.count > 64 * 1024 { watcher.wantsRead = false }
        case .head: if isHeldBack, pending.count > 64 * 1024 { watcher.wantsRead = false }
        default: break
        }
    }

    /// A client that asks on without taking its answers waits: what is made for it would pile up here.
    private var isHeldBack: Bool { unsent > 64 * 1024 }

    private func consumePending() {
        guard !consuming else { return }
        let data = pending
        pending = []
        let used = data.withUnsafeBytes { consume($0) }
        if used < data.count { pending = used == 0 ? data : Array(data[used...]) }
    }

    /// Takes as many bytes as make sense now.
    private func consume(_ data: UnsafeRawBufferPointer) -> Int {
        consuming = true
        defer { consuming = false }
        var index = 0
        do throws(MessageFault) {
            while index < data.count {
                switch phase {
                case .head:
                    if isHeldBack {
                        server.shared.observe?(.heldBack)
                        return index
                    }
                    // An empty line before a request is forgiven, as RFC 9112 asks.
                    if scanned == 0, data[index] == 0x0D, index + 1 < data.count, data[index + 1] == 0x0A {
                        index += 2
                        continue
                    }
                    let rest = UnsafeRawBufferPointer(rebasing: data[index...])
                    guard let end = try RequestHead.end(in: rest, scanned: &scanned) else {
                        if rest.count > server.limits.maximumHeaderBytes { throw headTooLarge(rest) }
                        if deadline == .max || index > 0 || pending.isEmpty { startHeadClock() }
                        return index
                    }
                    if end > server.limits.maximumHeaderBytes { throw headTooLarge(rest) }
                    scanned = 0
                    index += end
                    try begin(try RequestHead.parse(UnsafeRawBufferPointer(rebasing: rest[..<end]), limits: server.limits))
                case .body(var request):
                    // Taken out of the phase so that the growing body is not copied.
                    phase = .busy
                    do throws(MessageFault) {
                        index += try request.reader.consume(UnsafeRawBufferPointer(rebasing: data[index...]))
                        try reserve(&request)
                    } catch {
                        release(request.reserved)
                        throw error
                    }
                    if request.reader.isComplete {
                        dispatch(request)
                    } else {
                        phase = .body(request)
                        setBodyDeadline(request)
                        return index
                    }
                case .busy, .streaming: return index
                case .closing, .closed: return data.count
                }
            }
        } catch {
            fail(error)
            return data.count
        }
        return index
    }

    private func headTooLarge(_ rest: UnsafeRawBufferPointer) -> MessageFault {
        let line = rest.firstIndex(of: 0x0A) ?? rest.count
        return line > server.limits.maximumTargetBytes ? .targetTooLong : .headersTooLarge
    }

    private func startHeadClock() {
        guard !isReadingHead else { return }
        isReadingHead = true
        deadline = server.now + server.nanoseconds.head
        server.shared.observe?(.headBegun)
    }

    private var isReadingHead = false

    private func begin(_ head: RequestHead) throws(MessageFault) {
        isReadingHead = false
        let match = server.router.match(head.method, head.block, head.path)
        var limit = server.limits.maximumBodyBytes
        if case .found(let route, _) = match, let own = route.maximumBodyBytes { limit = own }
        let reader = head.isChunked ? BodyReader(chunkedUpTo: limit) : try BodyReader(contentLength: head.contentLength, limit: limit)
        let request = PendingRequest(head: head, match: match, reader: reader, startedAt: server.now)
        if request.reader.isComplete {
            dispatch(request)
            return
        }
        phase = .body(request)
        setBodyDeadline(request)
        server.shared.observe?(.bodyBegun)
        if head.expectsContinue { write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
    }

    private func reserve(_ request: inout PendingRequest) throws(MessageFault) {
        let more = request.reader.bytes.count - request.reserved
        guard more > 0 else { return }
        let total = server.shared.bufferedBytes.add(more, ordering: .relaxed).newValue
        request.reserved += more
        if total > server.limits.maximumBufferedBytes { throw .overloaded }
    }

    private func release(_ bytes: Int) {
        if bytes > 0 { server.shared.bufferedBytes.subtract(bytes, ordering: .relaxed) }
    }

    private func setBodyDeadline(_ request: PendingRequest) {
        let grace = UInt64(request.reader.bytes.count) * 1_000_000_000 / UInt64(max(1, server.limits.minimumBodyBytesPerSecond))
        deadline = request.startedAt + server.nanoseconds.body + grace
    }

    // MARK: Handling

    private func dispatch(_ pendingRequest: PendingRequest) {
        var reader = pendingRequest.reader
        let head = pendingRequest.head
        var requestID = head.block.value("x-request-id") ?? ""
        if !RequestID.accepted(requestID) { requestID = RequestID.make() }
        let request = Request(
            method: head.method,
            head: head.block,
            pathRange: head.path,
            query: head.query,
            body: reader.take(),
            peer: peer,
            requestID: requestID,
            loop: server.loop
        )
        var route: Route?
        if case .found(let found, _) = pendingRequest.match { route = found }
        inFlight = InFlight(
            method: head.method,
            block: head.block,
            path: head.path,
            route: route,
            requestID: requestID,
            keepAlive: head.keepAlive,
            saysKeepAlive: head.keepAlive && head.block.first("connection") != nil,
            startedAt: pendingRequest.startedAt,
            reservedBytes: pendingRequest.reserved
        )
        phase = .busy
        deadline = .max
        server.loop.activity = route?.pattern

        let trace = head.block.value("traceparent").flatMap { TraceContext(traceparent: $0)?.child() } ?? TraceContext.make()
        let context = RequestContextValue(requestID: requestID, trace: trace)
        let match = pendingRequest.match
        let router = server.router
        task = Task(on: server.loop) { [self] in
            let response = await RequestContext.$current.withValue(context) { await router.respond(to: request, match: match) }
            if case .events(let body) = response.body, request.method != .head {
                startStream(response, body)
                do {
                    try await RequestContext.$current.withValue(context) {
                        try await body.run(EventStream(client: EventStreamClient(self, on: server.loop)))
                    }
                } catch {
                    if !Task.isCancelled {
                        Logger("http").warning("an event stream ended with an error", ["error": .string(String(reflecting: error))])
                    }
                }
                endStream()
            } else {
                finish(response)
            }
        }
    }

    private func finish(_ response: Response) {
        server.loop.checkIsolated()
        guard let inFlight else { return }
        self.inFlight = nil
        task = nil
        release(inFlight.reservedBytes)
        let draining = server.isDraining
        let keepAlive = inFlight.keepAlive && !sawEnd && !draining
        send(response, for: inFlight, closes: !keepAlive)
        if isClosed { return }
        if keepAlive {
            phase = .head
            scanned = 0
            deadline = server.now + server.nanoseconds.idle
            if !watcher.wantsRead { watcher.wantsRead = true }
            server.shared.observe?(.answered)
            if !pending.isEmpty { consumePending() }
        } else {
            beginClosing()
            server.shared.observe?(.answered)
        }
    }

    private func send(_ response: Response, for request: InFlight, closes: Bool) {
        let out = server.output
        out.clear()
        let body: [UInt8]
        if case .bytes(let bytes) = response.body { body = bytes } else { body = [] }
        ResponseHead.write(
            response,
            contentLength: body.count,
            requestID: request.requestID,
            date: server.date.current(),
            closes: closes,
            saysKeepAlive: request.saysKeepAlive,
            to: out
        )
        let withoutBody = request.method == .head || response.status.forbidsBody
        if withoutBody || body.isEmpty {
            write(out.bytes)
        } else if body.count <= 32 * 1024 {
            out.append(body)
            write(out.bytes)
        } else {
            if let one = response.held { held.append(one) }
            write(Array(out.bytes), flush: false)
            write(body)
        }
        record(request, status: response.status.code, bytes: withoutBody ? 0 : body.count)
    }

    private func record(_ request: InFlight, status: Int, bytes: Int) {
        let elapsed = server.now - request.startedAt
        server.metrics.record(route: request.route, status: status, seconds: Double(elapsed) / 1e9)
        server.accessLog.write(
            method: request.method,
            path: request.block.text(request.path),
            route: request.route?.pattern,
            status: status,
            bytes: bytes,
            nanoseconds: elapsed,
            requestID: request.requestID,
            peer: peer
        )
    }

    /// Answers what could not be read, and hangs up.
    private func fail(_ fault: MessageFault) {
        if case .body(let request) = phase { release(request.reserved) }
        let requestID = RequestID.make()
        let request = InFlight(
            method: nil,
            block: .empty,
            path: 0..<0,
            route: nil,
            requestID: requestID,
            keepAlive: false,
            saysKeepAlive: false,
            startedAt: server.now,
            reservedBytes: 0
        )
        phase = .busy
        send(.problem(fault.problem, requestID: requestID), for: request, closes: true)
        beginClosing()
    }

    // MARK: Streams

    private func startStream(_ response: Response, _ body: EventStreamBody) {
        guard let inFlight else { return }
        phase = .streaming
        streamEndsAt = body.until
        let out = server.output
        out.clear()
        var response = response
        response.headers["Cache-Control"] = "no-store"
        // nginx would gather the stream otherwise.
        response.headers["X-Accel-Buffering"] = "no"
        ResponseHead.write(
            response,
            contentLength: nil,
            requestID: inFlight.requestID,
            date: server.date.current(),
            closes: true,
            saysKeepAlive: false,
            to: out
        )
        out.append("retry: ")
        out.append(body.retryMilliseconds)
        out.append("\n\n")
        // A slow client is noticed here, not in megabytes of kernel memory.
        var bytes: Int32 = 64 * 1024
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        write(out.bytes)
        record(inFlight, status: response.status.code, bytes: 0)
    }

    /// False when the stream has ended, and when it ends now because too much waits for the client already. One piece may be larger than what may wait:
    /// somebody who comes back is owed much at once, and is given the time to take it.
    func streamWrite(_ bytes: [UInt8]) -> Bool {
        guard case .streaming = phase, !sawEnd else { return false }
        unsentLargePiece = min(unsentLargePiece, unsent)
        let isLarge = bytes.count > server.limits.maximumUnsentEventBytes && unsentLargePiece == 0
        if isLarge, unsent <= server.limits.maximumUnsentEventBytes {
            unsentLargePiece = bytes.count
        } else if unsent - unsentLargePiece + bytes.count > server.limits.maximumUnsentEventBytes {
            server.metrics.slowStreams.increment()
            endStream(saying: "too slow: more than \(server.limits.maximumUnsentEventBytes) bytes were waiting; come back with Last-Event-ID")
            return false
        }
        write(bytes)
        return !isClosed
    }

    /// Ends the stream with a last line, behind what is queued; a client that never takes it is hung up on by the time limit for writing.
    func endStream(saying reason: String) {
        guard case .streaming = phase else { return }
        write(EventStream.encode(comment: reason))
        endStreamNow()
    }

    private func endStream() {
        release(inFlight?.reservedBytes ?? 0)
        inFlight = nil
        task = nil
        guard case .streaming = phase else { return }
        beginClosing()
    }

    // MARK: Writing

    private func write(_ bytes: UnsafeRawBufferPointer) {
        if case .closed = phase { return }
        var sent = 0
        if output.isEmpty {
            sent = transmit(bytes)
            if sent < 0 { return gone() }
            lastWrite = server.now
        }
        if sent < bytes.count { queue(Array(bytes[sent...])) }
    }

    private func write(_ bytes: [UInt8], flush: Bool = true) {
        if case .closed = phase { return }
        // Only what leaves counts as progress: a client that takes nothing must not be kept by what is queued for it.
        if output.isEmpty {
            lastWrite = server.now
            if flush {
                // Most take all at once: nothing is queued then, and nothing watched.
                let sent = bytes.withUnsafeBytes { transmit($0) }
                if sent < 0 { return gone() }
                if sent == bytes.count { return }
                queue(bytes)
                outputOffset = sent
                unsent -= sent
                return
            }
        }
        queue(bytes)
        if flush { writable() }
    }

    private func queue(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        output.append(bytes)
        unsent += bytes.count
        watcher.wantsWrite = true
    }

    private func transmit(_ bytes: UnsafeRawBufferPointer) -> Int {
        while true {
            let sent = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if sent >= 0 { return sent }
            if errno == EINTR { continue }
            return errno == EAGAIN ? 0 : -1
        }
    }

    private func writable() {
        while let first = output.first {
            let sent = first.withUnsafeBytes { transmit(UnsafeRawBufferPointer(rebasing: $0[outputOffset...])) }
            if sent < 0 { return gone() }
            if sent == 0 { break }
            lastWrite = server.now
            outputOffset += sent
            unsent -= sent
            if outputOffset == first.count {
                output.removeFirst()
                outputOffset = 0
            }
        }
        if output.isEmpty {
            held = []
            watcher?.wantsWrite = false
            switch phase {
            case .closing: shutDownOutput()
            case .head:
                deadline = server.now + server.nanoseconds.idle
                isReadingHead = false
                if !watcher.wantsRead { watcher.wantsRead = true }
                if !pending.isEmpty { consumePending() }
            default: break
            }
        } else {
            watcher?.wantsWrite = true
        }
    }

    // MARK: Ending

    private func inputEnded() {
        watcher.wantsRead = false
        sawEnd = true
        switch phase {
        case .head where !output.isEmpty:
            // It has said all it wanted, and still takes what it asked for.
            phase = .closing
        case .head, .body, .closing: close()
        case .busy, .streaming: clientGone()
        case .closed: break
        }
        server.shared.observe?(.inputEnded)
    }

    /// Tells the handler that nobody waits any more; one that changes something runs to its end.
    private func clientGone() {
        if inFlight?.method?.isSafe ?? true { task?.cancel() }
    }

    private func gone() {
        sawEnd = true
        clientGone()
        close()
        server.shared.observe?(.inputEnded)
    }

    /// Lets the last answer out, then hangs up; what the client still sends is read and dropped for a while, so that no reset eats the answer.
    private func beginClosing() {
        if case .closed = phase { return }
        phase = .closing
        pending = []
        deadline = server.now + (output.isEmpty ? server.nanoseconds.linger : server.nanoseconds.write)
        if sawEnd && output.isEmpty { return close() }
        watcher.wantsRead = !sawEnd
        if output.isEmpty { shutDownOutput() }
    }

    private func shutDownOutput() {
        if sawEnd { return close() }
        shutdown(descriptor, Int32(SHUT_WR))
        deadline = server.now + server.nanoseconds.linger
    }

    private func close() {
        if case .closed = phase { return }
        if case .body(let request) = phase { release(request.reserved) }
        phase = .closed
        output = []
        held = []
        pending = []
        unsent = 0
        watcher.close()
        Glibc.close(descriptor)
        server.closed(descriptor)
        // A handler that still runs keeps its reservation until it ends, in finish().
    }

    // MARK: Time

    /// Called about once a second.
    func tick(now: UInt64) {
        if !output.isEmpty, now > lastWrite + server.nanoseconds.write { return gone() }
        switch phase {
        case .streaming:
            if let streamEndsAt, server.shared.time.now() >= streamEndsAt { return endStreamNow() }
            if output.isEmpty, now > lastWrite + server.nanoseconds.heartbeat { _ = streamWrite(Array(": alive\n\n".utf8)) }
        case .head:
            // An answer that is still being taken is not an idle connection; whether it moves is checked above.
            guard now > deadline, output.isEmpty else { return }
            if isReadingHead || !pending.isEmpty { fail(.timedOut) } else { close() }
        case .body: if now > deadline { fail(.timedOut) }
        case .closing: if now > deadline, output.isEmpty { close() }
        case .busy, .closed: break
        }
    }

    private func endStreamNow() {
        task?.cancel()
        if case .streaming = phase { beginClosing() }
    }

    /// The server stops: idle connections end now, requests in flight end with their answer, streams end.
    func drain() {
        switch phase {
        case .head where !output.isEmpty: phase = .closing
        case .head where pending.isEmpty && !isReadingHead: close()
        case .streaming: endStreamNow()
        default: break
        }
    }

    func abort() {
        task?.cancel()
        close()
    }
}
