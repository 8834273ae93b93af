import Contracts
import ServiceRuntime
import Synchronization
import Testing

@testable import HTTPServing

@Suite struct EventStreamTests {
    private final class Log: Sendable {
        private let state = Mutex((sent: 0, ended: false))
        var sent: Int { state.withLock { $0.sent } }
        var ended: Bool { state.withLock { $0.ended } }
        func noteSent() { state.withLock { $0.sent += 1 } }
        func noteEnd() { state.withLock { $0.ended = true } }
    }

    private func waiting(_ log: Log, until: Timestamp? = nil) -> Router {
        var router = Router()
        router.get("/events") { _ in
            .events(
                EventStreamBody(retryMilliseconds: 1234, until: until) { stream in
                    defer { log.noteEnd() }
                    _ = await stream.send(id: "7", event: "tick", data: "one\ntwo")
                    log.noteSent()
                    try await Task.sleep(for: .seconds(600))
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
            #expect(await eventuallyHolds { log.sent == 1 })
            await client.finish()
            #expect(await eventuallyHolds { log.ended })
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
        let until = Timestamp.now() + .milliseconds(500)
        try await withServer(waiting(log, until: until), limits: limits) { _, port in
            let answer = try await exchange(port, request)
            #expect(answer.contains("Content-Type: text/event-stream\r\n"))
            // Not before its time either, give or take the grain of timers.
            #expect(.now() >= until - .milliseconds(20))
            #expect(await eventuallyHolds { log.ended })
        }
    }

    @Test func stoppingTheServerEndsStreams() async throws {
        let log = Log()
        try await withServer(waiting(log)) { server, port in
            let client = try RawClient(port: port)
            await client.send(request)
            #expect(await eventuallyHolds { log.sent == 1 })
            await server.stop()
            #expect(await client.readToEnd().contains("data: two"))
            #expect(await eventuallyHolds { log.ended })
            await client.finish()
        }
    }

    @Test func aSlowClientIsDropped() async throws {
        let log = Log()
        var router = Router()
        router.get("/flood") { _ in
            .events(
                EventStreamBody { stream in
                    defer { log.noteEnd() }
                    let data = String(repeating: "x", count: 10_000)
                    while await stream.send(data: data) { log.noteSent() }
                }
            )
        }
        try await withServer(router) { _, port in
            let client = try RawClient(port: port, receiveBufferBytes: 4096)
            await client.send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(await eventuallyHolds { log.ended })
            // 256 KiB of ours and what the kernel holds of both sides.
            #expect(log.sent < 200, "\(log.sent)")
            await client.finish()
        }
    }
}
