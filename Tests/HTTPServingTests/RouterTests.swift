import Contracts
import Testing

@testable import HTTPServing

@Suite struct RouterTests {
    private func router() -> Router {
        var router = Router()
        router.get("/") { _ in .text("root") }
        router.get("/api/signals") { _ in .text("list") }
        router.get("/api/signals/mine") { _ in .text("mine") }
        router.get("/api/signals/{id}") { .text("one \($0.parameters["id"] ?? "-")") }
        router.get("/api/signals/{id}/versions/{version}") { request in
            .text("\(request.parameters["id"] ?? "-") v\(try request.parameter("version", as: Int.self))")
        }
        router.post("/api/signals") { _ in Response(status: .created) }
        router.get("/api/{anything}/tail") { .text("tail of \($0.parameters["anything"] ?? "-")") }
        return router
    }

    private func respond(_ method: HTTPServing.Method, _ target: String) async throws -> Response {
        await router().respond(to: try Request(method: method, target: target))
    }

    private func text(_ method: HTTPServing.Method, _ target: String) async throws -> String {
        String(decoding: try await respond(method, target).bodyBytes, as: UTF8.self)
    }

    @Test(arguments: [
        ("/", "root"), ("/api/signals", "list"), ("/api/signals/", "list"), ("/api/signals?limit=3", "list"), ("/api/signals/mine", "mine"),
        ("/api/signals/min", "one min"), ("/api/signals/a%20b", "one a b"), ("/api/signals/BTC%2FUSD", "one BTC/USD"),
        ("/api/%73ignals", "list"), ("/api/signals/x/versions/3/", "x v3"), ("/api/signals/tail", "one tail"), ("/api/other/tail", "tail of other"),
        ("/api/signals/%C3%BC", "one ü"),
    ])
    func findsRoutes(target: String, expected: String) async throws {
        #expect(try await text(.get, target) == expected)
    }

    @Test(arguments: [
        ("/nope", 404), ("/api", 404), ("/api//signals", 404), ("//api/signals", 404), ("/api/signals//", 404), ("/api/signals/a/b/c", 404),
        ("/api/signals/%zz", 400), ("/api/signals/%", 400), ("/api/signals/%00", 400), ("/api/signals/%ff", 400), ("/api/signals/..", 400),
        ("/api/signals/%2e%2e", 400), ("/api/./signals", 400), ("/api/signals/x/versions/three", 404), ("api/signals", 404),
    ])
    func refusesOtherPaths(target: String, status: Int) async throws {
        #expect(try await respond(.get, target).status.code == status)
    }

    @Test func tellsWhichMethodsAPathKnows() async throws {
        let wrong = try await respond(.delete, "/api/signals")
        #expect(wrong.status == .methodNotAllowed)
        #expect(wrong.headers["allow"] == "GET, HEAD, OPTIONS, POST")
        let options = try await respond(.options, "/api/signals")
        #expect(options.status == .noContent)
        #expect(options.headers["Allow"] == "GET, HEAD, OPTIONS, POST")
        #expect(try await respond(.head, "/api/signals").status == .ok)
        #expect(try await respond(.options, "/nope").status == .notFound)
    }

    @Test func runsMiddlewareOutsideIn() async throws {
        struct Mark: Middleware {
            let name: String
            func handle(_ request: Request, next: Handler) async throws -> Response {
                var response = try await next(request)
                response.headers.add("X-Mark", name)
                return response
            }
        }
        var router = Router(middleware: [Mark(name: "outer")])
        let group = router.grouped(Mark(name: "middle")).grouped(Mark(name: "inner"))
        group.get("/in") { _ in .noContent }
        router.get("/out") { _ in .noContent }
        #expect(await router.respond(to: try Request(method: .get, target: "/in")).headers.all("x-mark") == ["inner", "middle", "outer"])
        #expect(await router.respond(to: try Request(method: .get, target: "/out")).headers.all("x-mark") == ["outer"])
    }

