public import Contracts
internal import ServiceRuntime

/// What runs behind an answer of server-sent events.
public struct EventStreamBody: Sendable {
    let retryMilliseconds: Int
    let until: Timestamp?
    let run: @Sendable (EventStream) async throws -> Void

    /// A stream that `run` writes. Its task is cancelled when the client goes away or the server stops, and the stream ends when it returns.
    ///
    /// - Parameters:
    ///   - retryMilliseconds: after what time a client that lost the stream should come back.
    ///   - until: when the caller's credential ends: the stream closes then.
    public init(retryMilliseconds: Int = 2000, until: Timestamp? = nil, run: @escaping @Sendable (EventStream) async throws -> Void) {
        self.retryMilliseconds = retryMilliseconds
        self.until = until
        self.run = run
    }
}

/// Writes server-sent events to one client.
public struct EventStream: Sendable {
    let client: EventStreamClient

    /// Sends an event; false when the client has gone or takes too little, and nothing more will be sent.
    ///
    /// - Parameters:
    ///   - id: a durable coordinate from which any replica can resume; the client brings it back as `Last-Event-ID`.
    ///   - event: the event's name.
    ///   - data: the payload; may have several lines.
    public func send(id: String? = nil, event: String? = nil, data: String) async -> Bool {
        await client.send(Self.encode(id: id, event: event, data: data))
    }

    /// Sends a line that clients ignore.
    public func comment(_ text: String) async -> Bool { await client.send(Self.encode(comment: text)) }

    /// Ends the stream behind what is on its way, with a last line that says why.
    public func end(_ reason: String) {
        let client = client
        client.loop.execute { client.connection?.endStream(saying: reason) }
    }

    /// Returns when the stream has ended, from whichever side: for a body that leaves the writing to an ``EventGroup``.
    public func untilItEnds() async {
        let (silence, never) = AsyncStream.makeStream(of: Never.self)
        for await _ in silence {}
        withExtendedLifetime(never) {}
    }

    /// An event as it is sent: made once where many are sent the same.
    public static func encode(id: String? = nil, event: String?, data: String) -> [UInt8] {
        var text = ""
        if let id { text += "id: \(oneLine(id))\n" }
        if let event { text += "event: \(oneLine(event))\n" }
        // A carriage return ends a line for a browser too.
        let lines = data.replacing("\r\n", with: "\n").split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }
        for line in lines { text += "data: \(line)\n" }
        text += "\n"
        return Array(text.utf8)
    }

    static func encode(comment text: String) -> [UInt8] { Array(": \(oneLine(text))\n\n".utf8) }

    private static func oneLine(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 ? " " : Character($0) })
    }
}

/// The connection behind a stream, as long as there is one.
///
/// Unchecked because `connection` is read on its loop only.
final class EventStreamClient: @unchecked Sendable {
    let loop: EventLoop
    private(set) weak var connection: Connection?

    init(_ connection: Connection, on loop: EventLoop) {
        self.connection = connection
        self.loop = loop
    }

    func send(_ bytes: [UInt8]) async -> Bool {
        if loop.inLoop { return write(bytes) }
        return (try? await loop.run { self.write(bytes) }) ?? false
    }

    /// Only on the loop.
    func write(_ bytes: [UInt8]) -> Bool { connection?.streamWrite(bytes) ?? false }
}
