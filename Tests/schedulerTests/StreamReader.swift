import Contracts
import Glibc
import ServiceRuntime
import TestSupport

/// Reads a stream of server-sent events from a socket, on a thread of its own.
actor StreamReader {
    /// One event.
    struct Event: Sendable {
        var id: Int64?
        var name = ""
        var data: JSONValue = .null

        var state: String? { data["state"]?.string }
        var version: Int64? { data["version"]?.integer }
        var job: JobID? { data["job_id"]?.string.flatMap { JobID($0) } }
    }

    private let thread: DedicatedThread
    private let descriptor: Int32
    private var buffered: [UInt8] = []
    /// The last comment: a stream that ends says why.
    private(set) var lastComment = ""

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private init(port: Int) throws {
        thread = try DedicatedThread.start(name: "reader")
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let socket = descriptor
        guard SocketAddress.with("127.0.0.1", port: port, { _, pointer, length in connect(socket, pointer, length) }) == 0 else {
            throw TestSupportError("not connected: \(errno)")
        }
    }

    /// Asks for a stream; throws with the first line of the answer when it is none.
    static func open(port: Int, path: String, headers: [(String, String)], lastEventID: Int64? = nil) async throws -> StreamReader {
        let reader = try StreamReader(port: port)
        var head = "GET \(path) HTTP/1.1\r\nHost: a\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let lastEventID { head += "Last-Event-ID: \(lastEventID)\r\n" }
        try await reader.begin(Array((head + "\r\n").utf8))
        return reader
    }

    private func begin(_ request: [UInt8]) throws {
        guard Glibc.send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw TestSupportError("not sent: \(errno)")
        }
        let answer = block(ending: "\r\n\r\n") ?? ""
        guard answer.hasPrefix("HTTP/1.1 200") else { throw TestSupportError(String(answer.prefix { $0 != "\r\n" })) }
    }

    /// The next event; nil when the stream has ended.
    func next() -> Event? {
        while let text = block(ending: "\n\n") {
            var event = Event()
            for line in text.split(separator: "\n") {
                if line.hasPrefix(": ") { lastComment = String(line.dropFirst(2)) }
                if line.hasPrefix("id: ") { event.id = Int64(line.dropFirst(4)) }
                if line.hasPrefix("event: ") { event.name = String(line.dropFirst(7)) }
                if line.hasPrefix("data: ") { event.data = (try? WireJSON.parse(Array(line.dropFirst(6).utf8))) ?? .null }
            }
            if !event.name.isEmpty { return event }
        }
        return nil
    }

    /// Events up to the first that `isLast`, or all until the end of the stream.
    func events(through isLast: @Sendable (Event) -> Bool) -> [Event] {
        var events: [Event] = []
        while let event = next() {
            events.append(event)
            if isLast(event) { break }
        }
        return events
    }

    private func block(ending mark: String) -> String? {
        let mark = Array(mark.utf8)
        while true {
            if let range = buffered.firstRange(of: mark) {
                let text = String(decoding: buffered[..<range.lowerBound], as: UTF8.self)
                buffered.removeSubrange(..<range.upperBound)
                return text
            }
            var chunk = [UInt8](repeating: 0, count: 64 * 1024)
            let read = recv(descriptor, &chunk, chunk.count, 0)
            guard read > 0 else { return nil }
            buffered += chunk[..<read]
        }
    }

    func finish() async {
        Glibc.close(descriptor)
        let thread = thread
        Task.detached { await thread.stop() }
    }
}
