import Contracts
import Cryptography
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

/// A deadline that no machine is too slow for.
private let patience = Duration.seconds(120)

/// How often each thing was asked for.
private final class Tries: Sendable {
    private let state = Mutex<[String: Int]>([:])
    func add(_ name: String) -> Int {
        state.withLock { state in
            state[name, default: 0] += 1
            return state[name] ?? 0
        }
    }
    func of(_ name: String) -> Int { state.withLock { $0[name] ?? 0 } }
}

@Suite struct HTTPClientTests {
    private func router(slowBegun: TestSignal<Void> = TestSignal()) -> Router {
        var router = Router()
        router.get("/plain") { _ in .text("hello") }
        router.get("/headers") { .text($0.headers["X-Own"] ?? "-") }
        router.post("/length") { .text("\($0.body.count)") }
        router.get("/large") { _ in .bytes([UInt8](repeating: 66, count: 3_000_000), contentType: "text/plain") }
        router.get("/slow") { _ in
            slowBegun.signal()
            // Nobody opens it: the answer never comes.
            try await Gate().pass()
            return .noContent
        }
        return router
    }

    @Test func asksAndReadsAnswers() async throws {
        try await withServer(router()) { _, port in
            let http = HTTPClient()
            let plain = try await http.send(ClientRequest(url: "http://127.0.0.1:\(port)/plain", deadline: patience))
            #expect(plain.status == .ok)
            #expect(plain.body == Array("hello".utf8))
            #expect(plain.headers["content-type"] == "text/plain; charset=utf-8")
            let posted = try await http.send(
                ClientRequest(method: .post, url: "http://localhost:\(port)/length", body: [UInt8](repeating: 1, count: 900_000), deadline: patience)
            )
            #expect(posted.body == Array("900000".utf8))
            let large = try await http.send(ClientRequest(url: "http://127.0.0.1:\(port)/large", deadline: patience))
            #expect(large.body.count == 3_000_000)
            let head = try await http.send(ClientRequest(method: .head, url: "http://127.0.0.1:\(port)/plain", deadline: patience))
            #expect(head.body.isEmpty)
            let missing = try await http.send(ClientRequest(url: "http://127.0.0.1:\(port)/nope", deadline: patience))
            #expect(missing.status == .notFound)
            let injected = try await http.send(
                ClientRequest(url: "http://127.0.0.1:\(port)/headers", headers: ["X-Own": "a\r\nX-Other: b"], deadline: patience)
            )
            #expect(injected.body == Array("a  X-Other: b".utf8))
        }
    }

