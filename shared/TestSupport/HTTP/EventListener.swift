public import Contracts
internal import Glibc
internal import ServiceRuntime

/// Listens to a stream of server-sent events on a socket and a thread of its own, and reads when it is told to.
public actor EventListener {
    /// One event, as a client reads it.
    public struct Event: Sendable {
        /// Its id, from which the stream goes on.
        public var id: String?
        /// Its name.
        public var name = ""
        /// Its data.
        public var data: JSONValue = .null

        /// Its id, where that is a number.
        public var place: Int64? { id.flatMap { Int64($0) } }
        /// A text of its data.
        public subscript(_ member: String) -> String? { data[member]?.string }
    }

    private nonisolated let thread: DedicatedThread
    private let descriptor: Int32
    private var buffered: [UInt8] = []
    private var isOpen = true
    /// Comments so far.
    public private(set) var comments: [String] = []

    /// Reading waits, so it has a thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private init(port: Int) throws {
        thread = try DedicatedThread.start(name: "listener")
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let socket = descriptor
        guard SocketAddress.with("127.0.0.1", port: port, { _, pointer, length in connect(socket, pointer, length) }) == 0 else {
            throw TestSupportError("not connected: \(errno)")
        }
    }

    /// Asks for a stream and reads the head of the answer; throws with its text when it is no stream.
    public static func open(port: Int, path: String, headers: [(String, String)], lastEventID: String? = nil) async throws -> EventListener {
        let listener = try EventListener(port: port)
        var head = "GET \(path) HTTP/1.1\r\nHost: a\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let lastEventID { head += "Last-Event-ID: \(lastEventID)\r\n" }
        try await listener.begin(Array((head + "\r\n").utf8))
        return listener
    }

    private func begin(_ request: [UInt8]) throws {
        guard Glibc.send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw TestSupportError("not sent: \(errno)")
        }
        let answer = block(ending: "\r\n\r\n") ?? ""
        guard answer.hasPrefix("HTTP/1.1 200") else { throw TestSupportError(answer) }
    }

    /// The next event; nothing when the stream has ended.
    public func next() -> Event? {
        while let text = block(ending: "\n\n") {
            var event = Event()
            for line in text.split(separator: "\n") {
                if line.hasPrefix(": ") { comments.append(String(line.dropFirst(2))) }
                if line.hasPrefix("id: ") { event.id = String(line.dropFirst(4)) }
                if line.hasPrefix("event: ") { event.name = String(line.dropFirst(7)) }
                if line.hasPrefix("data: ") { event.data = (try? WireJSON.parse(Array(line.dropFirst(6).utf8))) ?? .null }
            }
            if !event.name.isEmpty { return event }
        }
        return nil
    }

    /// Events up to the first that `isLast`, or all until the stream ends.
    public func events(through isLast: @Sendable (Event) -> Bool) -> [Event] {
        var events: [Event] = []
        while let event = next() {
            events.append(event)
            if isLast(event) { break }
        }
        return events
    }

    /// All further events until the stream ends.
    public func rest() -> [Event] { events { _ in false } }

    private func block(ending mark: String) -> String? {
        let mark = Array(mark.utf8)
        while true {
            if let range = buffered.firstRange(of: mark) {
                let text = String(decoding: buffered[..<range.lowerBound], as: UTF8.self)
                buffered.removeSubrange(..<range.upperBound)
                return text
            }
            var chunk = [UInt8](repeating: 0, count: 64 * 1024)
            var read = recv(descriptor, &chunk, chunk.count, 0)
            // With a limit of time it is interrupted when the process was stopped and goes on.
            while read < 0, errno == EINTR { read = recv(descriptor, &chunk, chunk.count, 0) }
            guard read > 0 else { return nil }
            buffered += chunk[..<read]
        }
    }

    /// Goes away.
    public func finish() {
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
        let thread = thread
        Task.detached { await thread.stop() }
    }
}
