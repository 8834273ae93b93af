import Contracts
import Cryptography
import HTTPServing
import TestSupport
import Testing

@testable import marketdata

/// A parameter, field or part of a path, with what may stand in it.
private enum Kind: Sendable {
    /// Any text that the route looks up: what nobody has is not found, or gives an empty list.
    case text
    /// A word out of a list, a number, a time, an interval: what is none is refused by name.
    case form
}

/// Texts that were meant to do harm, and texts that only are too much.
private let hostileTexts = [
    "\u{0}", "BTC\u{0}USD", "' OR 1=1 --", "'; DROP TABLE instruments; --", "$1", "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd",
    "\u{202E}DSUCTB", "ＢＴＣＵＳＤ", "𝔅𝔗ℭ", "Ω≈ç√", "e\u{301}", "BTCUSD\r\nX-Injected: 1", "\t", "%", "{{7*7}}", "<script>alert(1)</script>",
    "NaN", "-1", "0x10", "1e309", "99999999999999999999", "9223372036854775807", "-9223372036854775808", "true", "null", "[]",
    String(repeating: "x", count: 5_000), String(repeating: "9", count: 400), String(repeating: "☃", count: 2_000),
]

/// A text as it stands in a query or a path.
private func escaped(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
        let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2E || byte == 0x2D
        if isPlain {
            result.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }
    return result
}

/// What a request is answered, also one that is refused before it is one, as the server would.
private func answer(_ client: RequestClient, _ method: HTTPServing.Method, _ path: String, body: [UInt8] = []) async throws -> RequestClient.Answer? {
    do { return try await client.send(method, path, body: body) } catch let problem as Problem {
        #expect(problem.status == .badRequest && problem.code == "malformed_target", "\(path.prefix(80)): \(problem)")
        return nil
    }
}

/// A refusal as it has to be: a problem document with a code, whose headers and text carry nothing of the input out of place.
private func expectRefusal(_ answer: RequestClient.Answer, _ what: String, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect((400..<500).contains(answer.status), "\(what): \(answer.status) \(answer.text.prefix(200))", sourceLocation: sourceLocation)
    #expect(answer.headers["content-type"] == "application/problem+json", "\(what)", sourceLocation: sourceLocation)
    #expect(answer.problemCode?.isEmpty == false, "\(what): no code", sourceLocation: sourceLocation)
    #expect(answer.body.count < 8_192, "\(what): \(answer.body.count) bytes", sourceLocation: sourceLocation)
    for (name, value) in answer.headers {
        let isClean = (name + value).utf8.allSatisfy { $0 >= 32 && $0 != 127 }
        #expect(isClean, "\(what): a control character in a header", sourceLocation: sourceLocation)
    }
}

/// Every route of the service with every parameter and field of it; whatever is sent, nothing of it changes anything, and nothing is a 500.
@Suite("Bad input", .serialized, .enabled(if: TestServers.hasPostgres))
struct BadInputTests {
    private struct Parameters: Sendable {
        var route: String
        /// A query that is right.
        var good: [(name: String, value: String)]
        var kinds: [String: Kind]
        var required: Set<String> = []
        var isInternal = false
    }

    private static let barParameters: [String: Kind] = [
        "instrument": .form, "interval": .form, "start": .form, "end": .form, "countback": .form, "limit": .form, "as_of": .form,
        "revisions_as_of": .form, "partial": .form, "session": .form, "anchor": .form, "price": .form, "format": .form,
        "adjustment": .form, "fill": .form,
    ]

    /// What is asked with parameters.
    private static let queries: [Parameters] = [
        Parameters(
            route: "/api/bars",
            good: [("instrument", "BTCUSD"), ("interval", "1m")],
            kinds: barParameters,
            required: ["instrument", "interval"]
        ),
        Parameters(
            route: "/internal/v1/bars",
            good: [("instrument", "BTCUSD"), ("interval", "1m")],
            kinds: barParameters,
            required: ["instrument", "interval"],
            isInternal: true
        ),
        Parameters(route: "/api/instruments", good: [], kinds: ["text": .text, "asset_class": .form, "cursor": .form, "limit": .form]),
        Parameters(
            route: "/api/instruments/BTCUSD/coverage",
            good: [],
            kinds: ["interval": .form, "price": .form, "session": .form, "start": .form, "end": .form]
        ),
        Parameters(route: "/api/datasets", good: [], kinds: ["text": .text, "asset_class": .form, "cursor": .form, "limit": .form]),
        Parameters(route: "/api/datasets/DATASET", good: [], kinds: ["as_of": .form]),
        Parameters(route: "/internal/v1/datasets/DATASET", good: [], kinds: ["as_of": .form], isInternal: true),
        Parameters(route: "/api/uploads/UPLOAD", good: [], kinds: [:]),
        Parameters(route: "/api/retention", good: [], kinds: ["instrument": .form]),
        Parameters(route: "/api/calendars", good: [], kinds: ["cursor": .form, "limit": .form]),
        Parameters(route: "/api/calendars/us-equity", good: [], kinds: [:]),
        Parameters(route: "/api/instruments/BTCUSD", good: [], kinds: ["at": .form]),
        Parameters(route: "/api/instruments/BTCUSD/actions", good: [], kinds: ["as_of": .form, "revisions_as_of": .form]),
        Parameters(route: "/api/instruments/BTCUSD/quality", good: [], kinds: ["start": .form, "end": .form]),
        Parameters(route: "/internal/v1/instruments/BTCUSD", good: [], kinds: [:], isInternal: true),
        Parameters(route: "/api/replays", good: [], kinds: ["cursor": .form, "limit": .form]),
        Parameters(route: "/api/replays/REPLAY", good: [], kinds: [:]),
    ]