    @Test func manyAtOnceShareTheConnections() async throws {
        try await withServer(router()) { _, port in
            var configuration = HTTPClientConfiguration()
            configuration.maximumConnectionsPerHost = 4
            let http = HTTPClient(configuration: configuration)
            let count = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<200 {
                    group.addTask { try await http.send(ClientRequest(url: "http://127.0.0.1:\(port)/plain", deadline: patience)).status.code }
                }
                return try await group.reduce(0) { $0 + ($1 == 200 ? 1 : 0) }
            }
            #expect(count == 200)
        }
    }

    @Test func givesUpAtTheDeadline() async throws {
        try await withServer(router()) { _, port in
            let startedAt = monotonicNanoseconds()
            await #expect(throws: HTTPClientError.timedOut(host: "127.0.0.1:\(port)")) {
                try await HTTPClient().send(ClientRequest(url: "http://127.0.0.1:\(port)/slow", deadline: .milliseconds(150)))
            }
            #expect(monotonicNanoseconds() - startedAt < 60_000_000_000)
        }
    }

    @Test func isCancelledWithItsTask() async throws {
        let slowBegun = TestSignal<Void>()
        try await withServer(router(slowBegun: slowBegun)) { _, port in
            let task = Task { try await HTTPClient().send(ClientRequest(url: "http://127.0.0.1:\(port)/slow", deadline: patience)) }
            try await slowBegun.next()
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }

    @Test func isCancelledEvenBeforeItHasBegun() async throws {
        try await withServer(router()) { _, port in
            let http = HTTPClient()
            let request = ClientRequest(url: "http://127.0.0.1:\(port)/slow", deadline: patience)
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await http.send(request)
            }
            await #expect(throws: CancellationError.self) { try await task.value }
            // Cancelled somewhere on its way, wherever that is.
            for turns in 0..<200 {
                let task = Task { try await http.send(request) }
                for _ in 0..<turns { await Task.yield() }
                task.cancel()
                await #expect(throws: CancellationError.self) { try await task.value }
            }
        }
    }

    @Test func aLateCancelSparesTheNextRequestOfTheConnection() async throws {
        try await withServer(router()) { _, port in
            var configuration = HTTPClientConfiguration()
            configuration.maximumConnectionsPerHost = 1
            let http = HTTPClient(configuration: configuration)
            let request = ClientRequest(url: "http://127.0.0.1:\(port)/plain", deadline: patience)
            for turns in 0..<200 {
                let first = Task { try await http.send(request) }
                let second = Task { try await http.send(request) }
                for _ in 0..<turns { await Task.yield() }
                first.cancel()
                let answer = try await second.value
                #expect(answer.status == .ok)
                _ = await first.result
            }
        }
    }

    @Test func takesOnlySoMuch() async throws {
        try await withServer(router()) { _, port in
            await #expect(throws: HTTPClientError.answerTooLarge(maximumBytes: 1000)) {
                try await HTTPClient().send(ClientRequest(url: "http://127.0.0.1:\(port)/large", deadline: patience, maximumAnswerBytes: 1000))
            }
        }
    }

    @Test func namesWhatFailed() async throws {
        let http = HTTPClient()
        // Nobody listens on port 1.
        let free = 1
        await #expect(throws: HTTPClientError.notConnected(host: "127.0.0.1:\(free)", code: 111)) {
            try await http.send(ClientRequest(url: "http://127.0.0.1:\(free)/"))
        }
        for bad in ["https://a/", "http://", "http://a:0/", "http://a:99999/", "http://u:p@a/", "http://a/ b", "ftp://a", "http://a\r\nX: y/"] {
            await #expect(throws: HTTPClientError.self) { try await http.send(ClientRequest(url: bad)) }
        }
    }

    @Test func strangeServersAreRefused() async throws {
        for answer in [
            "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200\n\n", "HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        ] {
            var reader = AnswerReader(method: .get, limit: 1000)
            let bytes = Array(answer.utf8)
            let outcome = bytes.withUnsafeBytes { raw -> Bool in
                do throws(MessageFault) {
                    try reader.take(raw)
                    return reader.end() || reader.response != nil
                } catch {
                    return false
                }
            }
            #expect(!outcome, "\(answer)")
        }
    }
}

@Suite struct ServiceClientTests {
    private struct Item: Codable, Equatable {
        let signalID: SignalID
        let rows: Int
    }

    private func keys() throws -> (ServiceTokenSource, ServiceTokenVerifier) {
        let key = try SigningKey.generate()
        let verifier = try ServiceTokenVerifier(jwks: JWKSet(keys: [key.verifyingKey.jwk(service: "scheduler")]))
        return (ServiceTokenSource(service: "scheduler", key: key), verifier)
    }

    private func router(_ verifier: ServiceTokenVerifier, allowed: [String] = ["scheduler"]) -> Router {
        let router = Router()
        let group = router.grouped(ServiceAuthentication(verifier: verifier, audience: "signals", allowedCallers: allowed))
        group.post("/internal/v1/items") { request in
            let item = try request.json(Item.self)
            return try .json(Item(signalID: item.signalID, rows: item.rows + 1), status: .created)
        }
        group.get("/internal/v1/caller") { .text("\($0.callingService ?? "-") \($0.requestID) \($0.headers["traceparent"]?.count ?? 0)") }
        return router
    }

    @Test func callsWithItsTokenAndTheTraceAtHand() async throws {
        let (tokens, verifier) = try keys()
        try await withServer(router(verifier)) { _, port in
            let client = ServiceClient(
                baseURLs: ["http://127.0.0.1:\(port)/"],
                audience: "signals",
                tokens: tokens,
                http: HTTPClient(),
                deadline: patience
            )
            let item = Item(signalID: .make(), rows: 1)
            let answer: Item = try await client.post("/internal/v1/items", body: item)
            #expect(answer == Item(signalID: item.signalID, rows: 2))
            let context = RequestContextValue(requestID: "abc", trace: .make())
            let said = try await RequestContext.$current.withValue(context) { try await client.getBytes("/internal/v1/caller") }
            #expect(said.map { String(decoding: $0, as: UTF8.self) } == "scheduler abc 55")
            #expect(try await client.getBytes("/internal/v1/nothing") == nil)
        }
    }

