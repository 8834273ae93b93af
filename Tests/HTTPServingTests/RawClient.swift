import Contracts
import Glibc
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

/// A client that sends exactly the bytes that a test wants, on a thread of its own.
actor RawClient {
    private let thread: DedicatedThread
    private let descriptor: Int32
    private var isOpen = true
    private var buffered: [UInt8] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(port: Int, receiveBufferBytes: Int32? = nil) throws {
        thread = try DedicatedThread.start(name: "raw-client")
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var bytes = receiveBufferBytes { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, 4) }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let socket = descriptor
        let connected = SocketAddress.with("127.0.0.1", port: port) { _, pointer, length in connect(socket, pointer, length) }
        guard connected == 0 else { throw HTTPClientError.notConnected(host: "127.0.0.1", code: errno) }
    }

    func send(_ text: String) { _ = send(Array(text.utf8)) }

    /// Sends everything; false once the server takes nothing more.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let sent = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress.map { $0 + offset }, bytes.count - offset, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return false }
            offset += sent
        }
        return true
    }

    /// Whether the server has answered or hung up.
    func hasNews() -> Bool {
        var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&state, 1, 0) == 1
    }

    /// Everything until the server hangs up.
    func readToEnd() -> String {
        while fill() {}
        defer { buffered = [] }
        return String(decoding: buffered, as: UTF8.self)
    }

    /// Everything up to and with `mark`; what has come if the server hangs up before.
    func read(through mark: String) -> String {
        let mark = Array(mark.utf8)
        while true {
            if let range = buffered.firstRange(of: mark) {
                let text = String(decoding: buffered[..<range.upperBound], as: UTF8.self)
                buffered.removeSubrange(..<range.upperBound)
                return text
            }
            guard fill() else { return readToEnd() }
        }
    }

    /// Takes that many bytes, or what has come when the server hangs up before; gives how many there were.
    func read(bytes count: Int) -> Int {
        while buffered.count < count, fill() {}
        let taken = min(count, buffered.count)
        buffered.removeSubrange(..<taken)
        return taken
    }

    private func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        var read = recv(descriptor, &chunk, chunk.count, 0)
        // With a limit of time it is interrupted when the process was stopped and goes on.
        while read < 0, errno == EINTR { read = recv(descriptor, &chunk, chunk.count, 0) }
        if read < 0, errno == EAGAIN { Issue.record("the server has neither sent anything nor hung up for a minute") }
        guard read > 0 else { return false }
        buffered += chunk[..<read]
        return true
    }

    func endInput() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        guard isOpen else { return }
        isOpen = false
        Glibc.close(descriptor)
    }

    func finish() async {
        close()
        let thread = thread
        Task.detached { await thread.stop() }
    }
}

extension HTTPLimits {
    /// Limits that no machine is too slow for: a test shortens the one that it is about, so that no other can strike instead.
    static var patient: HTTPLimits {
        var limits = HTTPLimits()
        limits.headTimeout = .seconds(600)
        limits.bodyTimeout = .seconds(600)
        limits.idleTimeout = .seconds(600)
        limits.writeTimeout = .seconds(600)
        limits.drainTimeout = .seconds(60)
        limits.accessLog = .off
        return limits
    }
}

/// What befalls the connections of a server, to wait for.
final class ServerEvents: Sendable {
    private let signals = Mutex<[ServerShared.Event: TestSignal<Void>]>([:])

    private func signal(of event: ServerShared.Event) -> TestSignal<Void> {
        signals.withLock { signals in
            if let signal = signals[event] { return signal }
            let signal = TestSignal<Void>()
            signals[event] = signal
            return signal
        }
    }

    func note(_ event: ServerShared.Event) { signal(of: event).signal() }

    /// Waits for the next happening of that kind; one that nobody waited for counts.
    func next(_ event: ServerShared.Event) async throws { try await signal(of: event).next() }

    /// How many happenings of that kind nobody has waited for.
    func pendingCount(of event: ServerShared.Event) -> Int { signal(of: event).pendingCount }

    /// Waits until the server has looked at all limits as they are now: the sweep that may be under way does not count.
    func sweep() async throws {
        let swept = signal(of: .swept)
        for _ in 0..<swept.pendingCount { try await swept.next() }
        for _ in 0..<2 { try await swept.next() }
    }
}

/// Runs `body` against a server of its own on one loop.
func withServer(
    _ router: Router,
    limits: HTTPLimits? = nil,
    loops count: Int = 1,
    time: any TimeSource = SystemTimeSource(),
    events: ServerEvents? = nil,
    _ body: (HTTPServer, Int) async throws -> Void
) async throws {
    let settings = limits ?? .patient
    var loops: [EventLoop] = []
    for index in 0..<count { loops.append(try EventLoop.start(name: "test-\(index)")) }
    var observe: (@Sendable (ServerShared.Event) -> Void)?
    if let events { observe = { events.note($0) } }
    let shared = ServerShared(time: time, observe: observe)
    let server = HTTPServer(name: "test", address: "127.0.0.1", port: 0, router: router, loops: loops, limits: settings, shared: shared)
    try await server.start()
    let result: Result<Void, any Error>
    do { result = .success(try await body(server, server.boundPort)) } catch { result = .failure(error) }
    await server.stop()
    for loop in loops { await loop.stop() }
    try result.get()
}

/// Sends one thing and gives everything that comes back until the server hangs up.
func exchange(_ port: Int, _ text: String) async throws -> String { try await exchange(port, Array(text.utf8)) }

func exchange(_ port: Int, _ bytes: [UInt8]) async throws -> String {
    let client = try RawClient(port: port)
    await client.send(bytes)
    let answer = await client.readToEnd()
    await client.finish()
    return answer
}

/// Waits until `condition` holds, at most for a minute: a machine without time to spare must not make a test fail.
func eventuallyHolds(_ condition: @Sendable () async -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
        if await condition() { return true }
        guard ContinuousClock.now < deadline else { return false }
        try? await Task.sleep(for: .milliseconds(5))
    }
}

/// A clock that moves when a test says so; sleeping on it gives way and returns.
final class TestClock: TimeSource {
    private let state = Mutex<Int64>(1_000_000_000_000_000)

    func now() -> Timestamp { Timestamp(microseconds: state.withLock { $0 } / 1000 + 1_790_000_000_000_000) }
    func monotonicNanoseconds() -> UInt64 { UInt64(state.withLock { $0 }) }
    func sleep(for duration: Duration) async throws { try await Task.sleep(for: .milliseconds(5)) }
    func advance(seconds: Double) { state.withLock { $0 += Int64(seconds * 1e9) } }
}
