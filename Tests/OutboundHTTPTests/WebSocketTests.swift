import ServiceRuntime
import TestSupport
import Testing

@testable import OutboundHTTP

@Suite(.timeLimit(.minutes(10))) struct WebSocketTests {
    @Test func textGoesBothWays() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.onText { _, text in ["heard \(text)", "and more"] }
            let socket = try await bench.webSocket("/stream?x=1")
            #expect(try await bench.simulator.requested.next().target == "/stream?x=1")
            try await socket.send("hello")
            #expect(text(try await socket.next()) == "heard hello")
            #expect(text(try await socket.next()) == "and more")
            let long = String(repeating: "x", count: 70_000)
            try await socket.send(long)
            #expect(text(try await socket.next()) == "heard \(long)")
            await socket.close()
            #expect(try await bench.simulator.heard.next().text == "hello")
            #expect(try await bench.simulator.heard.next().text == long)
            #expect(try await bench.simulator.heard.next().opcode == 8)
        }
    }

    @Test func piecesAreOneMessageAndPingsBetweenThemAreAnswered() async throws {
        try await OutboundBench.with { bench in
            let socket = try await bench.webSocket()
            await bench.simulator.sendFrame(0x01, Array("one ".utf8))
            await bench.simulator.sendFrame(0x89, Array("beat".utf8))
            let pong = try await bench.simulator.heard.next()
            #expect(pong.opcode == 10)
            #expect(pong.text == "beat")
            let frame = WebSimulator.frame(0x80, Array("two".utf8))
            for byte in frame { await bench.simulator.sendBytes([byte]) }
            #expect(text(try await socket.next()) == "one two")
        }
    }

    @Test func whatCameWholeIsReadBeforeTheEndIs() async throws {
        try await OutboundBench.with { bench in
            let socket = try await bench.webSocket()
            await bench.simulator.send("last")
            await bench.simulator.sendClose(1_000, "bye")
            #expect(text(try await socket.next()) == "last")
            #expect(try await socket.next() == nil)
            let other = try await bench.webSocket()
            await bench.simulator.send("last", to: 1)
            await bench.simulator.sendClose(1_008, "Excessive pings received", to: 1)
            #expect(text(try await other.next()) == "last")
            await #expect(throws: OutboundError.closed(host: other.peer, code: 1_008, reason: "Excessive pings received")) { try await other.next() }
        }
    }

    @Test func aConnectionThatIsCutInAFrameIsLost() async throws {
        try await OutboundBench.with { bench in
            let socket = try await bench.webSocket()
            await bench.simulator.sendBytes(Array(WebSimulator.frame(0x81, Array("half of it".utf8)).dropLast(4)))
            await bench.simulator.hangUp()
            await #expect(throws: OutboundError.lost(host: socket.peer, reason: "it hung up in the middle of a message")) { try await socket.next() }
            await #expect(throws: OutboundError.self) { try await socket.send("x") }
        }
    }

    @Test func whatNoServerMaySendEndsIt() async throws {
        try await OutboundBench.with { bench in
            let faults: [(first: UInt8, payload: [UInt8])] = [
                (0xC1, [0x61]), (0x83, []), (0x80, [0x61]), (0x81, [0xFF, 0xFE]), (0x09, []), (0x88, [3]), (0x89, [UInt8](repeating: 0, count: 126)),
            ]
            for (number, fault) in faults.enumerated() {
                let socket = try await bench.webSocket()
                await bench.simulator.sendFrame(fault.first, fault.payload, to: number)
                do {
                    _ = try await socket.next()
                    Issue.record("\(fault) was taken")
                } catch let error as OutboundError {
                    guard case .malformed = error else { throw error }
                }
            }
        }
    }

    @Test func aMessageThatIsTooLargeEndsIt() async throws {
        try await OutboundBench.with { bench in
            let socket = try await bench.webSocket { $0.maximumMessageBytes = 1_000 }
            // The length alone is enough: nothing is kept for it.
            await bench.simulator.sendBytes([0x81, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])
            await #expect(throws: OutboundError.tooLarge(host: socket.peer, maximumBytes: 1_000)) { try await socket.next() }
            let other = try await bench.webSocket { $0.maximumMessageBytes = 1_000 }
            for _ in 0..<3 { await bench.simulator.sendFrame(0x00 | 0x01, [UInt8](repeating: 0x61, count: 600), to: 1) }
            await #expect(throws: OutboundError.self) { try await other.next() }
        }
    }

    @Test func refusalsAreClear() async throws {
        try await OutboundBench.with { bench in
            func connect() async throws -> WebSocketConnection {
                var configuration = WebSocketConfiguration()
                configuration.outbound = bench.configuration
                return try await WebSocketConnection.connect(to: bench.simulator.webSocketURL, on: bench.loop, configuration: configuration)
            }
            let peer = "127.0.0.1:\(bench.simulator.port)"
            bench.simulator.reply { _ in .status(429, "too many", headers: ["Retry-After": "60"]) }
            await #expect(throws: OutboundError.refused(host: peer, status: 429, text: "too many", retryAfterSeconds: 60)) { try await connect() }
            bench.simulator.reply { _ in .wrongWebSocket }
            await #expect(throws: OutboundError.malformed(host: peer, reason: "it agreed with somebody else's key")) { try await connect() }
            bench.simulator.reply { _ in .hangUp }
            await #expect(throws: OutboundError.self) { try await connect() }
            bench.simulator.reply { _ in .raw([UInt8](repeating: 0x41, count: 20_000)) }
            await #expect(throws: OutboundError.malformed(host: peer, reason: "the head of its answer does not end")) { try await connect() }
        }
    }

    @Test func aServerThatNeverAgreesIsGivenUp() async throws {
        try await OutboundBench.with { bench in
            let time = ManualTimeSource()
            bench.simulator.reply { _ in .silence }
            var configuration = WebSocketConfiguration()
            configuration.outbound = bench.configuration
            let connecting = Task { [configuration] in
                try await WebSocketConnection.connect(to: bench.simulator.webSocketURL, on: bench.loop, time: time, configuration: configuration)
            }
            while try await time.fellAsleep.next() != configuration.handshakeTimeout {}
            time.advance(by: configuration.handshakeTimeout)
            await #expect(throws: OutboundError.timedOut(host: "127.0.0.1:\(bench.simulator.port)")) { try await connecting.value }
            // And who is cancelled while it waits is free at once.
            let cancelled = Task { [configuration] in
                try await WebSocketConnection.connect(to: bench.simulator.webSocketURL, on: bench.loop, time: time, configuration: configuration)
            }
            _ = try await bench.simulator.requested.next()
            _ = try await bench.simulator.requested.next()
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
        }
    }

    @Test func silenceIsAskedAboutAndThenIsTheEnd() async throws {
        try await OutboundBench.with { bench in
            let time = ManualTimeSource()
            let socket = try await bench.webSocket(time: time) {
                $0.pingAfter = .seconds(15)
                $0.silenceLimit = .seconds(40)
            }
            while try await time.fellAsleep.next() != .seconds(15) {}
            time.advance(by: .seconds(15))
            #expect(try await bench.simulator.heard.next().opcode == 9)
            // It answered: another fifteen seconds after the pong.
            #expect(try await time.fellAsleep.next() == .seconds(25))
            await bench.simulator.send("sign of life")
            #expect(text(try await socket.next()) == "sign of life")
            bench.simulator.answerPings(false)
            time.advance(by: .seconds(25))
            #expect(try await bench.simulator.heard.next().opcode == 9)
            #expect(try await time.fellAsleep.next() == .seconds(15))
            time.advance(by: .seconds(15))
            await #expect(throws: OutboundError.silent(host: socket.peer, after: .seconds(40))) { try await socket.next() }
        }
    }

    @Test func whoDoesNotReadMakesTheServerWaitAndLosesNothing() async throws {
        try await OutboundBench.with { bench in
            let socket = try await bench.webSocket { $0.maximumUnreadBytes = 10_000 }
            let count = 2_000
            for number in 0..<count { await bench.simulator.send("\(number) " + String(repeating: "x", count: 1_000)) }
            for number in 0..<count { #expect(text(try await socket.next())?.hasPrefix("\(number) ") == true) }
        }
    }

    @Test func aCancelledReaderLeavesTheConnection() async throws {
        try await OutboundBench.with { bench in
            let socket = try await bench.webSocket()
            let reading = Task { try await socket.next() }
            reading.cancel()
            await #expect(throws: CancellationError.self) { try await reading.value }
            await bench.simulator.send("still here")
            #expect(text(try await socket.next()) == "still here")
        }
    }

    @Test func overTLSAndThroughAnUntrustedDoor() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.onText { _, text in [String(repeating: text, count: 100_000)] }
            bench.simulator.reply { _ in .webSocket }
            try await bench.withTLS { port, authority in
                var configuration = WebSocketConfiguration()
                configuration.outbound = bench.configuration
                configuration.outbound.authoritiesFile = authority
                let url = "wss://localhost:\(port)/feed"
                let socket = try await WebSocketConnection.connect(to: url, on: bench.loop, configuration: configuration)
                for _ in 0..<5 {
                    try await socket.send("0123456789")
                    #expect(text(try await socket.next())?.count == 1_000_000)
                }
                await socket.close()
                configuration.outbound.authoritiesFile = nil
                do {
                    _ = try await WebSocketConnection.connect(to: url, on: bench.loop, configuration: configuration)
                    Issue.record("it was trusted")
                } catch let error as OutboundError {
                    guard case .notTrusted = error else { throw error }
                }
            }
        }
    }
}

