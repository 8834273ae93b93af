import Contracts
import LineConnections
import ServiceRuntime

/// What the two streaming doors have in common: connect, watch everything, read, and after a loss wait and begin again.
///
/// The owner is an actor on the same loop; it says what to send and what a line means.
protocol IQFeedStreaming: Actor {
    var door: IQFeedDoor { get }
    var connector: IQFeedConnector { get }
    nonisolated var events: SourceEvents { get }
    /// How long the door may be silent.
    var silence: Duration { get }
    /// What is sent first on a new connection, the watches included.
    func opening() -> [String]
    /// Takes one line.
    func take(_ line: UnsafeBufferPointer<UInt8>)
    /// The connection in use; nothing while there is none.
    var connection: LineConnection? { get set }
    var backoff: Backoff { get set }
    /// The last moment at which a line was read.
    var lastHeardAt: Timestamp? { get set }
    /// What is sent when the door has been silent for a part of `silence`; nothing where it speaks by itself.
    var probe: String? { get }
}

extension IQFeedStreaming {
    /// Works until its task is cancelled.
    func keepRunning() async {
        while !Task.isCancelled {
            do {
                try await runOnce()
                await lost("the client program ended the connection")
            } catch is CancellationError {
                await lost("stopping")
            } catch {
                await lost("\(error)")
            }
            backoff.failed()
            guard (try? await connector.time.sleep(for: backoff.delay)) != nil else { break }
        }
        events.finish()
    }

    private func runOnce() async throws {
        let session = try await connector.connect(door)
        let connection = session.connection
        self.connection = connection
        for line in session.greeting {
            var line = line
            line.withUTF8 { take($0) }
        }
        for line in opening() { try await connection.send(line) }
        await connection.watchSilence(silence)
        events.push(.live, now: connector.time.now())
        let prober = startProbing(connection)
        defer { prober?.cancel() }
        let beganAt = connector.time.monotonicNanoseconds()
        while let batch = try await connection.next() {
            try Task.checkCancellation()
            lastHeardAt = connector.time.now()
            batch.forEachLine { take($0) }
            // Only a connection that held is worth a quick reconnect.
            if connector.time.monotonicNanoseconds() - beganAt >= 10_000_000_000 { backoff.succeeded() }
        }
    }

    private func startProbing(_ connection: LineConnection) -> Task<Void, Never>? {
        guard let probe else { return nil }
        let (pause, time) = (silence / 3, connector.time)
        return Task(on: connector.loop) {
            while (try? await time.sleep(for: pause)) != nil { try? await connection.send(probe) }
        }
    }

    /// The reader learns that events are missing from the last line on.
    private func lost(_ reason: String) async {
        let had = connection
        connection = nil
        await had?.close()
        let now = connector.time.now()
        if had != nil { events.push(.hole(since: lastHeardAt ?? now, .disconnected(reason)), now: now) }
        Logger("iqfeed-\(door.rawValue)").warning("the stream is down", ["reason": .string(reason)])
    }
}

/// A line of a stream as fields: bytes between commas, nothing copied.
struct IQFeedFields {
    private let line: UnsafeBufferPointer<UInt8>
    private let edges: [Int]

    init(_ line: UnsafeBufferPointer<UInt8>) {
        self.line = line
        var edges = [-1]
        for at in line.indices where line[at] == 0x2C { edges.append(at) }
        edges.append(line.count)
        self.edges = edges
    }

    var count: Int { edges.count - 1 }

    func bytes(_ index: Int) -> UnsafeBufferPointer<UInt8> {
        guard index >= 0, index < count else { return UnsafeBufferPointer(start: nil, count: 0) }
        return UnsafeBufferPointer(rebasing: line[(edges[index] + 1)..<edges[index + 1]])
    }

    func text(_ index: Int) -> String { LineBatch.text(bytes(index)) }
}