    /// What has a name in its path.
    private static let paths: [(method: HTTPServing.Method, prefix: String, suffix: String, isInternal: Bool)] = [
        (.get, "/api/instruments/", "/coverage", false), (.get, "/api/datasets/", "", false), (.get, "/internal/v1/datasets/", "", true),
        (.get, "/api/calendars/", "", false), (.get, "/api/uploads/", "", false), (.delete, "/api/uploads/", "", false),
        (.post, "/api/uploads/", "/import", false), (.put, "/api/uploads/", "/parts/1", false),
        (.get, "/api/instruments/", "", false), (.get, "/api/instruments/", "/actions", false), (.get, "/api/instruments/", "/quality", false),
        (.get, "/internal/v1/instruments/", "", true), (.get, "/api/replays/", "", false),
        (.delete, "/api/replays/", "", false), (.post, "/api/replays/", "/pause", false), (.post, "/api/replays/", "/resume", false),
    ]

    private struct Body: Sendable {
        var route: String
        var good: JSONValue
        var required: Set<String>
        var isInternal = false

        func with(_ field: String, _ value: JSONValue?) -> JSONValue {
            guard case .object(var members) = good else { return good }
            members[field] = value
            return .object(members)
        }
    }

    /// What is sent as JSON, each good body with all its fields.
    private static let bodies: [Body] = [
        Body(
            route: "/api/instruments",
            good: [
                "symbol": "ETHUSD", "asset_class": "crypto", "calendar": "always-open", "tick_size": "0.01", "lot_size": "0.001",
                "volume_unit": "base",
            ],
            required: ["symbol", "asset_class"]
        ),
        Body(
            route: "/api/replays",
            good: [
                "instrument": "BTCUSD", "start": "2016-10-08T00:00:00Z", "end": "2016-10-08T00:20:00Z", "interval": "1m", "speed": 60, "loop": false,
            ],
            required: ["instrument"]
        ),
    ]

    private func send(_ doors: Doors, isInternal: Bool) throws -> RequestClient {
        isInternal ? try doors.service("signals") : try doors.client(Person(roles: ["admin", "provider", "subscriber"]))
    }

    @Test func theTablesHaveEveryRoute() async throws {
        try await withDoors { doors in
            let replay = "{id}"
            var known = Set(
                Self.queries.map { table in
                    "GET "
                        + table.route.replacing("REPLAY", with: replay).replacing("BTCUSD", with: "{symbol}").replacing("DATASET", with: "{name}")
                        .replacing("us-equity", with: "{name}").replacing("UPLOAD", with: "{id}")
                }
            )
            for path in Self.paths {
                let isByID = path.prefix.contains("replays") || path.prefix.contains("uploads")
                let name = path.prefix.contains("instruments") ? "{symbol}" : isByID ? "{id}" : "{name}"
                known.insert("\(path.method.rawValue) \(path.prefix)\(name)\(path.suffix.replacing("/1", with: "/{number}"))")
            }
            for body in Self.bodies { known.insert("POST " + body.route) }
            known.formUnion(["PUT /api/retention", "DELETE /api/retention", "POST /api/imports", "POST /api/uploads", "POST /internal/v1/watches"])
            // Tried with bad ids in ConversionTests.
            known.formUnion(["GET /internal/v1/conversions/{id}/parts/{number}", "PUT /internal/v1/conversions/{id}/table"])
            // Tried with bad stretches in MarketHoursTests.
            known.formUnion(["sessions", "closes", "past-closes"].map { "GET /internal/v1/instruments/{symbol}/\($0)" })
            let routes = (doors.router.routes + doors.internalRouter.routes).map { "\($0.method.rawValue) \($0.pattern)" }
            #expect(Set(routes) == known)
        }
    }