    @Test func othersAreKeptOut() async throws {
        let (tokens, verifier) = try keys()
        let (strangers, _) = try keys()
        try await withServer(router(verifier, allowed: ["executor"])) { _, port in
            func status(_ tokens: ServiceTokenSource?, audience: String) async -> Int? {
                let client = ServiceClient(
                    baseURLs: ["http://127.0.0.1:\(port)"],
                    audience: audience,
                    tokens: tokens,
                    http: HTTPClient(),
                    deadline: patience
                )
                do {
                    _ = try await client.send(.get, "/internal/v1/caller")
                    return 200
                } catch {
                    return (error as? ServiceClientError)?.status
                }
            }
            #expect(await status(tokens, audience: "signals") == 403)
            #expect(await status(tokens, audience: "auth") == 401)
            #expect(await status(strangers, audience: "signals") == 401)
            #expect(await status(nil, audience: "signals") == 401)
        }
    }

    @Test func repeatsOnlyWhatMayBeRepeated() async throws {
        let (tokens, _) = try keys()
        var router = Router()
        let tries = Tries()
        router.get("/flaky") { _ in
            if tries.add("read") < 3 { throw Problem.unavailable() }
            return .text("at last")
        }
        router.post("/flaky") { _ in
            _ = tries.add("written")
            throw Problem.unavailable()
        }
        try await withServer(router) { _, port in
            let client = ServiceClient(
                baseURLs: ["http://127.0.0.1:\(port)"],
                audience: "signals",
                tokens: tokens,
                http: HTTPClient(),
                deadline: patience
            )
            let answer = try await client.send(.get, "/flaky")
            #expect(answer.body == Array("at last".utf8) && tries.of("read") == 3)
            let refusal = await #expect(throws: ServiceClientError.self) { try await client.send(.post, "/flaky") }
            #expect(refusal?.status == 503 && tries.of("written") == 1)
        }
    }

    @Test func goesPastReplicasThatCannotServe() async throws {
        let (tokens, verifier) = try keys()
        let asked = Mutex(0)
        var unable = Router()
        let busy: @Sendable (Request) async throws -> Response = { _ in
            asked.withLock { $0 += 1 }
            throw Problem.unavailable(code: "draining", detail: "Another replica would be right.")
        }
        unable.get("/internal/v1/caller", busy)
        unable.post("/internal/v1/items", busy)
        try await withServer(router(verifier)) { _, port in
            try await withServer(unable) { _, other in
                for urls in [["http://127.0.0.1:\(other)", "http://127.0.0.1:\(port)"], ["http://127.0.0.1:\(port)", "http://127.0.0.1:\(other)"]] {
                    let client = ServiceClient(baseURLs: urls, audience: "signals", tokens: tokens, http: HTTPClient(), deadline: patience)
                    for _ in 0..<2 {
                        let answer = try await client.send(.get, "/internal/v1/caller")
                        #expect(answer.status == .ok)
                    }
                }
                #expect(asked.withLock { $0 } > 0)
                // Who has no other replica hears what this one said.
                let alone = ServiceClient(
                    baseURLs: ["http://127.0.0.1:\(other)"],
                    audience: "signals",
                    tokens: tokens,
                    http: HTTPClient(),
                    deadline: patience
                )
                let refusal = await #expect(throws: ServiceClientError.self) { try await alone.send(.get, "/internal/v1/caller") }
                #expect(refusal?.status == 503)
            }
        }
    }

    @Test func goesPastReplicasThatAreAway() async throws {
        let (tokens, verifier) = try keys()
        try await withServer(router(verifier)) { _, port in
            // Nobody listens on port 1.
            let client = ServiceClient(
                baseURLs: ["http://127.0.0.1:1", "http://127.0.0.1:\(port)"],
                audience: "signals",
                tokens: tokens,
                http: HTTPClient(),
                deadline: patience
            )
            for _ in 0..<6 {
                let answer: Item = try await client.post("/internal/v1/items", body: Item(signalID: .make(), rows: 1))
                #expect(answer.rows == 2)
            }
            let alone = ServiceClient(
                baseURLs: ["http://127.0.0.1:1"],
                audience: "signals",
                tokens: tokens,
                http: HTTPClient(),
                deadline: .seconds(2)
            )
            await #expect(throws: ServiceClientError.self) { try await alone.send(.get, "/internal/v1/caller") }
        }
    }
}