    @Test func turnsErrorsIntoProblems() async throws {
        struct Secret: Error { let password = "hunter2" }
        struct Known: Error {}
        struct OwnProblem: ProblemRepresentable { var problem: Problem { .conflict(code: "own", detail: "Own.") } }
        var router = Router(problemOf: { $0 is Known ? .unavailable(code: "store_away") : nil })
        router.get("/secret") { _ in throw Secret() }
        router.get("/known") { _ in throw Known() }
        router.get("/own") { _ in throw OwnProblem() }
        let hidden = await router.respond(to: try Request(method: .get, target: "/secret"))
        #expect(hidden.status == .internalError)
        #expect(!String(decoding: hidden.bodyBytes, as: UTF8.self).contains("hunter2"))
        #expect(await router.respond(to: try Request(method: .get, target: "/known")).status == .unavailable)
        #expect(await router.respond(to: try Request(method: .get, target: "/own")).status == .conflict)
    }

    @Test func problemsAreEscapedJSON() throws {
        let problem = Problem.badRequest(code: "x", detail: "a \"quote\"\n\u{1}", field: "f")
        let value = try WireJSON.parse(problem.json(requestID: "r"))
        #expect(value["detail"]?.string == "a \"quote\"\n\u{1}")
        #expect(value["status"]?.integer == 400)
        #expect(value["field"]?.string == "f")
        #expect(value["request_id"]?.string == "r")
    }
}

@Suite struct QueryTests {
    @Test func readsTypedParameters() throws {
        let query = try #require(Query("limit=5&at=2016-10-08T12:01:00Z&name=a+b%26c&flag=true&empty="))
        #expect(try query.integer("limit", range: 1...10, default: 3) == 5)
        #expect(try query.integer("missing", default: 3) == 3)
        #expect(try query.timestamp("at")?.iso8601 == "2016-10-08T12:01:00.000000Z")
        #expect(query.string("name") == "a b&c")
        #expect(try query.boolean("flag"))
        #expect(query.string("empty") == "")
        try query.reject(unknownExcept: ["limit", "at", "name", "flag", "empty"])
    }

    @Test(arguments: ["limit=0", "limit=11", "limit=x", "limit=", "limit=5.0", "limit=99999999999999999999"])
    func refusesMalformedNumbers(text: String) throws {
        let query = try #require(Query(text))
        #expect(throws: Problem.self) { try query.integer("limit", range: 1...10, default: 3) }
    }

    @Test func refusesUnknownAndDoubledParameters() throws {
        #expect(throws: Problem.self) { try Query("a=1&b=2")?.reject(unknownExcept: ["a"]) }
        #expect(throws: Problem.self) { try Query("a=1&a=2")?.reject(unknownExcept: ["a"]) }
        #expect(Query("a=%zz") == nil)
        #expect(Query("a=%00") == nil)
    }

    @Test func cursorsRoundTrip() throws {
        let cursor = Cursor(["2016-10-08T12:01:00.000000Z", "ü/+"])
        #expect(Cursor(cursor.description) == cursor)
        #expect(cursor.description.utf8.allSatisfy { $0.isTokenCharacter })
        #expect(try Query("cursor=\(cursor)")?.cursor(parts: 2) == cursor)
        for bad in ["", "!!", "bm9wZQ", String(repeating: "A", count: 5000)] {
            #expect(throws: Problem.self) { try Query("cursor=\(bad)")?.cursor(parts: 2) }
        }
        #expect(throws: Problem.self) { try Query("cursor=\(cursor)")?.cursor(parts: 3) }
        let page = CursorPage(found: [1, 2, 3], limit: 2) { Cursor(["\($0)"]) }
        #expect(page.items == [1, 2])
        #expect(page.nextCursor == Cursor(["2"]).description)
        #expect(
            String(decoding: try WireJSON.encode(CursorPage(found: [1], limit: 2) { Cursor(["\($0)"]) }), as: UTF8.self)
                == #"{"items":[1],"next_cursor":null}"#
        )
    }
}

@Suite struct PercentCodingTests {
    @Test func decodesStrictly() {
        #expect(PercentCoding.decode("a%20b") == "a b")
        #expect(PercentCoding.decode("a%2") == nil)
        #expect(PercentCoding.decode("%zz") == nil)
        #expect(PercentCoding.decode("%00") == nil)
        #expect(PercentCoding.decode("%ff") == nil)
        #expect(PercentCoding.encode("a/b ü") == "a%2Fb%20%C3%BC")
    }
}
