import Contracts
import LineConnections
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

/// What the server of a test has heard and seen.
private final class Heard: Sendable {
    let lines = TestSignal<String>()
    let peers = TestSignal<Int>()
}

@Suite(.timeLimit(.minutes(10))) struct LineConnectionTests {
    /// Lends a server and what it heard; `greet` is sent to each client as it comes.
    private func withServer(
        greeting: [UInt8] = [],
        _ body: @escaping @Sendable (EventLoop, LineServer, Heard) async throws -> Void
    ) async throws {
        try await withLoop { loop in
            let heard = Heard()
            let server = try await LineServer.start(
                on: loop,
                onConnect: { peer in
                    if !greeting.isEmpty { peer.send(greeting) }
                    heard.peers.signal(peer.number)
                },
                onLine: { _, line in heard.lines.signal(line) }
            )
            do { try await body(loop, server, heard) } catch {
                await server.stop()
                throw error
            }
            await server.stop()
        }
    }

    private func all(_ connection: LineConnection) async throws -> [String] {
        var lines: [String] = []
        while let batch = try await connection.next() { lines += batch.lines }
        return lines
    }

    @Test func linesGoBothWaysAndTheEndIsTheEnd() async throws {
        try await withServer(greeting: Array("one\r\ntwo\n\r\nth".utf8)) { loop, server, heard in
            let connection = try await LineConnection.connect(to: "localhost", port: server.port, on: loop)
            try await connection.send("S,SET PROTOCOL,6.2")
            try await connection.send("")
            #expect(try await heard.lines.next() == "S,SET PROTOCOL,6.2")
            #expect(try await heard.lines.next() == "")
            _ = await server.onLoop { server in
                for peer in server.peers {
                    peer.send(Array("ree \u{7}".utf8) + [0xE9, 0x0D, 0x0A])
                    peer.finish()
                }
            }
            #expect(try await all(connection) == ["one", "two", "", "three \u{7}é"])
            // The end stays the end, and nothing can be sent any more.
            #expect(try await connection.next() == nil)
            await #expect(throws: LineConnectionError.self) { try await connection.send("late") }
        }
    }

    @Test func halfALineIsNoLine() async throws {
        try await withServer(greeting: Array("whole\r\nhal".utf8)) { loop, server, heard in
            let connection = try await LineConnection.connect(to: "127.0.0.1", port: server.port, on: loop)
            _ = try await heard.peers.next()
            _ = await server.onLoop { server in for peer in server.peers { peer.finish() } }
            #expect(try await connection.next()?.lines == ["whole"])
            await #expect(throws: LineConnectionError.cutMidLine(peer: connection.peer)) { try await connection.next() }
        }
    }

    @Test(arguments: ["a\r\nb", "a\nb", "a\rb", "a\0b"])
    func whatIsNotOneLineIsNotSent(_ text: String) async throws {
        try await withServer { loop, server, heard in
            let connection = try await LineConnection.connect(to: "127.0.0.1", port: server.port, on: loop)
            await #expect(throws: LineConnectionError.notOneLine) { try await connection.send(text) }
            try await connection.send("good")
            #expect(try await heard.lines.next() == "good")
            await connection.close()
        }
    }

    @Test func aLineWithoutAnEndIsRefused() async throws {
        var configuration = LineConnectionConfiguration()
        configuration.maximumLineBytes = 1_000
        let limited = configuration
        try await withServer(greeting: [UInt8](repeating: 0x41, count: 70_000)) { loop, server, _ in
            let connection = try await LineConnection.connect(to: "127.0.0.1", port: server.port, on: loop, configuration: limited)
            await #expect(throws: LineConnectionError.lineTooLong(peer: connection.peer, maximumBytes: 1_000)) { try await connection.next() }
        }
    }

    @Test func aSlowReaderHoldsThePeerUpAndLosesNothing() async throws {
        var configuration = LineConnectionConfiguration()
        configuration.maximumUnreadBytes = 4_096
        let limited = configuration
        let count = 400_000
        let bytes = Array((0..<count).map { "line \($0)\r\n" }.joined().utf8)
        try await withServer { loop, server, heard in
            let connection = try await LineConnection.connect(to: "127.0.0.1", port: server.port, on: loop, configuration: limited)
            _ = try await heard.peers.next()
            // More than all socket buffers hold, with nobody reading: the connection must not take it in.
            _ = await server.onLoop { server in
                for peer in server.peers {
                    peer.send(bytes)
                    peer.finish()
                }
            }
            for _ in 0..<50 { await server.onLoop { _ in } }
            var seen = 0
            var largest = 0
            while let batch = try await connection.next() {
                largest = max(largest, batch.lines.reduce(0) { $0 + $1.utf8.count + 2 })
                for line in batch.lines {
                    if line != "line \(seen)" { Issue.record("line \(seen) is \(line)") }
                    seen += 1
                }
            }
            #expect(seen == count)
            #expect(largest <= 4_096 + 65_536)
        }
    }

    @Test func silenceIsToldByTheClockGiven() async throws {
        let time = ManualTimeSource()
        try await withServer { loop, server, heard in
            let connection = try await LineConnection.connect(to: "127.0.0.1", port: server.port, on: loop, time: time)
            _ = try await heard.peers.next()
            await connection.watchSilence(.seconds(9))
            func nextRest() async throws -> Duration {
                while true {
                    let rest = try await time.fellAsleep.next()
                    // Five seconds are the limit for connecting, slept on the same clock.
                    if rest != .seconds(5) { return rest }
                }
            }
            #expect(try await nextRest() == .seconds(9))
            time.advance(by: .seconds(3))
            await server.onLoop { server in for peer in server.peers { peer.send(line: "here") } }
            #expect(try await connection.next()?.lines == ["here"])
            time.advance(by: .seconds(6))
            #expect(try await nextRest() == .seconds(3))
            // A piece of a line is no sign of life.
            await server.onLoop { server in for peer in server.peers { peer.send(Array("hal".utf8)) } }
            time.advance(by: .seconds(3))
            await #expect(throws: LineConnectionError.silent(peer: connection.peer, after: .seconds(9))) { try await connection.next() }
        }
    }

    @Test func noOneListens() async throws {
        try await withServer { loop, server, _ in
            let port = server.port
            await server.stop()
            await #expect(throws: LineConnectionError.self) { try await LineConnection.connect(to: "127.0.0.1", port: port, on: loop) }
            await #expect(throws: LineConnectionError.nameNotResolved("no-such-host.invalid")) {
                try await LineConnection.connect(to: "no-such-host.invalid", port: port, on: loop)
            }
        }
    }

    @Test func aCancelledReadLeavesTheConnectionAsItWas() async throws {
        try await withServer { loop, server, heard in
            let connection = try await LineConnection.connect(to: "127.0.0.1", port: server.port, on: loop)
            _ = try await heard.peers.next()
            let reading = Task { try await connection.next() }
            reading.cancel()
            await #expect(throws: CancellationError.self) { try await reading.value }
            await server.onLoop { server in for peer in server.peers { peer.send(line: "after") } }
            #expect(try await connection.next()?.lines == ["after"])
            await connection.close()
            await #expect(throws: LineConnectionError.closed) { try await connection.next() }
        }
    }
}
