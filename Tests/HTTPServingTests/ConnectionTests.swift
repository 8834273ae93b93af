import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

/// How connections live, wait and end.
@Suite struct ConnectionTests {
    private func router(_ gate: Gate = Gate()) -> Router {
        var router = Router()
        router.get("/plain") { _ in .text("hello") }
        router.get("/n/{n}") { .text("<\($0.parameters["n"] ?? "")>") }
        router.post("/length") { .text("\($0.body.count)") }
        router.get("/large") { _ in .bytes([UInt8](repeating: 65, count: 5_000_000), contentType: "text/plain") }
        router.get("/wait") { _ in
            try await gate.pass()
            return .text("waited")
        }
        router.post("/wait") { _ in
            try await gate.pass()
            return .text("waited")
        }
        return router
    }

    /// Says when it has been let go.
    private final class Held: Sendable {
        let onEnd: @Sendable () -> Void
        init(onEnd: @escaping @Sendable () -> Void) { self.onEnd = onEnd }
        deinit { onEnd() }
    }

    @Test(arguments: [true, false]) func whatABodyHoldsIsLetGoWhenItIsTakenOrItsClientGone(isTaken: Bool) async throws {
        let state = Mutex((made: 0, ended: 0))
        var router = Router()
        router.get("/held") { _ in
            var response = Response.bytes([UInt8](repeating: 65, count: 20_000_000), contentType: "text/plain")
            response.held = Held { state.withLock { $0.ended += 1 } }
            state.withLock { $0.made += 1 }
            return response
        }
        try await withServer(router) { _, port in
            let client = try RawClient(port: port)
            await client.send("GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            // More than the kernel takes: the rest waits for the client.
            _ = await client.read(through: "\r\n\r\n")
            #expect(state.withLock { $0.made == 1 && $0.ended == 0 })
            if isTaken { _ = await client.readToEnd() } else { await client.close() }
            #expect(await eventuallyHolds { state.withLock { $0.ended } == 1 })
            await client.finish()
        }
    }

    @Test func answersPipelinedRequestsInOrder() async throws {
        try await withServer(router()) { _, port in
            let requests = (0..<50).map { "GET /n/\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined()
            let answer = try await exchange(port, requests + "GET /n/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let bodies = answer.split(separator: "<").dropFirst().map { String($0.prefix { $0 != ">" }) }
            #expect(bodies == (0..<50).map(String.init) + ["last"])
        }
    }

    @Test func readsRequestsByteByByte() async throws {
        try await withServer(router()) { _, port in
            let client = try RawClient(port: port)
            for byte in "POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                .utf8
            {
                await client.send([byte])
            }
            #expect(await client.readToEnd().hasSuffix("\r\n\r\n5"))
            await client.finish()
        }
    }

    @Test func keepsConnectionsAndCarriesRequestIDs() async throws {
        try await withServer(router()) { _, port in
            let client = try RawClient(port: port)
            for index in 0..<3 {
                await client.send("GET /plain HTTP/1.1\r\nHost: a\r\nX-Request-ID: own-\(index)\r\n\r\n")
                #expect(await client.read(through: "hello").contains("X-Request-ID: own-\(index)\r\n"))
            }
            await client.send("GET /plain HTTP/1.1\r\nHost: a\r\nX-Request-ID: a b\r\n\r\n")
            #expect(!(await client.read(through: "hello").contains("a b")))
            await client.finish()
        }
    }

    @Test func writesLargeAnswersWhole() async throws {
        try await withServer(router()) { _, port in
            let answer = try await exchange(port, "GET /large HTTP/1.0\r\n\r\n")
            #expect(answer.utf8.count > 5_000_000)
            #expect(answer.hasSuffix("AAAA"))
        }
    }

    @Test func headLeavesOutTheBody() async throws {
        try await withServer(router()) { _, port in
            let answer = try await exchange(port, "HEAD /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(answer.contains("Content-Length: 5\r\n"))
            #expect(answer.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func asksForAnExpectedBody() async throws {
        try await withServer(router()) { _, port in
            let client = try RawClient(port: port)
            await client.send("POST /length HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
            #expect(await client.read(through: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            await client.send("abc")
            #expect(await client.readToEnd().hasSuffix("\r\n\r\n3"))
            await client.finish()
        }
    }

    @Test func answersAClientThatHasEndedItsInput() async throws {
        try await withServer(router()) { _, port in
            let client = try RawClient(port: port)
            await client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.endInput()
            #expect(await client.readToEnd().hasSuffix("hello"))
            await client.finish()
        }
    }

    @Test func slowHeadsAndBodiesTimeOut() async throws {
        let clock = ManualTimeSource()
        let events = ServerEvents()
        var limits = HTTPLimits.patient
        limits.headTimeout = .milliseconds(100)
        try await withServer(router(), limits: limits, time: clock, events: events) { _, port in
            // Nothing sent: hung up without a word.
            let silent = try RawClient(port: port)
            try await events.next(.accepted)
            clock.advance(by: .milliseconds(101))
            #expect(await silent.readToEnd() == "")
            await silent.finish()
            let slow = try RawClient(port: port)
            await slow.send("GET /plain HTTP/1.1\r\nHos")
            try await events.next(.headBegun)
            try await events.sweep()
            #expect(!(await slow.hasNews()))
            clock.advance(by: .milliseconds(101))
            #expect(await slow.readToEnd().hasPrefix("HTTP/1.1 408 "))
            await slow.finish()
        }
        limits = .patient
        limits.bodyTimeout = .milliseconds(100)
        try await withServer(router(), limits: limits, time: clock, events: events) { _, port in
            let client = try RawClient(port: port)
            await client.send("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            try await events.next(.bodyBegun)
            try await events.sweep()
            #expect(!(await client.hasNews()))
            // Three bytes have bought a little more.
            clock.advance(by: .seconds(10))
            #expect(await client.readToEnd().hasPrefix("HTTP/1.1 408 "))
            await client.finish()
        }
    }

    @Test func anIdleConnectionIsHungUpOn() async throws {
        let clock = ManualTimeSource()
        let events = ServerEvents()
        var limits = HTTPLimits.patient
        limits.idleTimeout = .milliseconds(100)
        try await withServer(router(), limits: limits, time: clock, events: events) { _, port in
            let client = try RawClient(port: port)
            await client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(await client.read(through: "hello").hasSuffix("hello"))
            try await events.next(.answered)
            clock.advance(by: .milliseconds(99))
            try await events.sweep()
            #expect(!(await client.hasNews()))
            clock.advance(by: .milliseconds(2))
            #expect(await client.readToEnd() == "")
            await client.finish()
        }
    }

    @Test func aDrippingHeadIsNoExcuse() async throws {
        let clock = ManualTimeSource()
        let events = ServerEvents()
        var limits = HTTPLimits.patient
        limits.headTimeout = .milliseconds(100)
        try await withServer(router(), limits: limits, time: clock, events: events) { _, port in
            let client = try RawClient(port: port)
            await client.send("GET /plain HTTP/1.1\r\nX: ")
            try await events.next(.headBegun)
            // Bytes keep coming, ten in the time of the limit, until the server has had enough of them.
            var drips = 0
            while drips < 30, !(await client.hasNews()) {
                drips += 1
                await client.send([0x79])
                clock.advance(by: .milliseconds(10))
                try await events.sweep()
            }
            #expect(drips == 11)
            #expect(await client.readToEnd().hasPrefix("HTTP/1.1 408 "))
            await client.finish()
        }
    }

    @Test func refusesConnectionsBeyondTheirNumber() async throws {
        var limits = HTTPLimits.patient
        limits.maximumConnections = 2
        let events = ServerEvents()
        try await withServer(router(), limits: limits, events: events) { _, port in
            let first = try RawClient(port: port)
            let second = try RawClient(port: port)
            for client in [first, second] {
                await client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(await client.read(through: "hello").hasPrefix("HTTP/1.1 200"))
            }
            let third = try RawClient(port: port)
            #expect(await third.readToEnd().contains("too_many_connections"))
            await first.finish()
            // The place that became free is given to the next.
            try await events.next(.closed)
            #expect(try await exchange(port, "GET /plain HTTP/1.0\r\n\r\n").hasSuffix("hello"))
            await second.finish()
            await third.finish()
        }
    }

    @Test func aClientThatGoesAwayCancelsReadsOnly() async throws {
        let reading = Gate()
        try await withServer(router(reading)) { _, port in
            let client = try RawClient(port: port)
            await client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            try await reading.entered.next()
            await client.finish()
            try await reading.cancelled.next()
        }
        let writing = Gate()
        let events = ServerEvents()
        try await withServer(router(writing), events: events) { _, port in
            let client = try RawClient(port: port)
            await client.send("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            try await writing.entered.next()
            await client.finish()
            // The server has seen it, and has cancelled whom it would.
            try await events.next(.inputEnded)
            #expect(writing.cancelledCount == 0)
            writing.open()
            try await writing.passed.next()
        }
    }

    @Test func stoppingLetsRequestsFinish() async throws {
        let gate = Gate()
        let loop = try EventLoop.start(name: "stopping")
        let server = HTTPServer(
            name: "stop",
            address: "127.0.0.1",
            port: 0,
            router: router(gate),
            loops: [loop],
            limits: .patient
        )
        try await server.start()
        let client = try RawClient(port: server.boundPort)
        await client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        try await gate.entered.next()
        let stopping = Task { await server.stop() }
        let port = server.boundPort
        #expect(await eventuallyHolds { (try? RawClient(port: port)) == nil })
        gate.open()
        let answer = await client.readToEnd()
        #expect(answer.contains("Connection: close\r\n"))
        #expect(answer.hasSuffix("waited"))
        await stopping.value
        await client.finish()
        await loop.stop()
    }

    @Test func stoppingCutsOffWhatDoesNotEnd() async throws {
        let gate = Gate()
        let loop = try EventLoop.start(name: "cutting")
        var limits = HTTPLimits.patient
        limits.drainTimeout = .milliseconds(100)
        let server = HTTPServer(name: "cut", address: "127.0.0.1", port: 0, router: router(gate), loops: [loop], limits: limits)
        try await server.start()
        let client = try RawClient(port: server.boundPort)
        await client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        try await gate.entered.next()
        await server.stop()
        #expect(await client.readToEnd() == "")
        await client.finish()
        await loop.stop()
    }

    @Test func aTakenPortIsAnError() async throws {
        try await withServer(router()) { _, port in
            let loop = try EventLoop.start(name: "taken")
            let second = HTTPServer(name: "second", address: "127.0.0.1", port: port, router: router(), loops: [loop])
            await #expect(throws: HTTPServerError.self) { try await second.start() }
            await loop.stop()
        }
    }

    @Test func severalLoopsShareAPort() async throws {
        try await withServer(router(), loops: 2) { _, port in
            for index in 0..<20 {
                let answer = try await exchange(port, "GET /n/\(index) HTTP/1.0\r\n\r\n")
                #expect(answer.hasSuffix("<\(index)>"))
            }
        }
    }

    @Test func believesOnlyTrustedProxies() async throws {
        var router = Router()
        router.get("/") { .text($0.remoteAddress) }
        let request = "GET / HTTP/1.0\r\nX-Forwarded-For: 6.6.6.6, 10.1.2.3\r\n\r\n"
        try await withServer(router) { _, port in
            let answer = try await exchange(port, request)
            #expect(answer.hasSuffix("\r\n\r\n10.1.2.3"))
        }
        var limits = HTTPLimits.patient
        limits.trustedProxies = .none
        try await withServer(router, limits: limits) { _, port in
            let answer = try await exchange(port, request)
            #expect(answer.hasSuffix("\r\n\r\n127.0.0.1"))
        }
    }

    @Test func knowsPrivateAddresses() {
        for address in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.3.4", "::1", "fd00::7"] {
            #expect(TrustedProxies.privateNetworks.contains(address), "\(address)")
        }
        for address in ["8.8.8.8", "172.32.0.1", "172.15.255.255", "192.169.0.1", "11.0.0.1", "2001:db8::1", "127.0.0", "", "fd1::1", "fc", "::2"] {
            #expect(!TrustedProxies.privateNetworks.contains(address), "\(address)")
        }
    }

    @Test func aSlowDownloadIsNotAnIdleConnection() async throws {
        let clock = ManualTimeSource()
        let events = ServerEvents()
        var limits = HTTPLimits.patient
        limits.idleTimeout = .milliseconds(100)
        try await withServer(router(), limits: limits, time: clock, events: events) { _, port in
            for connection in ["keep-alive", "close"] {
                let client = try RawClient(port: port, receiveBufferBytes: 4096)
                await client.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: \(connection)\r\n\r\n")
                #expect(await client.read(through: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
                try await events.next(.answered)
                // The limit passes while most of the answer still waits.
                clock.advance(by: .seconds(1))
                try await events.sweep()
                if connection == "close" {
                    #expect(await client.readToEnd().utf8.count == 5_000_000)
                } else {
                    #expect(await client.read(bytes: 5_000_000) == 5_000_000)
                    // Only from the last byte on is it idle.
                    try await events.sweep()
                    #expect(!(await client.hasNews()))
                    clock.advance(by: .seconds(1))
                    #expect(await client.readToEnd() == "")
                }
                await client.finish()
            }
        }
    }

    @Test func whoTakesNothingIsCutOff() async throws {
        let clock = ManualTimeSource()
        let events = ServerEvents()
        var limits = HTTPLimits.patient
        limits.writeTimeout = .milliseconds(100)
        try await withServer(router(), limits: limits, time: clock, events: events) { _, port in
            let client = try RawClient(port: port, receiveBufferBytes: 4096)
            await client.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            try await events.next(.answered)
            // As long as the kernel takes some more of it the time begins anew, so it may pass several times.
            for _ in 0..<100 where events.pendingCount(of: .closed) == 0 {
                clock.advance(by: .milliseconds(101))
                try await events.sweep()
            }
            try await events.next(.closed)
            let answer = await client.readToEnd()
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
            #expect(answer.utf8.count < 5_000_000)
            await client.finish()
        }
    }

    @Test func answersDoNotPileUpForWhoDoesNotTakeThem() async throws {
        let made = Mutex(0)
        let events = ServerEvents()
        var router = Router()
        router.get("/large") { _ in
            made.withLock { $0 += 1 }
            return .bytes([UInt8](repeating: 65, count: 1_000_000), contentType: "text/plain")
        }
        try await withServer(router, events: events) { _, port in
            let client = try RawClient(port: port, receiveBufferBytes: 4096)
            await client.send(String(repeating: "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", count: 40))
            try await events.next(.heldBack)
            // What the kernel takes and one answer more.
            #expect(made.withLock { $0 } < 12, "\(made.withLock { $0 })")
            await client.endInput()
            let answer = await client.readToEnd()
            #expect(answer.utf8.count { $0 == 65 } >= 1_000_000)
            await client.finish()
        }
    }

    @Test func memoryForBodiesIsGivenBack() async throws {
        var limits = HTTPLimits.patient
        limits.maximumBufferedBytes = 1000
        try await withServer(router(), limits: limits) { _, port in
            let part = String(repeating: "x", count: 0x300)
            let head = "POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            for _ in 0..<5 {
                #expect(try await exchange(port, head + "Transfer-Encoding: chunked\r\n\r\n300\r\n\(part)\r\nzz\r\n").hasPrefix("HTTP/1.1 400 "))
                let refused = try await exchange(port, head + "Content-Length: 2000\r\n\r\n\(part)\(part)\(part)")
                #expect(refused.hasPrefix("HTTP/1.1 503 "), "\(refused)")
                #expect(try await exchange(port, head + "Content-Length: 768\r\n\r\n\(part)").hasSuffix("\r\n\r\n768"))
                let leaving = try RawClient(port: port)
                await leaving.send(head + "Content-Length: 2000\r\n\r\n\(part)")
                await leaving.finish()
            }
            #expect(await eventuallyHolds { (try? await exchange(port, head + "Content-Length: 768\r\n\r\n\(part)"))?.hasSuffix("768") ?? false })
        }
    }
}
