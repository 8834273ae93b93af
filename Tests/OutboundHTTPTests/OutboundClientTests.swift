import OutboundHTTP
import ServiceRuntime
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct OutboundClientTests {
    @Test func asksAndGivesWhateverIsAnswered() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.reply { request in
                request.path == "/there" ? .json("{\"a\":1}", headers: ["X-Weight": "17"]) : .status(429, "slow down", headers: ["Retry-After": "3"])
            }
            let client = bench.client()
            let answer = try await client.send(OutboundRequest(url: bench.simulator.url + "/there?x=1%202", headers: [("X-Key", "k")]))
            #expect(answer.status == 200)
            #expect(answer.header("x-weight") == "17")
            #expect(String(decoding: answer.body, as: UTF8.self) == "{\"a\":1}")
            let request = try await bench.simulator.requested.next()
            #expect(request.query == ["x": "1 2"])
            #expect(request.headers["x-key"] == "k")
            #expect(request.headers["accept-encoding"]?.contains("gzip") == true)
            let limited = try await client.send(OutboundRequest(url: bench.simulator.url + "/other"))
            #expect(limited.status == 429)
            #expect(limited.header("retry-after") == "3")
        }
    }

    @Test func whatIsPackedIsUnpackedUpToTheLimit() async throws {
        try await OutboundBench.with { bench in
            // One mebibyte of zeros, by gzip.
            let packed = try gzip([UInt8](repeating: 0, count: 1 << 20))
            #expect(packed.count < 2_000)
            bench.simulator.reply { _ in .answer(status: 200, headers: ["Content-Encoding": "gzip"], body: packed) }
            let client = bench.client()
            let answer = try await client.send(OutboundRequest(url: bench.simulator.url + "/"))
            #expect(answer.body.count == 1 << 20)
            await #expect(throws: OutboundError.tooLarge(host: "127.0.0.1:\(bench.simulator.port)", maximumBytes: 100_000)) {
                try await client.send(OutboundRequest(url: bench.simulator.url + "/", maximumAnswerBytes: 100_000))
            }
        }
    }

    @Test func anAnswerThatBreaksOffIsNone() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.reply { _ in .cut(Array("0123456789".utf8)) }
            let client = bench.client()
            do {
                _ = try await client.send(OutboundRequest(url: bench.simulator.url + "/"))
                Issue.record("half an answer was given")
            } catch let error as OutboundError {
                guard case .lost = error else { throw error }
            }
            bench.simulator.reply { _ in .hangUp }
            await #expect(throws: OutboundError.self) { try await client.send(OutboundRequest(url: bench.simulator.url + "/")) }
            bench.simulator.reply { _ in .raw(Array("hello\r\n\r\n".utf8)) }
            await #expect(throws: OutboundError.self) { try await client.send(OutboundRequest(url: bench.simulator.url + "/")) }
        }
    }

    @Test func aSilentServerIsGivenUp() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.reply { _ in .silence }
            await #expect(throws: OutboundError.timedOut(host: "127.0.0.1:\(bench.simulator.port)")) {
                try await bench.client().send(OutboundRequest(url: bench.simulator.url + "/", deadline: .milliseconds(100)))
            }
        }
    }

    @Test func aCancelledRequestEndsAtOnceAndLeavesTheOthers() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.reply { $0.path == "/silent" ? .silence : .json("1") }
            let client = bench.client()
            let waiting = Task { try await client.send(OutboundRequest(url: bench.simulator.url + "/silent", deadline: .seconds(600))) }
            while try await bench.simulator.requested.next().path != "/silent" {}
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            #expect(try await client.send(OutboundRequest(url: bench.simulator.url + "/")).status == 200)
        }
    }

    @Test func nobodyThereIsAnErrorAndNoWait() async throws {
        try await OutboundBench.with { bench in
            let port = try await LineServer.freePorts(1, on: bench.loop)[0]
            do {
                _ = try await bench.client().send(OutboundRequest(url: "http://127.0.0.1:\(port)/"))
                Issue.record("somebody answered")
            } catch let error as OutboundError {
                guard case .notConnected = error else { throw error }
            }
        }
    }

    @Test func requestsThatCannotBeAreRefusedBeforeTheyGo() async throws {
        try await OutboundBench.with { bench in
            let client = bench.client()
            for url in ["ftp://a/", "http://", "http://user:word@a/", "http://a/b c", "ws://a/", "http://a/\r\nX: y"] {
                do {
                    _ = try await client.send(OutboundRequest(url: url))
                    Issue.record("\(url) was asked")
                } catch let error as OutboundError {
                    guard case .badRequest = error else { throw error }
                }
            }
            await #expect(throws: OutboundError.badRequest("the header X is not one line")) {
                try await client.send(OutboundRequest(url: bench.simulator.url, headers: [("X", "a\r\nY: b")]))
            }
        }
    }

    @Test func certificatesAreVerified() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.reply { _ in .json("[]") }
            try await bench.withTLS { port, authority in
                func ask(_ host: String, _ change: (inout OutboundConfiguration) -> Void) async throws -> Int {
                    try await bench.client(change).send(OutboundRequest(url: "https://\(host):\(port)/")).status
                }
                #expect(try await ask("localhost") { $0.authoritiesFile = authority } == 200)
                // An authority that the system does not know, and a certificate that is another's.
                for (host, file) in [("localhost", nil), ("127.0.0.1", authority)] as [(String, String?)] {
                    do {
                        _ = try await ask(host) { $0.authoritiesFile = file }
                        Issue.record("\(host) was trusted")
                    } catch let error as OutboundError {
                        guard case .notTrusted = error else { throw error }
                    }
                }
            }
        }
    }

    @Test func aProxyIsAskedForATunnel() async throws {
        try await OutboundBench.with { bench in
            bench.simulator.reply { $0.method == "CONNECT" ? .status(403) : .json("{}") }
            let client = bench.client { $0.proxy = .url(bench.simulator.url) }
            await #expect(throws: OutboundError.self) { try await client.send(OutboundRequest(url: "https://exchange.invalid/time")) }
            let tunnel = try await bench.simulator.requested.next()
            #expect(tunnel.method == "CONNECT")
            #expect(tunnel.target == "exchange.invalid:443")
            #expect(try await client.send(OutboundRequest(url: "http://exchange.invalid/time")).status == 200)
            #expect(try await bench.simulator.requested.next().target == "http://exchange.invalid/time")
        }
    }
}
