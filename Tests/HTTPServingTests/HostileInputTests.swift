import Contracts
import ServiceRuntime
import Testing

@testable import HTTPServing

/// What a client may send that is no HTTP/1.1, or too much of it; every answer is a problem with a stable code, and the connection ends.
@Suite struct HostileInputTests {
    private static func router() -> Router {
        var router = Router()
        router.get("/plain") { _ in .text("hello") }
        router.get("/echo/{what}") { .text($0.parameters["what"] ?? "") }
        router.post("/length") { .text("\($0.body.count)") }
        router.post("/small", maximumBodyBytes: 10) { .text("\($0.body.count)") }
        return router
    }

    private static let host = "Host: a\r\n"

    @Test(arguments: [
        ("hello\r\n\r\n", 400, "malformed_request"),
        ("GET /plain\r\n\r\n", 400, "malformed_request"),
        ("GET  /plain HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET /pl ain HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET /plain HTTP/1.1\nHost: a\n\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost : a\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, "malformed_header"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "malformed_header"),
        ("GET /pl\0ain HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET /plüin HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET /plain#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET plain HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET /plain?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_target"),
        ("GET /plain HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
        ("GET /plain HTTP/1.1x\r\nHost: a\r\n\r\n", 400, "malformed_request"),
        ("BREW /plain HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
        ("G(T /plain HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n", 413, "body_too_large"),
        ("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413, "body_too_large"),
        ("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n", 413, "body_too_large"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unknown_transfer_coding"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501, "unknown_transfer_coding"),
        ("POST /length HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed_length"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400, "malformed_chunk"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400, "malformed_chunk"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", 400, "malformed_chunk"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400, "malformed_chunk"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400, "malformed_chunk"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", 400, "malformed_chunk"),
        ("POST /length HTTP/1.1\r\nHost: a\r\nExpect: miracle\r\nContent-Length: 1\r\n\r\nx", 417, "unsupported_expectation"),
        ("GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
        ("GET /" + String(repeating: "a", count: 40_000), 414, "target_too_long"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 20_000) + "\r\n\r\n", 431, "headers_too_large"),
        ("GET /plain HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: 101) + "\r\n", 431, "headers_too_large"),
    ])
    func isAnsweredWithAProblem(sent: String, status: Int, code: String) async throws {
        try await withServer(Self.router()) { _, port in
            let answer = try await exchange(port, sent)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer.prefix(200))")
            #expect(answer.contains("Content-Type: application/problem+json\r\n"))
            #expect(answer.contains("\"code\":\"\(code)\""), "\(answer)")
            #expect(answer.contains("Connection: close\r\n"))
        }
    }

    @Test(arguments: [
        ("GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200), ("\r\n\r\nGET /plain HTTP/1.0\r\n\r\n", 200),
        ("GET http://a/plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        (
            "POST /length HTTP/1.1\r\nhOST: a\r\ntransfer-ENCODING: Chunked\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n2 \r\nde\r\n0\r\nT: v\r\n\r\n",
            200
        ),
        ("GET /echo/%41 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
    ])
    func strangeButRightIsServed(sent: String, status: Int) async throws {
        try await withServer(Self.router()) { _, port in
            let answer = try await exchange(port, sent)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer.prefix(200))")
        }
    }

    @Test func randomBytesNeverStopTheServer() async throws {
        try await withServer(Self.router()) { _, port in
            var generator = SystemRandomNumberGenerator()
            for _ in 0..<30 {
                let client = try RawClient(port: port)
                let count = Int.random(in: 1...4000, using: &generator)
                await client.send((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
                await client.endInput()
                _ = await client.readToEnd()
                await client.finish()
            }
            // Right requests with one byte changed.
            let right = Array("POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n".utf8)
            for index in stride(from: 0, to: right.count, by: 3) {
                var changed = right
                changed[index] = UInt8.random(in: 0...255, using: &generator)
                let client = try RawClient(port: port)
                await client.send(changed)
                await client.endInput()
                _ = await client.readToEnd()
                await client.finish()
            }
            let answer = try await exchange(port, "GET /plain HTTP/1.0\r\n\r\n")
            #expect(answer.hasSuffix("hello"))
        }
    }

    @Test func headersCannotBeSmuggledIntoAnswers() async throws {
        var router = Router()
        router.get("/") { _ in
            Response(
                status: .ok,
                headers: ["X-Name": "a\r\nSet-Cookie: stolen", "Bad Name": "x", "Content-Length": "99"],
                contentType: "text/plain",
                body: .bytes([65])
            )
        }
        try await withServer(router) { _, port in
            let answer = try await exchange(port, "GET / HTTP/1.0\r\n\r\n")
            #expect(answer.contains("X-Name: a  Set-Cookie: stolen\r\n"))
            #expect(!answer.contains("\r\nSet-Cookie"))
            #expect(!answer.contains("Bad Name"))
            #expect(answer.contains("Content-Length: 1\r\n"))
        }
    }
}