    @Test func parametersAreRefusedByName() async throws {
        try await withDoors { doors in
            let replay = try await makeReplay(doors)
            let admin = Person(roles: ["admin", "provider", "subscriber"])
            let upload = try await makeUpload(doors.client(admin))
            let before = try await doors.fingerprint()
            for table in Self.queries {
                let client = table.isInternal ? try send(doors, isInternal: true) : try doors.client(admin)
                let route = table.route.replacing("REPLAY", with: replay).replacing("UPLOAD", with: upload).replacing(
                    "DATASET",
                    with: "bars.crypto.BTCUSD.1m.trade"
                )
                func ask(_ entries: [(name: String, value: String)]) async throws -> RequestClient.Answer? {
                    let query = entries.map { "\(escaped($0.name))=\(escaped($0.value))" }.joined(separator: "&")
                    return try await answer(client, .get, route + "?" + query)
                }
                #expect(try await ask(table.good)?.status == 200, "\(route)")
                for (name, kind) in table.kinds {
                    let others = table.good.filter { $0.name != name }
                    if table.required.contains(name) {
                        let missing = try await ask(others)
                        #expect(missing?.verdict == "400 missing_parameter" && missing?.problemField == name, "\(route) without \(name)")
                        let empty = try await ask(others + [(name, "")])
                        #expect(empty?.verdict == "400 missing_parameter" && empty?.problemField == name, "\(route) with an empty \(name)")
                    }
                    for text in hostileTexts where !(name == "partial" && text == "true") {
                        guard let answer = try await ask(others + [(name, text)]) else { continue }
                        if kind == .text, answer.status == 200 { continue }
                        expectRefusal(answer, "\(route) \(name)=\(text.prefix(40))")
                        #expect(answer.problemField == name, "\(route) \(name)=\(text.prefix(40)): \(answer.text.prefix(200))")
                    }
                    let twice = try await ask(others + [(name, "1"), (name, "1")])
                    #expect(twice?.verdict == "400 duplicate_parameter" && twice?.problemField == name, "\(route) \(name) twice")
                }
                for unknown in ["x", "", "instrument_id", "limit\u{0}", "LIMIT", String(repeating: "y", count: 3_000)] {
                    guard let answer = try await ask(table.good + [(unknown, "1")]) else { continue }
                    expectRefusal(answer, "\(route) \(unknown.prefix(20))")
                    #expect(answer.problemCode == "unknown_parameter", "\(route) \(unknown.prefix(20))")
                }
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    @Test func barParametersOutOfRangeAreRefused() async throws {
        let cases = [
            ("interval=0", "interval"), ("interval=367d", "interval"), ("interval=-1m", "interval"), ("interval=1.5m", "interval"),
            ("interval=1mm", "interval"), ("interval=9999999999s", "interval"), ("limit=50001", "limit"), ("limit=0", "limit"),
            ("countback=0", "countback"), ("countback=50001", "countback"), ("as_of=1599-12-31T23:59:59Z", "as_of"),
            ("as_of=2401-01-01T00:00:00Z", "as_of"), ("start=2016-02-30T00:00:00Z", "start"), ("start=2016-10-08", "start"),
            ("end=2016-10-08T25:00:00Z", "end"), ("revisions_as_of=now", "revisions_as_of"), ("format=xml", "format"),
        ]
        try await withDoors { doors in
            for (query, field) in cases {
                let rest = query.hasPrefix("interval") ? query : "interval=1m&" + query
                for isInternal in [false, true] {
                    let route = isInternal ? "/internal/v1/bars" : "/api/bars"
                    let answer = try await send(doors, isInternal: isInternal).get("\(route)?instrument=BTCUSD&\(rest)")
                    #expect(answer.status == 400 && answer.problemField == field, "\(query): \(answer.text)")
                }
            }
        }
    }

    @Test func namesInPathsThatNobodyHasAreNotFound() async throws {
        try await withDoors { doors in
            let before = try await doors.fingerprint()
            for (method, prefix, suffix, isInternal) in Self.paths {
                let client = try send(doors, isInternal: isInternal)
                let others = ["01920000-0000-7000-8000-000000000000", "ETHUSD", "BTCUSD@replay-1", "BTCUSD@replay--1", "BTCUSD@BTCUSD", "btcusd"]
                for text in hostileTexts + others {
                    let answer = try await client.send(method, prefix + escaped(text) + suffix)
                    expectRefusal(answer, "\(method.rawValue) \(prefix)\(text.prefix(40))\(suffix)")
                    #expect(answer.status == 404 || answer.status == 400, "\(prefix)\(text.prefix(40)): \(answer.status)")
                }
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    @Test func bodiesAreRefusedByField() async throws {
        try await withDoors { doors in
            let before = try await doors.fingerprint()
            for table in Self.bodies {
                let client = try send(doors, isInternal: table.isInternal)
                func post(_ body: JSONValue) async throws -> RequestClient.Answer { try await client.post(table.route, json: body) }
                guard case .object(let members) = table.good else { continue }
                for (field, good) in members {
                    if table.required.contains(field) {
                        let missing = try await post(table.with(field, nil))
                        #expect(missing.verdict == "400 missing_field" && missing.problemField == field, "\(table.route) without \(field)")
                        #expect(try await post(table.with(field, .null)).verdict == "400 wrong_type", "\(table.route) \(field) null")
                    }
                    for wrong: JSONValue in [7, -1.5, true, [], ["x"], [:], ["a": 1]] where !wrong.isLike(good) {
                        let answer = try await post(table.with(field, wrong))
                        expectRefusal(answer, "\(table.route) \(field)=\(wrong)")
                        #expect(answer.problemField == field, "\(table.route) \(field)=\(wrong): \(answer.text)")
                    }
                    // A number is no bad name for an instrument.
                    for text in hostileTexts where !(field == "symbol" && (1...40).contains(text.count) && text.allSatisfy(\.isNumber)) {
                        let answer = try await post(table.with(field, .string(text)))
                        expectRefusal(answer, "\(table.route) \(field)=\(text.prefix(40))")
                        let isNamed = answer.problemField == field || answer.problemCode == "invalid_json"
                        #expect(isNamed, "\(table.route) \(field)=\(text.prefix(40)): \(answer.text.prefix(200))")
                    }
                }
                let unknown = try await post(table.with("colour", "red"))
                #expect(unknown.verdict == "400 unknown_field" && unknown.problemField == "colour")
                #expect(try await post([]).status == 400)
                for bytes: [UInt8] in [
                    [], Array("{".utf8), [0xFF, 0xFE], Array("{\"symbol\":\"A\",\"symbol\":\"B\"}".utf8),
                    Array(String(repeating: "[", count: 9_000).utf8),
                    Array("nul".utf8), Array("{\"a\":1}{".utf8),
                ] {
                    let answer = try await client.send(.post, table.route, headers: [("Content-Type", "application/json")], body: bytes)
                    expectRefusal(answer, "\(table.route) \(bytes.count) bytes")
                }
                let plain = try await client.send(.post, table.route, headers: [("Content-Type", "text/plain")], body: Array("{}".utf8))
                #expect(plain.verdict == "415 unsupported_media_type")
                for key in ["", " ", "a b", "ü", "\u{0}", String(repeating: "k", count: 256)] {
                    let answer = try await client.post(table.route, json: table.good, headers: [("Idempotency-Key", key)])
                    #expect(answer.verdict == "400 invalid_idempotency_key", "\(table.route) \(key.prefix(9))")
                }
                let asked = try await client.send(
                    .post,
                    table.route + "?x=1",
                    headers: [("Content-Type", "application/json")],
                    body: WireJSON.encode(table.good)
                )
                #expect(asked.verdict == "400 unknown_parameter" && asked.problemField == "x")
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    @Test func replaysOutOfRangeAreRefused() async throws {
        let cases = [
            (#"{"instrument": "BTCUSD", "speed": 0}"#, "400 invalid_speed", "speed"),
            (#"{"instrument": "BTCUSD", "speed": -1}"#, "400 invalid_speed", "speed"),
            (#"{"instrument": "BTCUSD", "speed": 1e8}"#, "400 invalid_speed", "speed"),
            (#"{"instrument": "BTCUSD", "speed": 1e400}"#, "400 invalid_value", "speed"),
            (#"{"instrument": "BTCUSD", "interval": "0s"}"#, "400 invalid_interval", "interval"),
            (#"{"instrument": "BTCUSD", "interval": "1s"}"#, "422 interval_not_available", "interval"),
            (#"{"instrument": "BTCUSD", "start": "2016-10-08T00:10:00Z", "end": "2016-10-08T00:10:00Z"}"#, "400 invalid_end", "end"),
            (#"{"instrument": "BTCUSD", "start": "9999-12-31T23:59:59Z"}"#, "400 invalid_start", "start"),
            (#"{"instrument": "BTCUSD", "end": "0001-01-01T00:00:00Z"}"#, "400 invalid_end", "end"),
            (#"{"instrument": "BTCUSD", "start": "2020-01-01T00:00:00Z"}"#, "422 nothing_to_replay", "start"),
            (#"{"instrument": "ETHUSD"}"#, "404 unknown_instrument", "instrument"),
        ]
        try await withDoors { doors in
            let before = try await doors.fingerprint()
            let client = try send(doors, isInternal: false)
            for (body, verdict, field) in cases {
                let answer = try await client.send(.post, "/api/replays", headers: [("Content-Type", "application/json")], body: Array(body.utf8))
                #expect(answer.verdict == verdict && answer.problemField == field, "\(body): \(answer.text)")
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    @Test func importsOfAnythingChangeNothing() async throws {
        try await withDoors { doors in
            let before = try await doors.fingerprint()
            let client = try send(doors, isInternal: false)
            let file = Array(minutes(from: "2016-10-09T00:00:00Z", count: 3).utf8)
            func post(_ query: String, _ body: [UInt8]) async throws -> RequestClient.Answer? {
                try await answer(client, .post, "/api/imports?\(query)", body: body)
            }
            #expect(try await post("", file)?.verdict == "400 missing_parameter")
            for name in ["time_zone", "asset_class", "price", "symbol", "date_order", "stamps"] {
                // Symbols are written large, and then some of these are quite good ones.
                for text in hostileTexts where !(name == "symbol" && InstrumentSymbol.isValid(text.uppercased())) {
                    guard let answer = try await post("filename=ETHUSD.csv&\(name)=\(escaped(text))", file) else { continue }
                    expectRefusal(answer, "\(name)=\(text.prefix(40))")
                    #expect(answer.problemField == name, "\(name)=\(text.prefix(40)): \(answer.text.prefix(200))")
                }
            }
            for text in hostileTexts {
                // A name is never a path, so nothing is read or written anywhere; the file has no row.
                if let answer = try await post("filename=\(escaped(text))", Array("time,open,high,low,close,volume\n".utf8)) {
                    expectRefusal(answer, "filename=\(text.prefix(40))")
                }
            }
            #expect(try await post("filename=ETHUSD.csv&x=1", file)?.verdict == "400 unknown_parameter")
            let zip = stored("time,open,high,low,close\n", as: "../../../../etc/cron.d/x")
            let hostileBodies: [[UInt8]] = [
                [], [0], Array("PK".utf8), Array(zip.prefix(40)), zip, [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3], Array(repeating: 0xFF, count: 70_000),
                Array(repeating: 0x2C, count: 70_000), Array("time,open,high,low,close,volume\n".utf8),
                Array("time,open,high,low,close,volume\n2016-10-09T00:00:00,NaN,inf,-1,1e999,x\n".utf8),
                Array("time,open,high,low,close,volume\n99999-10-09T00:00:00,1,1,1,1,1\n".utf8),
                Array("time,open,high,low,close,volume\n2016-10-09T00:00:00,1,0,2,1,1\n".utf8),
                Array("time,open,high,low,close,volume\n2016-10-09T00:00:00,1,1,1,1,\u{0}\n".utf8),
                Array("[[1,2,3,4,5]]".utf8), Array("[[1e400,2,3,4,5,6]]".utf8), Array(("{" + String(repeating: "[", count: 9_000)).utf8),
            ]
            for (index, body) in hostileBodies.enumerated() {
                expectRefusal(try #require(try await post("filename=ETHUSD.csv", body)), "body \(index)")
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    @Test func watchesOfAnythingChangeNothing() async throws {
        try await withDoors { doors in
            let scheduler = try doors.service("scheduler")
            let good: JSONValue = ["watches": [["instrument": "BTCUSD", "interval_seconds": 60]]]
            #expect(try await scheduler.post("/internal/v1/watches", json: good).status == 204)
            let before = try await doors.fingerprint()
            let bodies: [String] = [
                "", "{", "[]", "{}", #"{"watches": null}"#, #"{"watches": {}}"#, #"{"watches": "all"}"#, #"{"watches": [7]}"#, #"{"watches": [{}]}"#,
                #"{"watches": [{"instrument": "BTCUSD"}]}"#, #"{"watches": [{"instrument": 7, "interval_seconds": 60}]}"#,
                #"{"watches": [{"instrument": "BTCUSD", "interval_seconds": "60"}]}"#,
                #"{"watches": [{"instrument": "BTCUSD", "interval_seconds": 1.5}]}"#,
                #"{"watches": [{"instrument": "BTCUSD", "interval_seconds": 1e300}]}"#,
                #"{"watches": [{"instrument": "BTC\u0000USD", "interval_seconds": 60}]}"#, String(repeating: "[", count: 9_000),
            ]
            for body in bodies {
                let answer = try await scheduler.send(
                    .post,
                    "/internal/v1/watches",
                    headers: [("Content-Type", "application/json")],
                    body: Array(body.utf8)
                )
                expectRefusal(answer, "watches \(body.prefix(60))")
            }
            #expect(try await scheduler.post("/internal/v1/watches?x=1", json: good).verdict == "400 unknown_parameter")
            #expect(try await doors.fingerprint() == before)
            // Names that nobody has are passed over, whatever they are.
            for text in hostileTexts where !text.contains("\u{0}") {
                let watches: JSONValue = [
                    "watches": [["instrument": "BTCUSD", "interval_seconds": 60], ["instrument": .string(text), "interval_seconds": 60]]
                ]
                #expect(try await scheduler.post("/internal/v1/watches", json: watches).status == 204, "\(text.prefix(40))")
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    /// A file of 100,000 bytes in two parts that is about to come; gives its id.
    private func makeUpload(_ client: RequestClient) async throws -> String {
        let made = try await client.post("/api/uploads", json: ["filename": "x.csv", "bytes": 100_000, "part_bytes": 65_536] as JSONValue)
        return try #require(try made.json()["id"]?.string)
    }

    /// A replay of an account of its own; gives its id.
    private func makeReplay(_ doors: Doors) async throws -> String {
        let made = try await doors.client(Person(roles: ["provider"])).post("/api/replays", json: ["instrument": "BTCUSD"] as JSONValue)
        return try #require(try made.json()["id"]?.string)
    }
}

/// Who may do what with real tokens, and who may not.
@Suite("Credentials", .serialized, .enabled(if: TestServers.hasPostgres))
struct CredentialTests {
    private static let routes: [(method: HTTPServing.Method, path: String, body: JSONValue?)] = [
        (.get, "/api/bars?instrument=BTCUSD&interval=1m", nil), (.get, "/api/instruments", nil), (.get, "/api/instruments/BTCUSD", nil),
        (.get, "/api/instruments/BTCUSD/coverage", nil), (.get, "/api/datasets", nil), (.get, "/api/datasets/bars.crypto.BTCUSD.1m.trade", nil),
        (.get, "/api/calendars", nil), (.get, "/api/calendars/us-equity", nil), (.post, "/api/uploads", ["filename": "x.csv", "bytes": 70_000]),
        (.get, "/api/uploads/01920000-0000-7000-8000-000000000000", nil), (.delete, "/api/uploads/01920000-0000-7000-8000-000000000000", nil),
        (.put, "/api/uploads/01920000-0000-7000-8000-000000000000/parts/1", nil),
        (.post, "/api/uploads/01920000-0000-7000-8000-000000000000/import", nil),
        (.get, "/api/retention", nil), (.put, "/api/retention", ["keep_days": 99]), (.delete, "/api/retention", nil),
        (.post, "/api/instruments", ["symbol": "ETHUSD", "asset_class": "crypto"]), (.post, "/api/imports?filename=ETHUSD.csv", nil),
        (.get, "/api/replays", nil), (.post, "/api/replays", ["instrument": "BTCUSD"]), (.get, "/api/replays/REPLAY", nil),
        (.delete, "/api/replays/REPLAY", nil), (.post, "/api/replays/REPLAY/pause", nil), (.post, "/api/replays/REPLAY/resume", nil),
    ]

    private func send(_ client: RequestClient, _ route: (method: HTTPServing.Method, path: String, body: JSONValue?), _ replay: String) async throws
        -> String
    {
        let headers = route.body == nil ? [] : [("Content-Type", "application/json")]
        let path = route.path.replacing("REPLAY", with: replay)
        return try await client.send(route.method, path, headers: headers, body: route.body.map { WireJSON.encode($0) } ?? []).verdict
    }

    private func makeReplay(_ client: RequestClient) async throws -> String {
        try #require(try await client.post("/api/replays", json: ["instrument": "BTCUSD"] as JSONValue).json()["id"]?.string)
    }

    @Test func whatIsNoGoodTokenOpensNothing() async throws {
        try await withDoors { doors in
            let admin = Person(roles: ["admin", "provider", "subscriber"])
            let replay = try await makeReplay(doors.client(admin))
            let before = try await doors.fingerprint()
            let good = try doors.token(admin)
            let parts = good.split(separator: ".").map(String.init)
            let other = try doors.token(Person(roles: ["admin"])).split(separator: ".").map(String.init)
            let jobToken = try doors.jobToken()
            let serviceToken = try doors.credentials.serviceToken("signals", audience: "marketdata")
            let cases: [(what: String, header: String, value: String, verdict: String)] = [
                ("none", "X-Nothing", "1", "401 unauthorized"), ("empty", "Authorization", "Bearer ", "401"),
                ("no scheme", "Authorization", good, "401 unknown_scheme"),
                ("basic", "Authorization", "Basic YTpi", "401 unknown_scheme"), ("rubbish", "Authorization", "Bearer rubbish", "401 invalid_token"),
                ("cut", "Authorization", "Bearer \(good.dropLast(4))", "401 invalid_token"),
                ("another's signature", "Authorization", "Bearer \(parts[0]).\(parts[1]).\(other[2])", "401 invalid_token"),
                ("another's claims", "Authorization", "Bearer \(parts[0]).\(other[1]).\(parts[2])", "401 invalid_token"),
                ("no signature", "Authorization", "Bearer eyJhbGciOiJub25lIn0.\(parts[1]).", "401 invalid_token"),
                ("forged", "Authorization", "Bearer \(try doors.token(admin, key: .generate()))", "401 invalid_token"),
                (
                    "expired", "Authorization", "Bearer \(try doors.token(admin) { $0.expiresAt = Timestamp.now().seconds - 3_600 })",
                    "401 token_expired"
                ),
                ("wrong audience", "Authorization", "Bearer \(try doors.token(admin) { $0.audience = "elsewhere" })", "401 invalid_token"),
                ("wrong issuer", "Authorization", "Bearer \(try doors.token(admin) { $0.issuer = "mallory" })", "401 invalid_token"),
                ("a job's", "Authorization", "Bearer \(jobToken)", "401 invalid_token"),
                ("a service's", "Authorization", "Bearer \(serviceToken)", "401 invalid_token"),
                ("a service's scheme", "Authorization", "Service \(serviceToken)", "401 unknown_scheme"),
                ("unknown key", "X-API-Key", APIKeyText.make().text, "401 invalid_api_key"), ("no key", "X-API-Key", "aus_x", "401 invalid_api_key"),
                ("hostile key", "X-API-Key", "' OR 1=1 --", "401 invalid_api_key"),
                ("disabled key", "X-API-Key", doors.makeKey(.disabled, scopes: ["bars:read"]).text, "401 api_key_disabled"),
                ("expired key", "X-API-Key", doors.makeKey(.expired, scopes: ["bars:read"]).text, "401 api_key_expired"),
                ("other scopes", "X-API-Key", doors.makeKey(scopes: ["predictions:read", "jobs:write"]).text, "403 insufficient_scope"),
            ]
            for (what, header, value, verdict) in cases {
                let client = RequestClient(router: doors.router).with(header: header, value)
                for route in Self.routes {
                    let answer = try await send(client, route, replay)
                    #expect(answer.hasPrefix(verdict), "\(what): \(route.method.rawValue) \(route.path): \(answer)")
                }
            }
            #expect(try await doors.fingerprint() == before)
        }
    }

    @Test func rolesAndScopesOpenWhatTheyShould() async throws {
        try await withDoors { doors in
            let reader = doors.client(key: doors.makeKey(scopes: ["bars:read"]))
            let columns: [(String, RequestClient)] = [
                ("key", reader), ("nobody in particular", try doors.client(Person(roles: []))),
                ("subscriber", try doors.client(Person(roles: ["subscriber"]))),
                ("provider", try doors.client(Person(roles: ["provider"]))), ("admin", try doors.client(Person(roles: ["admin"]))),
            ]
            let (scope, role, gone) = ("403 insufficient_scope", "403 insufficient_role", "404 unknown_replay")
            let noUpload = "404 unknown_upload"
            let expected: [[String]] = [
                ["200", "200", "200", "200", "200"],  // bars
                ["200", "200", "200", "200", "200"], ["200", "200", "200", "200", "200"],  // instruments
                ["200", "200", "200", "200", "200"],  // coverage
                ["200", "200", "200", "200", "200"], ["200", "200", "200", "200", "200"],  // datasets
                ["200", "200", "200", "200", "200"], ["200", "200", "200", "200", "200"],  // calendars
                [scope, role, role, role, "201"],  // a new upload
                [scope, role, role, role, noUpload], [scope, role, role, role, noUpload],  // one, forgets it
                [scope, role, role, role, noUpload], [scope, role, role, role, noUpload],  // a part, its import
                [scope, role, role, role, "200"],  // rules of retention
                [scope, role, role, role, "200"], [scope, role, role, role, "204"],  // sets one, takes it away
                [scope, role, role, role, "201"],  // a new instrument
                [scope, role, role, role, "422 empty_file"],  // an import
                ["200", "200", "200", "200", "200"],  // replays
                [scope, role, role, "201", "201"],  // a new one
                ["200", "200", "200", "200", "200"],  // one
                [scope, role, role, gone, "204"],  // ends another's
                [scope, role, role, gone, "200"], [scope, role, role, gone, "200"],  // pauses, resumes another's
            ]
            #expect(expected.count == Self.routes.count)
            for (route, row) in zip(Self.routes, expected) {
                for ((name, client), verdict) in zip(columns, row) {
                    let replay = route.path.contains("REPLAY") ? try await makeReplay(doors.client(Person(roles: ["provider"]))) : ""
                    let answer = try await send(client, route, replay)
                    #expect(answer == verdict, "\(name): \(route.method.rawValue) \(route.path)")
                }
            }
        }
    }

    @Test func anothersReplayCannotBeTouched() async throws {
        try await withDoors { doors in
            let owner = try doors.client(Person(roles: ["provider"]))
            let stranger = try doors.client(Person(roles: ["provider", "subscriber"]))
            let id = try await makeReplay(owner)
            let before = try await doors.fingerprint()
            for (method, path) in [
                (HTTPServing.Method.post, "/api/replays/\(id)/pause"), (.post, "/api/replays/\(id)/resume"), (.delete, "/api/replays/\(id)"),
            ] {
                #expect(try await stranger.send(method, path).verdict == "404 unknown_replay")
            }
            #expect(try await doors.fingerprint() == before)
            #expect(try await owner.send(.post, "/api/replays/\(id)/pause").status == 200)
            #expect(try await owner.send(.post, "/api/replays/\(id)/pause").status == 200)
            #expect(try await stranger.send(.post, "/api/replays/\(id)/resume").verdict == "404 unknown_replay")
            #expect(try await owner.delete("/api/replays/\(id)").status == 204)
        }
    }

    @Test func fiveReplaysAtOnceAreOneTooMany() async throws {
        try await withDoors { doors in
            let provider = try doors.client(Person(roles: ["provider"]))
            var ids: [String] = []
            for _ in 0..<4 { ids.append(try await makeReplay(provider)) }
            let before = try await doors.fingerprint()
            let fifth = try await provider.post("/api/replays", json: ["instrument": "BTCUSD"] as JSONValue, headers: [("Idempotency-Key", "fifth")])
            #expect(fifth.verdict == "409 too_many_replays")
            #expect(try await doors.fingerprint() == before)
            #expect(try await provider.send(.post, "/api/replays/\(ids[0])/pause").status == 200)
            let again = try await provider.post("/api/replays", json: ["instrument": "BTCUSD"] as JSONValue, headers: [("Idempotency-Key", "fifth")])
            #expect(again.status == 201)
            #expect(try await provider.send(.post, "/api/replays/\(ids[0])/resume").verdict == "409 too_many_replays")
        }
    }

    @Test func theInternalDoorOpensForNamedServicesOnly() async throws {
        try await withDoors { doors in
            let before = try await doors.fingerprint()
            let watches: JSONValue = ["watches": []]
            let routes: [(method: HTTPServing.Method, path: String, body: JSONValue?)] = [
                (.get, "/internal/v1/bars?instrument=BTCUSD&interval=1m", nil), (.get, "/internal/v1/instruments/BTCUSD", nil),
                (.post, "/internal/v1/watches", watches), (.get, "/internal/v1/datasets/bars.crypto.BTCUSD.1m.trade", nil),
            ]
            let access = try doors.token(Person(roles: ["admin"]))
            let columns: [(String, RequestClient, [String])] = [
                ("nobody", RequestClient(router: doors.internalRouter), Array(repeating: "401 service_token_missing", count: 4)),
                (
                    "a person", RequestClient(router: doors.internalRouter).with(header: "Authorization", "Bearer \(access)"),
                    Array(repeating: "401 service_token_missing", count: 4)
                ),
                (
                    "a person as a service", RequestClient(router: doors.internalRouter).with(header: "Authorization", "Service \(access)"),
                    Array(repeating: "401 invalid_service_token", count: 4)
                ),
                ("for auth", try doors.service("signals", audience: "auth"), Array(repeating: "401 invalid_service_token", count: 4)),
                ("forged", try doors.service("scheduler", key: .generate()), Array(repeating: "401 invalid_service_token", count: 4)),
                (
                    "in another's name", try doors.service("scheduler", key: doors.credentials.key(of: "executor")),
                    Array(repeating: "401 invalid_service_token", count: 4)
                ),
                ("auth", try doors.service("auth"), Array(repeating: "403 caller_not_allowed", count: 4)),
                ("signals", try doors.service("signals"), ["200", "200", "403 caller_not_allowed", "200"]),
                ("scheduler", try doors.service("scheduler"), ["403 caller_not_allowed", "200", "204", "200"]),
                (
                    "executor", try doors.service("executor"),
                    ["401 job_token_missing", "403 caller_not_allowed", "403 caller_not_allowed", "401 job_token_missing"]
                ),
            ]
            for (name, client, row) in columns {
                for (route, verdict) in zip(routes, row) {
                    #expect(try await send(client, route, "") == verdict, "\(name): \(route.path)")
                }
            }
            let executor = try doors.service("executor")
            let long = Timestamp.now() - .seconds(7_200)
            let tokens: [(String, String, String)] = [
                ("rubbish", "rubbish", "401 invalid_job_token"), ("an access token", access, "401 invalid_job_token"),
                ("signed by the executor", try doors.jobToken(by: "executor"), "401 invalid_job_token"),
                ("expired", try doors.jobToken(now: long), "401 invalid_job_token"),
                ("for another instrument", try doors.jobToken(instruments: ["ETHUSD"]), "403 outside_job_token"),
                ("for none", try doors.jobToken(instruments: []), "403 outside_job_token"), ("good", try doors.jobToken(), "200"),
            ]
            for (what, token, verdict) in tokens {
                #expect(try await send(executor.with(header: "X-Auspex-Job", token), routes[0], "") == verdict, "\(what)")
            }
            #expect(try await doors.fingerprint() == before)
        }
    }
}

extension JSONValue {
    /// Whether it is of the kind that the field takes.
    fileprivate func isLike(_ other: JSONValue) -> Bool {
        switch (self, other) {
        case (.bool, .bool), (.string, .string), (.array, .array), (.object, .object): true
        case (.integer(let value), .integer), (.integer(let value), .number): value > 0
        default: false
        }
    }
}
