import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

@Suite struct EventGroupTests {
    private final class House: Sendable {
        let group = EventGroup()
        let joined = TestSignal<EventStream>()
        let ended = TestSignal<Void>()

        func router(begins: Bool = true) -> Router {
            var router = Router()
            router.get("/events") { [self] _ in
                .events(
                    EventStreamBody { [self] stream in
                        defer { ended.signal() }
                        group.join(stream)
                        if begins { group.begin(stream, with: Array("data: first\n\n".utf8)) }
                        joined.signal(stream)
                        await stream.untilItEnds()
                        group.leave(stream)
                    }
                )
            }
            return router
        }
    }

    private func listener(_ port: Int, receiveBufferBytes: Int32? = nil) async throws -> RawClient {
        let client = try RawClient(port: port, receiveBufferBytes: receiveBufferBytes)
        await client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        return client
    }

    @Test func allGetTheSameInOrderOnAllLoops() async throws {
        let house = House()
        try await withServer(house.router(), loops: 2) { _, port in
            var clients: [RawClient] = []
            for _ in 0..<12 { clients.append(try await listener(port)) }
            for _ in clients { _ = try await house.joined.next() }
            for number in 0..<50 { house.group.send(EventStream.encode(id: "\(number)", event: "tick", data: "n")) }
            let wanted = (0..<50).map { "id: \($0)\nevent: tick\ndata: n\n\n" }.joined()
            for client in clients {
                _ = await client.read(through: "data: first\n\n")
                #expect(await client.read(through: "id: 49\nevent: tick\ndata: n\n\n") == wanted)
                await client.finish()
            }
            for _ in clients { try await house.ended.next() }
        }
    }

    @Test func whatIsSentBeforeTheBeginningComesBehindIt() async throws {
        let house = House()
        try await withServer(house.router(begins: false)) { _, port in
            let client = try await listener(port)
            let stream = try await house.joined.next()
            house.group.send(Array("data: second\n\n".utf8))
            house.group.send(Array("data: third\n\n".utf8))
            house.group.begin(stream, with: Array("data: first\n\n".utf8))
            house.group.send(Array("data: fourth\n\n".utf8))
            let text = await client.read(through: "data: fourth\n\n")
            #expect(text.hasSuffix("retry: 2000\n\ndata: first\n\ndata: second\n\ndata: third\n\ndata: fourth\n\n"))
            await client.finish()
        }
    }

    @Test func aSlowOneIsCutAndTheOthersGetEverything() async throws {
        let house = House()
        var limits = HTTPLimits.patient
        limits.maximumUnsentEventBytes = 64 * 1024
        try await withServer(house.router(), limits: limits) { _, port in
            let slow = try await listener(port, receiveBufferBytes: 4096)
            let swift = try await listener(port)
            for _ in 0..<2 { _ = try await house.joined.next() }
            _ = await swift.read(through: "data: first\n\n")
            let event = EventStream.encode(id: "1", event: nil, data: String(repeating: "x", count: 10_000))
            var sent = 0
            while house.ended.pendingCount == 0, sent < 2_000 {
                house.group.send(event)
                #expect(await swift.read(bytes: event.count) == event.count)
                sent += 1
            }
            try await house.ended.next()
            // The other one goes on as if nothing had been.
            house.group.send(event)
            #expect(await swift.read(bytes: event.count) == event.count)
            let text = await slow.readToEnd()
            #expect(text.hasSuffix(": too slow: more than 65536 bytes were waiting; come back with Last-Event-ID\n\n"))
            #expect(text.utf8.count < (sent + 1) * event.count)
            await slow.finish()
            await swift.finish()
        }
    }

    @Test func whoComesBackMayBeOwedMoreThanMayWait() async throws {
        let house = House()
        var limits = HTTPLimits.patient
        limits.maximumUnsentEventBytes = 64 * 1024
        try await withServer(house.router(), limits: limits) { _, port in
            let client = try await listener(port, receiveBufferBytes: 4096)
            _ = try await house.joined.next()
            let owed = EventStream.encode(id: "1", event: nil, data: String(repeating: "x", count: 2_000_000))
            let news = EventStream.encode(id: "2", event: nil, data: String(repeating: "y", count: 10_000))
            house.group.send(owed)
            for _ in 0..<5 { house.group.send(news) }
            #expect(await client.read(through: "data: first\n\n").hasSuffix("data: first\n\n"))
            #expect(await client.read(bytes: owed.count + 5 * news.count) == owed.count + 5 * news.count)
            await client.finish()
        }
    }

    @Test func anEndSaysWhy() async throws {
        let house = House()
        try await withServer(house.router()) { _, port in
            let client = try await listener(port)
            try await house.joined.next().end("the session has ended")
            #expect(await client.readToEnd().hasSuffix("data: first\n\n: the session has ended\n\n"))
            try await house.ended.next()
            await client.finish()
        }
    }
}
