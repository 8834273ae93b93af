import Contracts
import Cryptography
import HTTPServing
import TestSupport
import Testing

@testable import scheduler

/// Every field of every body and every parameter of every path and query: missing, of the wrong type, too large, unknown, out of range, hostile. It is
/// refused by name, never by a 500, and nothing of it changes anything.
@Suite("Bad input", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct BadInputTests {
    /// What a field may hold.
    enum Form: Sendable {
        case uuid, time, digest, word
        /// Text of at most so many bytes; any number when nil.
        case text(atMost: Int?)
        case whole, number, flag, list, object
        /// Free JSON.
        case anything

        /// Values of another type.
        var foreign: [JSONValue] {
            let all: [JSONValue] = ["7x", 7, .number(JSONNumber(1.5)!), true, [], [1], [:]]
            return switch self {
            case .uuid, .time, .digest, .word, .text: all.filter { $0.string == nil }
            case .whole: all.filter { $0.integer == nil }
            case .number: all.filter { $0.double == nil }
            case .flag: all.filter { $0.bool == nil }
            case .list: all.filter { $0.array == nil }
            case .object: all.filter { $0 != [:] }
            case .anything: []
            }
        }

        /// Values of the right type that are refused all the same.
        var impossible: [JSONValue] {
            let hostile: [JSONValue] = [
                "", "x", "'; DROP TABLE jobs; --", "../../etc/passwd", "\u{202e}", .string(String(repeating: "9", count: 100_000)),
            ]
            return switch self {
            case .uuid: hostile + ["{01890a5d-ac96-774b-bcce-b302099a8057}", "01890a5d-ac96-774b-bcce-b302099a805"]
            case .time: hostile + ["2016-13-08T12:00:00Z", "2016-10-08T25:00:00Z", "yesterday", "0000-00-00T00:00:00Z"]
            case .digest: hostile + [.string(String(repeating: "g", count: 64)), .string(String(repeating: "0", count: 63))]
            case .word: hostile
            case .text(let most?): ["", .string(String(repeating: "x", count: most + 1)), .string(String(repeating: "ü", count: most))]
            case .whole: [.number(JSONNumber("9223372036854775808")!), .number(JSONNumber("1e400")!)]
            case .number: [.number(JSONNumber("1e400")!)]
            case .text(nil), .flag, .list, .object, .anything: []
            }
        }

        /// Values that may be taken or refused, but never break anything.
        var hostile: [JSONValue] {
            switch self {
            case .text:
                [
                    "'; DROP TABLE jobs; --", "../../etc/passwd", "\u{202e}\u{feff}", "%00", "${jndi:ldap://x}",
                    .string(String(repeating: "x", count: 100_000)),
                ]
            case .whole: [.integer(.min), -1, 0, .integer(.max)]
            case .number: [-1, 0, .number(JSONNumber("1e308")!), .number(JSONNumber("-1e-320")!)]
            case .anything:
                [
                    .null, "", [], [:], .string(String(repeating: "x", count: 100_000)), ["signal_id": "'; DROP TABLE jobs; --", "manifest": 5],
                    ["manifest": ["class": ["x"]]], .number(JSONNumber("1e999999")!), [.number(JSONNumber("1e-999999")!)],
                    ["deep": [.number(JSONNumber("1." + String(repeating: "1", count: 20_000))!)]],
                ]
            default: []
            }
        }
    }

    /// A field by its path, such as `leases[0].job_id`.
    struct Field: Sendable {
        let path: String
        let form: Form
        var isRequired = true
        /// What a refusal names when it is about the list as a whole.
        var namedAs: String?

        init(_ path: String, _ form: Form, optional: Bool = false, namedAs: String? = nil) {
            self.path = path
            self.form = form
            isRequired = !optional
            self.namedAs = namedAs
        }

        var names: [String] { [path, namedAs ?? path] }
    }

    /// A route that takes JSON: who calls, a body that would pass, and its fields.
    struct BodyRoute: Sendable, CustomTestStringConvertible {
        let path: String
        let caller: String
        let body: @Sendable (Job) -> JSONValue
        let fields: [Field]
        var testDescription: String { path }
    }

    static let routes: [BodyRoute] = [
        BodyRoute(
            path: "/internal/v1/jobs",
            caller: "signals",
            body: { _ in
                [
                    "kind": "noop", "resource_class": "large", "account_id": .string(AccountID.make().description), "priority": "normal", "spec": [:],
                    "idempotency_key": .string(JobID.make().description), "max_attempts": 3, "available_at": "2030-01-01T00:00:00Z",
                    "parent_job_id": .string(JobID.make().description), "waits_for": [],
                ]
            },
            fields: [
                Field("kind", .text(atMost: 64)), Field("resource_class", .word), Field("account_id", .uuid), Field("priority", .word),
                Field("spec", .anything), Field("idempotency_key", .text(atMost: 200)), Field("max_attempts", .whole),
                Field("available_at", .time, optional: true), Field("parent_job_id", .uuid, optional: true),
                Field("waits_for", .list, optional: true),
            ]
        ),
        BodyRoute(
            path: "/internal/v1/jobs/claim",
            caller: "executor",
            body: { _ in ["claim_id": .string(ClaimID.make().description), "worker": "w", "classes": [["class": "gpu", "slots": 1]]] },
            fields: [
                Field("claim_id", .uuid), Field("worker", .text(atMost: 200)), Field("classes", .list), Field("classes[0]", .object),
                Field("classes[0].class", .word), Field("classes[0].slots", .whole, namedAs: "classes"),
            ]
        ),
        BodyRoute(
            path: "/internal/v1/jobs/renew",
            caller: "executor",
            body: { ["worker": "w", "leases": [held($0, ["progress": 50])]] },
            fields: [
                Field("worker", .text(atMost: nil)), Field("leases", .list), Field("leases[0]", .object), Field("leases[0].job_id", .uuid),
                Field("leases[0].attempt_id", .uuid), Field("leases[0].progress", .whole, optional: true),
            ]
        ),
        BodyRoute(
            path: "/internal/v1/jobs/finish",
            caller: "executor",
            body: {
                [
                    "worker": "w",
                    "finished": [
                        held(
                            $0,
                            [
                                "outcome": "failed", "failure_kind": "exception", "error_message": "no", "result": ["rows": []],
                                "result_sha256": .string(SHA256.digest(utf8: "r").hex), "cpu_seconds": 1, "memory_peak_bytes": 5, "log": "printed",
                                "log_truncated": false,
                            ]
                        )
                    ], "next": ["claim_id": .string(ClaimID.make().description), "classes": [["class": "gpu", "slots": 1]]],
                ]
            },
            fields: [
                Field("worker", .text(atMost: 200)), Field("finished", .list), Field("finished[0]", .object), Field("finished[0].job_id", .uuid),
                Field("finished[0].attempt_id", .uuid), Field("finished[0].outcome", .word),
                Field("finished[0].failure_kind", .word, optional: true), Field("finished[0].error_message", .text(atMost: nil), optional: true),
                Field("finished[0].result", .anything, optional: true), Field("finished[0].result_sha256", .digest, optional: true),
                Field("finished[0].cpu_seconds", .number), Field("finished[0].memory_peak_bytes", .whole),
                Field("finished[0].log", .text(atMost: nil), optional: true), Field("finished[0].log_truncated", .flag),
                Field("next", .object, optional: true), Field("next.claim_id", .uuid), Field("next.classes", .list),
                Field("next.classes[0].class", .word), Field("next.classes[0].slots", .whole, namedAs: "classes"),
            ]
        ),
        BodyRoute(
            path: "/internal/v1/jobs/release",
            caller: "executor",
            body: { ["worker": "w", "leases": [held($0, [:])]] },
            fields: [
                Field("worker", .text(atMost: nil)), Field("leases", .list), Field("leases[0]", .object), Field("leases[0].job_id", .uuid),
                Field("leases[0].attempt_id", .uuid),
            ]
        ),
    ]

    private static func held(_ job: Job, _ more: [String: JSONValue]) -> JSONValue {
        let lease: [String: JSONValue] = [
            "job_id": .string(job.id.description), "attempt_id": .string(job.attemptID?.description ?? ""),
        ]
        return .object(lease.merging(more) { $1 })
    }

    /// Lends a house in which a worker holds one job and another one waits.
    private func withWork(_ body: (TestHouse, Job) async throws -> Void) async throws {
        try await withTestHouse { house in
            _ = try await house.store.insert([Fixture.job("running"), Fixture.job("waiting", class: .gpu)])
            try await body(house, try #require(try await house.store.claim(Fixture.claim()).first))
        }
    }

    private func send(_ body: [UInt8], to route: BodyRoute, of house: TestHouse) async throws -> RequestClient.Answer {
        try await house.service(route.caller).send(.post, route.path, headers: [("content-type", "application/json")], body: body)
    }

    @Test(arguments: routes) func fieldsAreRefusedByNameAndChangeNothing(route: BodyRoute) async throws {
        try await withWork { house, job in
            let before = try await house.books()
            func refused(_ body: JSONValue, _ codes: Set<String>, _ fields: [String], _ what: String) async throws {
                let answer = try await send(WireJSON.encode(body), to: route, of: house)
                let isNamed = answer.problemField.map { fields.contains($0) } ?? false
                #expect(answer.isProperRefusal && answer.status == 400, "\(what): \(answer.status) \(answer.text)")
                #expect(codes.contains(answer.problemCode ?? "") && isNamed, "\(what): \(answer.text)")
            }
            let good = route.body(job)
            for field in route.fields {
                if field.isRequired, !field.path.hasSuffix("]") {
                    try await refused(good.without(field.path), ["missing_field"], [field.path], "without \(field.path)")
                    // A field that may hold any JSON may hold null.
                    if case .anything = field.form {
                    } else {
                        try await refused(good.with(field.path, .null), ["wrong_type"], [field.path], "\(field.path) null")
                    }
                }
                for value in field.form.foreign {
                    let answerNames = field.names + ["\(field.path)[0]"]
                    try await refused(
                        good.with(field.path, value),
                        ["wrong_type", "missing_field"],
                        answerNames + route.below(field.path),
                        "\(field.path) \(value)"
                    )
                }
                for value in field.form.impossible {
                    try await refused(good.with(field.path, value), ["invalid_value", "wrong_type"], field.names, "\(field.path) \(value.brief)")
                }
                if case .object = field.form {
                    let unknown = "\(field.path).colour"
                    try await refused(good.with(unknown, 1), ["unknown_field"], [unknown], unknown)
                }
            }
            try await refused(good.with("colour", 1), ["unknown_field"], ["colour"], "colour")
            #expect(try await house.books() == before)
        }
    }

    @Test(arguments: routes) func hostileValuesBreakNothing(route: BodyRoute) async throws {
        try await withWork { house, job in
            for field in route.fields {
                for value in field.form.hostile {
                    let before = try await house.books()
                    let answer = try await send(WireJSON.encode(route.body(job).with(field.path, value)), to: route, of: house)
                    if answer.status >= 400 {
                        #expect(answer.isProperRefusal, "\(field.path) \(value.brief): \(answer.status) \(answer.text)")
                        #expect(try await house.books() == before, "\(field.path) \(value.brief)")
                    }
                }
            }
            #expect(try await house.store.job(job.id) != nil)
        }
    }

    @Test(arguments: routes) func bodiesThatAreNoObjectAreRefused(route: BodyRoute) async throws {
        try await withWork { house, job in
            let before = try await house.books()
            let text = String(decoding: WireJSON.encode(route.body(job)), as: UTF8.self)
            let cases: [([UInt8], String)] = [
                ([], "400 invalid_json"), (Array("{".utf8), "400 invalid_json"), (Array("not json".utf8), "400 invalid_json"),
                ([0xff, 0xfe], "400 invalid_json"),
                (Array("[]".utf8), "400 wrong_type"), (Array("null".utf8), "400 wrong_type"), (Array("7".utf8), "400 wrong_type"),
                (Array(text.dropLast().utf8), "400 invalid_json"), (Array((text + "x").utf8), "400 invalid_json"),
                (Array((text.dropLast() + #","worker":"w","worker":"w"}"#).utf8), "400 duplicate_field"),
                (Array(text.replacing(#""w""#, with: #""a\u0000b""#).replacing(#""noop""#, with: #""a\u0000b""#).utf8), "400 invalid_json"),
                (Array(text.replacing(#""w""#, with: #""\ud800""#).replacing(#""noop""#, with: #""\ud800""#).utf8), "400 invalid_json"),
                (Array(String(repeating: "[", count: 9_000).utf8), "400 too_deep"),
            ]
            for (body, verdict) in cases {
                let answer = try await send(body, to: route, of: house)
                #expect(answer.verdict == verdict && answer.isProperRefusal, "\(String(decoding: body.prefix(60), as: UTF8.self)): \(answer.text)")
            }
            let form = try await house.service(route.caller).send(
                .post,
                route.path,
                headers: [("content-type", "text/plain")],
                body: Array(text.utf8)
            )
            #expect(form.verdict == "415 unsupported_media_type" && form.isProperRefusal)
            #expect(try await house.books() == before)
        }
    }

    /// What the types allow and the rules do not.
    @Test(arguments: [
        ("/internal/v1/jobs", "max_attempts", "0", "max_attempts"), ("/internal/v1/jobs", "max_attempts", "101", "max_attempts"),
        ("/internal/v1/jobs", "max_attempts", "-1", "max_attempts"), ("/internal/v1/jobs/claim", "classes[0].slots", "-1", "classes"),
        ("/internal/v1/jobs/claim", "classes[0].slots", "1001", "classes"),
        ("/internal/v1/jobs/claim", "classes", "[\(Array(repeating: #"{"class":"gpu","slots":1}"#, count: 8).joined(separator: ","))]", "classes"),
        ("/internal/v1/jobs/finish", "next.classes[0].slots", "1001", "classes"), ("/internal/v1/jobs", "spec", #"{"x":[1e999999]}"#, "spec"),
        ("/internal/v1/jobs/finish", "finished[0].result", #"{"x":[1e999999]}"#, "finished[0].result"),
    ]) func valuesOutOfRangeAreRefused(path: String, field: String, value: String, named: String) async throws {
        try await withWork { house, job in
            let route = try #require(Self.routes.first { $0.path == path })
            let before = try await house.books()
            let answer = try await send(WireJSON.encode(route.body(job).with(field, try WireJSON.parse(Array(value.utf8)))), to: route, of: house)
            #expect(answer.verdict == "400 invalid_value \(named)" && answer.isProperRefusal, "\(answer.text)")
            #expect(try await house.books() == before)
        }
    }

    @Test func aReportWhoseNextClaimIsRefusedEndsNothing() async throws {
        try await withWork { house, job in
            let route = try #require(Self.routes.first { $0.path == "/internal/v1/jobs/finish" })
            let before = try await house.books()
            let foreign = try await send(WireJSON.encode(route.body(job).with("next.classes[0].class", "signals")), to: route, of: house)
            #expect(foreign.verdict == "403 class_not_allowed")
            #expect(try await house.books() == before)
            let half = route.body(job)["finished"]?[0] ?? .null
            let twice = try await send(WireJSON.encode(route.body(job).with("finished", [half, ["job_id": "x"]])), to: route, of: house)
            #expect(twice.status == 400 && twice.problemField == "finished[1].job_id", "\(twice.text)")
            #expect(try await house.books() == before)
        }
    }

    @Test func resultsAreBytesOfTheirHash() async throws {
        try await withTestHouse { house in
            let executor = try house.service("executor")
            #expect(try await executor.send(.put, "/internal/v1/results").verdict == "400 empty_body")
            let put = try await executor.send(.put, "/internal/v1/results", body: [0, 0xff, 1])
            #expect(try put.json()["sha256"]?.string == SHA256.digest([0, 0xff, 1]).hex)
            let signals = try house.service("signals")
            for digest in ["x", String(repeating: "0", count: 64), "..%2f..%2fetc%2fpasswd", "%00", String(repeating: "f", count: 65)] {
                let answer = try await signals.get("/internal/v1/results/\(digest)")
                #expect(answer.isProperRefusal && [400, 404].contains(answer.status), "\(digest): \(answer.text)")
            }
        }
    }

    static let ids = [
        "1", "x", "00000000-0000-0000-0000-000000000000", "01920000-0000-7000-8000-000000000000", "%00", "%ff", "..%2f..%2fetc", "'%20OR%201=1%20--",
        "01920000-0000-7000-8000-000000000000%0a", String(repeating: "9", count: 4_000),
    ]

    @Test(
        arguments: (RouteTableTests.outside.map(\.route) + RouteTableTests.inside.map(\.route)).filter {
            $0.contains("{") && !$0.contains("{sha256}")
        }
    )
    func whatIsNoIDOrNobodysIsNotThere(route: String) async throws {
        try await withWork { house, _ in
            let before = try await house.books()
            let words = route.split(separator: " ").map(String.init)
            let client = try words[1].hasPrefix("/api") ? house.person() : house.service("signals")
            for id in Self.ids {
                let path = words[1].replacing("{id}", with: id).replacing("{signal_id}", with: id)
                let answer = try await client.send(#require(HTTPServing.Method(rawValue: words[0])), path)
                #expect(answer.isProperRefusal && [400, 404].contains(answer.status), "\(path.prefix(100)): \(answer.status) \(answer.text)")
            }
            #expect(try await house.books() == before)
        }
    }

    static let queries: [(query: String, code: String, field: String?)] = [
        ("limit=0", "invalid_parameter", "limit"), ("limit=201", "invalid_parameter", "limit"), ("limit=-1", "invalid_parameter", "limit"),
        ("limit=x", "invalid_parameter", "limit"), ("limit=1.5", "invalid_parameter", "limit"), ("limit=", "invalid_parameter", "limit"),
        ("limit=99999999999999999999", "invalid_parameter", "limit"), ("limit=1&limit=2", "duplicate_parameter", "limit"),
        ("colour=red", "unknown_parameter", "colour"), ("cursor=", "invalid_cursor", "cursor"), ("cursor=x", "invalid_cursor", "cursor"),
        ("cursor=%21%21", "invalid_cursor", "cursor"), ("cursor=WyJ4Il0", "invalid_cursor", "cursor"), ("cursor=W10", "invalid_cursor", "cursor"),
        ("cursor=WyIxIiwiMiJd", "invalid_cursor", "cursor"), ("cursor=\(String(repeating: "W", count: 4_000))", "invalid_cursor", "cursor"),
        // ["0000-00-00T00:00:00Z"], ["'; DROP TABLE jobs; --"], and a NUL.
        ("cursor=WyIwMDAwLTAwLTAwVDAwOjAwOjAwWiJd", "invalid_cursor", "cursor"),
        ("cursor=WyInOyBEUk9QIFRBQkxFIGpvYnM7IC0tIl0", "invalid_cursor", "cursor"),
        ("cursor=WyJcdTAwMDAiXQ", "invalid_cursor", "cursor"),
    ]

    @Test(arguments: ["/api/jobs", "/api/schedules", "/api/schedules/{id}/occurrences"])
    func parametersOfListsAreRefusedByName(path: String) async throws {
        try await withTestHouse { house in
            let event = Fixture.publication(.interval(seconds: 60))
            _ = try await house.store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: Fixture.start, in: $0) }
            let schedule = try #require(try await house.store.schedules(of: Fixture.account, after: nil, limit: 1).first)
            let before = try await house.books()
            var cases = Self.queries
            if path == "/api/jobs" {
                cases += [
                    ("state=sleeping", "invalid_parameter", "state"), ("state=", "invalid_parameter", "state"),
                    ("signal_id=x", "invalid_parameter", "signal_id"),
                    ("signal_id='%20OR%201=1", "invalid_parameter", "signal_id"), ("kind=noop&kind=noop", "duplicate_parameter", "kind"),
                ]
            } else {
                cases += [("state=active", "unknown_parameter", "state")]
            }
            let client = try house.person()
            for (query, code, field) in cases {
                let answer = try await client.get("\(path.replacing("{id}", with: schedule.id.description))?\(query)")
                #expect(answer.isProperRefusal && answer.status == 400, "\(query.prefix(60)): \(answer.text)")
                #expect(answer.problemCode == code && answer.problemField == field, "\(query.prefix(60)): \(answer.text)")
            }
            #expect(try await house.books() == before)
        }
    }

    /// Kinds are open: what nobody has heard of, and what is no word at all, finds nothing.
    @Test(arguments: ["unheard_of", "'; DROP TABLE jobs; --", "\u{202e}", String(repeating: "x", count: 3_000)])
    func unknownKindsFindNothing(kind: String) async throws {
        try await withWork { house, _ in
            // Of all kinds that there are, an administrator sees all.
            let client = try house.person(roles: ["admin"])
            let answer = try await client.get("/api/jobs?kind=\(PercentCoding.encode(kind))")
            #expect(try answer.status == 200 && answer.json()["items"]?.array?.isEmpty == true, "\(answer.text)")
            #expect(try await client.get("/api/jobs").json()["items"]?.array?.count == 2)
        }
    }
}

extension BadInputTests.BodyRoute {
    /// The fields below another one: what an empty object or a list of something else lacks.
    fileprivate func below(_ path: String) -> [String] { fields.map(\.path).filter { $0.hasPrefix(path + ".") || $0.hasPrefix(path + "[") } }
}

extension JSONValue {
    /// As much of it as a message can show.
    fileprivate var brief: String { String(decoding: WireJSON.encode(self).prefix(60), as: UTF8.self) }

    /// A copy with something else at a path such as `leases[0].job_id`.
    fileprivate func with(_ path: String, _ value: JSONValue) -> JSONValue { changed(Self.steps(path)[...]) { _ in value } }

    /// A copy without the member at a path.
    fileprivate func without(_ path: String) -> JSONValue { changed(Self.steps(path)[...]) { _ in nil } }

    private static func steps(_ path: String) -> [String] {
        path.replacing("[", with: ".").replacing("]", with: "").split(separator: ".").map(String.init)
    }

    private func changed(_ steps: ArraySlice<String>, _ change: (JSONValue?) -> JSONValue?) -> JSONValue {
        guard let step = steps.first else { return change(self) ?? .null }
        func below(_ member: JSONValue?) -> JSONValue? { steps.count == 1 ? change(member) : member?.changed(steps.dropFirst(), change) }
        switch self {
        case .object(var members):
            members[step] = below(members[step])
            return .object(members)
        case .array(var elements):
            if let index = Int(step), elements.indices.contains(index), let element = below(elements[index]) { elements[index] = element }
            return .array(elements)
        default: return self
        }
    }
}
