public import Contracts

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

    /// Runs the stream into `sink` without a connection: for tests.
    public func collect(into sink: @escaping @Sendable ([UInt8]) async -> Bool) async throws {
        try await run(EventStream(sink: sink))
    }
}

/// Writes server-sent events to one client.
public struct EventStream: Sendable {
    private let sink: @Sendable ([UInt8]) async -> Bool

    init(sink: @escaping @Sendable ([UInt8]) async -> Bool) { self.sink = sink }

    /// Sends an event; false when the client has gone or takes too little, and nothing more will be sent.
    ///
    /// - Parameters:
    ///   - id: a durable coordinate from which any replica can resume; the client brings it back as `Last-Event-ID`.
    ///   - event: the event's name.
    ///   - data: the payload; may have several lines.
    public func send(id: String? = nil, event: String? = nil, data: String) async -> Bool {
        await sink(Self.encode(id: id, event: event, data: data))
    }

    /// Sends a line that clients ignore.
    public func comment(_ text: String) async -> Bool {
        await sink(Array(": \(Self.oneLine(text))\n\n".utf8))
    }

    static func encode(id: String?, event: String?, data: String) -> [UInt8] {
        var text = ""
        if let id { text += "id: \(oneLine(id))\n" }
        if let event { text += "event: \(oneLine(event))\n" }
        // A carriage return ends a line for a browser too.
        let lines = data.replacing("\r\n", with: "\n").split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }
        for line in lines { text += "data: \(line)\n" }
        text += "\n"
        return Array(text.utf8)
    }

    private static func oneLine(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 ? " " : Character($0) })
    }
}