@Suite struct FrameTests {
    @Test func theKeysAnswerIsThatOfTheStandard() {
        #expect(WebSocketHandshake.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func framesAreMaskedAsTheStandardShows() {
        #expect(
            FrameWriter.frame(.text, Array("Hello".utf8), mask: 0x37FA_213D) == [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]
        )
        #expect(Array(FrameWriter.frame(.text, [UInt8](repeating: 1, count: 300), mask: 0).prefix(4)) == [0x81, 0xFE, 0x01, 0x2C])
        #expect(
            Array(FrameWriter.frame(.text, [UInt8](repeating: 1, count: 70_000), mask: 0).prefix(10)) == [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x70]
        )
    }

    @Test func framesThatComeByteByByteAreTheSame() throws {
        let bytes =
            WebSimulator.frame(0x01, Array("a".utf8)) + WebSimulator.frame(0x89, []) + WebSimulator.frame(0x00, [UInt8](repeating: 0x62, count: 200))
            + WebSimulator.frame(0x80, [UInt8](repeating: 0x63, count: 66_000)) + WebSimulator.frame(0x88, [0x03, 0xE8])
        func read(_ step: Int) throws -> [FrameReader.Item] {
            var reader = FrameReader(maximumMessageBytes: 1 << 20)
            var items: [FrameReader.Item] = []
            for start in stride(from: 0, to: bytes.count, by: step) {
                Array(bytes[start..<min(start + step, bytes.count)]).withUnsafeBytes { reader.append($0) }
                while let item = try reader.next() { items.append(item) }
            }
            #expect(reader.isBetweenMessages)
            return items
        }
        let whole = try read(bytes.count)
        #expect(whole.count == 3)
        #expect(whole.first == .ping([]))
        #expect(whole.last == .close(code: 1_000, reason: ""))
        #expect(try read(1) == whole)
        #expect(try read(7) == whole)
    }
}
