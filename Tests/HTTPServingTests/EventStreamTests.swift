import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

@Suite struct EventStreamTests {
    private final class Log: Sendable {
        let sent = TestSignal<Void>()
        let ended = TestSignal<Void>()
    }

    private func waiting(_ log: Log, until: Timestamp? = nil) -> Router {
        var router = Router()
        router.get("/events") { _ in
            .events(
                EventStreamBody(retryMilliseconds: 1234, until: until) { stream in
                    defer { log.ended.signal() }
                    _ = await stream.send(id: "7", event: "tick", data: "one\ntwo")
                    log.sent.signal()
                    // Nobody opens it: only a cancel ends this.
                    try await Gate().pass()
                }
            )
        }
        return router
    }

    private let request = "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func encodesLinesSafely() {
        let bytes = EventStream.encode(id: "1\n2", event: "a\rb", data: "x\r\ny\nz\rw")
        #expect(String(decoding: bytes, as: UTF8.self) == "id: 1 2\nevent: a b\ndata: x\ndata: y\ndata: z\ndata: w\n\n")
    }

    @Test func sendsEventsAsTheyCome() async throws {
        let log = Log()
        try await withServer(waiting(log)) { _, port in
            let client = try RawClient(port: port)
            await client.send(request)
            let head = await client.read(through: "\r\n\r\n")
            #expect(head.contains("Content-Type: text/event-stream\r\n"))
            #expect(head.contains("X-Accel-Buffering: no\r\n"))
            #expect(await client.read(through: "two\n\n") == "retry: 1234\n\nid: 7\nevent: tick\ndata: one\ndata: two\n\n")
            await client.finish()
        }
    }

    @Test func aClientThatGoesAwayEndsTheStream() async throws {
        let log = Log()
        try await withServer(waiting(log)) { _, port in
            let client = try RawClient(port: port)
            await client.send(request)
            try await log.sent.next()
            #expect(log.ended.pendingCount == 0)
            await client.finish()
            try await log.ended.next()
        }
    }

    @Test func saysThatItIsAlive() async throws {
        var limits = HTTPLimits.patient
        limits.heartbeatInterval = .milliseconds(40)
        try await withServer(waiting(Log()), limits: limits) { _, port in
            let client = try RawClient(port: port)
            await client.send(request)
            #expect(await client.read(through: "two\n\n").contains("data: two"))
            for _ in 0..<2 { #expect(await client.read(through: "\n\n") == ": alive\n\n") }
            await client.finish()
        }
    }

    @Test func endsWithTheCredential() async throws {
        let log = Log()
        var limits = HTTPLimits.patient
        // Without a sign of life in between, a stream that does not end is noticed.
        limits.heartbeatInterval = .seconds(600)
        let clock = ManualTimeSource()
        let events = ServerEvents()
        let until = clock.now() + .seconds(60)
        try await withServer(waiting(log, until: until), limits: limits, time: clock, events: events) { _, port in
            let client = try RawClient(port: port)
            await client.send(request)
            #expect(await client.read(through: "two\n\n").contains("Content-Type: text/event-stream\r\n"))
            try await log.sent.next()
            clock.advance(by: .seconds(59))
            try await events.sweep()
            #expect(log.ended.pendingCount == 0)
            clock.advance(by: .seconds(1))
            #expect(await client.readToEnd() == "")
            try await log.ended.next()
            await client.finish()
        }
    }

    @Test func stoppingTheServerEndsStreams() async throws {
        let log = Log()
        try await withServer(waiting(log)) { server, port in
            let client = try RawClient(port: port)
            await client.send(request)
            try await log.sent.next()
            await server.stop()
            #expect(await client.readToEnd().contains("data: two"))
            try await log.ended.next()
            await client.finish()
        }
    }

    @Test func signsOfLifeDoNotKeepAListenerWhoTakesNothing() async throws {
        let (more, log) = (TestSignal<Void>(), Log())
        var router = Router()
        router.get("/events") { _ in
            .events(
                EventStreamBody { stream in
                    defer { log.ended.signal() }
                    let data = String(repeating: "x", count: 60_000)
                    repeat {
                        log.sent.signal()
                        try await more.next()
                    } while await stream.send(data: data)
                }
            )
        }
        let clock = ManualTimeSource()
        let events = ServerEvents()
        var limits = HTTPLimits.patient
        limits.heartbeatInterval = .milliseconds(150)
        limits.writeTimeout = .milliseconds(300)
        try await withServer(router, limits: limits, time: clock, events: events) { _, port in
            let client = try RawClient(port: port, receiveBufferBytes: 4096)
            await client.send(request)
            // The kernel takes the first ones; from then on nothing moves.
            var asked = 0
            for _ in 0..<200 where events.pendingCount(of: .closed) == 0 {
                try await log.sent.next()
                more.signal()
                asked += 1
                for _ in 0..<4 {
                    clock.advance(by: .milliseconds(160))
                    try await events.sweep()
                }
            }
            try await events.next(.closed)
            try await log.ended.next()
            // It was time that ended it, and not the 256 KiB that may lie unsent: one piece was under way, or two.
            let taken = await client.readToEnd().utf8.count
            #expect(asked * 60_000 - taken < 150_000, "\(asked) pieces, \(taken) bytes taken")
            await client.finish()
        }
    }

    @Test func aSlowClientIsDropped() async throws {
        let log = Log()
        var router = Router()
        router.get("/flood") { _ in
            .events(
                EventStreamBody { stream in
                    defer { log.ended.signal() }
                    let data = String(repeating: "x", count: 10_000)
                    while await stream.send(data: data) { log.sent.signal() }
                }
            )
        }
        try await withServer(router) { _, port in
            let client = try RawClient(port: port, receiveBufferBytes: 4096)
            await client.send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
            try await log.ended.next()
            // 256 KiB of ours and what the kernel holds of both sides.
            #expect(log.sent.pendingCount < 200, "\(log.sent.pendingCount)")
            // Once it takes what was left, it reads why it got no more.
            let text = await client.readToEnd()
            #expect(text.hasSuffix("x\n\n: too slow: more than 262144 bytes were waiting; come back with Last-Event-ID\n\n"))
            await client.finish()
        }
    }
}
