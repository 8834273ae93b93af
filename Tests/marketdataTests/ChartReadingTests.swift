import Bars
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The arrays of an answer's columns by name, each as the bytes between its brackets; nothing has a bracket inside.
private func columns(_ body: [UInt8], of member: String) throws -> [String: String] {
    let text = String(decoding: body, as: UTF8.self)
    let start = try #require(text.firstRange(of: "\"\(member)\":{")).upperBound
    let end = try #require(text[start...].firstIndex(of: "}"))
    var found: [String: String] = [:]
    var rest = text[start..<end]
    while let open = rest.firstIndex(of: "[") {
        let name = rest[..<open].split(separator: "\"").first { $0 != "," && $0 != ":" } ?? ""
        let close = try #require(rest.firstIndex(of: "]"))
        found[String(name)] = String(rest[rest.index(after: open)..<close])
        rest = rest[rest.index(after: close)...]
    }
    return found
}

/// Earlier parts before later ones, as one object would have them.
private func joined(_ parts: [[String: String]]) -> [String: String] {
    var whole: [String: String] = [:]
    for part in parts {
        for (name, text) in part where !text.isEmpty { whole[name] = whole[name].map { text + "," + $0 } ?? text }
    }
    return whole
}

@Suite(.enabled(if: TestServers.hasPostgres)) struct ChartReadingTests {
    @Test func thePartsAreTheSpecsAndAnswerTheLastPointsFirst() async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            for day in 9..<14 {
                try await doors.bench.take(minutes(from: "2016-10-\(day < 10 ? "09" : "\(day)")T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            }
            let token = try await doors.token()
            let first = try await doors.historical(token, "BTCUSD", "1m", "2016-10-08", "2016-10-13")
            #expect(first.status == 200)
            let json = try first.json()
            #expect(json["count"] == .integer(5_000))
            #expect(json["has_more"] == .bool(true))
            #expect(json["columns"]?["start"]?[4_999]?.string == "2016-10-13T23:59:00.000000Z")
            let next = try #require(json["next_before"]?.string)
            #expect(json["columns"]?["start"]?[0]?.string == next)
            let id = try #require(json["request_id"]?.string)
            let chunk = "/historical/chunk?session_token=\(token)&request_id=\(id)"
            let second = try await doors.stranger.get("\(chunk)&before=\(next)&limit=3000").json()
            #expect(second["request_id"]?.string == id)
            #expect(second["count"] == .integer(3_000))
            #expect(second["has_more"] == .bool(true))
            let last = try await doors.stranger.get("\(chunk)&before=\(try #require(second["next_before"]?.string))").json()
            #expect(last["count"] == .integer(640))
            #expect(last["has_more"] == .bool(false))
            #expect(last["next_before"] == .null)
            #expect(last["columns"]?["start"]?[0]?.string == "2016-10-08T00:00:00.000000Z")
            // Without the slash, and with bounds beyond what there is.
            let same = try await doors.stranger.get("/historical?session_token=\(token)&symbol=BTCUSD&interval=1m&start=2016-10-08&end=2016-10-13")
            #expect(same.body == first.body)
            #expect(try await doors.stranger.get("\(chunk)&before=2016-10-08T00:00:00Z").json()["count"] == .integer(0))
            // Any replica knows the chart.
            let other = try ChartDoors(doors.store, doors.pool, time: SystemTimeSource(), limits: ChartLimits())
            #expect(try await other.stranger.get("\(chunk)&before=\(next)&limit=3000").json() == second)
            #expect(
                try await doors.stranger.get("\(chunk)&before=2399-01-01T00:00:00Z&limit=1").json()["columns"]?["start"]?[0]?.string
                    == "2016-10-13T23:59:00.000000Z"
            )
            for (query, code, field) in [
                ("&before=2016-10-08T00:00:00Z&limit=5001", "invalid_parameter", "limit"),
                ("&before=2016-10-08T00:00:00Z&limit=0", "invalid_parameter", "limit"),
                ("", "missing_parameter", "before"), ("&before=soon", "invalid_parameter", "before"),
                ("&before=9999-01-01T00:00:00Z", "invalid_parameter", "before"),
                ("&before=2016-10-08T00:00:00Z&x=1", "unknown_parameter", "x"),
            ] {
                let answer = try await doors.stranger.get(chunk + query)
                #expect(answer.status == 400 && answer.problemCode == code && answer.problemField == field, "\(query)")
            }
        }
    }

    /// All parts joined are one call of `/api/bars` as of the moment to which the chart is pinned, whatever is imported meanwhile.
    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func allPartsJoinedAreOneCallWhileAnImportRevisesTheRange(seed: UInt64) async throws {
        var random = SplitMix(seed: seed)
        try await withChartDoors { doors in
            let interval = ["1m", "3m", "7m", "1h", "1d"][Int(seed) - 1]
            for day in 10..<22 {
                try await doors.bench.take(
                    minutes(from: "2016-10-\(day)T00:00:00Z", count: 1_440, first: day * 10, skipping: [3, 700]),
                    as: "BTCUSD.csv"
                )
            }
            // Two sides of the correction overlap the last part, the middle and the first.
            func revise() async throws {
                let day = 10 + Int(random.next() % 12)
                let hour = Int(random.next() % 20)
                let first = 5_000 + Int(random.next() % 1_000)
                try await doors.bench.take(
                    minutes(
                        from: "2016-10-\(day)T\(hour < 10 ? "0" : "")\(hour):00:00Z",
                        count: 120,
                        first: first,
                        skipping: [Int(random.next() % 100)]
                    ),
                    as: "BTCUSD.csv"
                )
            }
            let token = try await doors.token()
            let first = try await doors.historical(token, "BTCUSD", interval, "2016-10-10T05:00:00Z", "2016-10-21")
            var json = try first.json()
            let id = try #require(json["request_id"]?.string)
            var parts = [try columns(first.body, of: "columns")]
            var count: Int64 = json["count"]?.integer ?? 0
            let page = interval == "1d" ? 3 : interval == "1h" ? 60 : 1_000
            var before = json["next_before"]?.string ?? "2016-10-10T05:00:00Z"
            if json["next_before"]?.string == nil {
                // Short enough for one answer: then read it again, in parts.
                parts = []
                count = 0
                before = "2016-10-22T00:00:00Z"
            }
            while true {
                // An import may come before, within or after a read.
                if random.next() % 2 == 0 { try await revise() }
                let path = "/historical/chunk?session_token=\(token)&request_id=\(id)&before=\(before)&limit=\(page + Int(random.next() % 7))"
                async let read = doors.stranger.get(path)
                if random.next() % 2 == 0 { try await revise() }
                let part = try await read
                #expect(part.status == 200 && part.headers["x-auspex-as-of"] == first.headers["x-auspex-as-of"])
                json = try part.json()
                parts.append(try columns(part.body, of: "columns"))
                count += json["count"]?.integer ?? 0
                guard let next = json["next_before"]?.string else { break }
                before = next
            }
            try await revise()
            let pinned = try #require(first.headers["x-auspex-as-of"])
            let kept = try await doors.pool.query("SELECT as_of FROM chart_requests WHERE id::text = \(id)").first?.column(0, as: Timestamp.self)
            #expect(kept?.iso8601 == pinned)
            let call = "/api/bars?instrument=BTCUSD&interval=\(interval)&start=2016-10-10T05:00:00Z&end=2016-10-22T00:00:00Z&limit=50000"
            let whole = try await doors.client(doors.person).get("\(call)&as_of=\(pinned)")
            #expect(try whole.json()["count"]?.integer == count)
            #expect(try columns(whole.body, of: "bars") == joined(parts))
            // And the imports were really there.
            let now = try await doors.client(doors.person).get(call)
            #expect(try columns(now.body, of: "bars") != joined(parts))
        }
    }

    @Test func theColumnsAreTheSameObject() async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 500), as: "BTCUSD.csv")
            let token = try await doors.token()
            let chart = try await doors.historical(token, "BTCUSD", "5m", "2016-10-08T01:00:00Z", "2016-10-08T03:00:00Z").text
            let bars = try await doors.client(doors.person)
                .get("/api/bars?instrument=BTCUSD&interval=5m&start=2016-10-08T01:00:00Z&end=2016-10-08T03:00:00Z").text
            let object = try #require(bars.firstRange(of: "\"bars\":").map { bars[$0.upperBound...].dropLast() })
            #expect(chart.contains("\"columns\":\(object),\"count\":24,"))
        }
    }

    @Test func theSameQuestionAgainReadsNothingUntilSomethingIsRevised() async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            let token = try await doors.token()
            func ask(_ token: String, _ end: String = "2016-10-08") async throws -> RequestClient.Answer {
                try await doors.historical(token, "BTCUSD", "5m", "2016-10-08", end)
            }
            let first = try await ask(token)
            let reads = doors.lookups.lookups
            #expect(try await ask(token).body == first.body)
            #expect(doors.lookups.lookups == reads)
            // Another session gets a chart of its own, of the same bars.
            let other = try await ask(try await doors.token())
            #expect(other.body != first.body)
            #expect(try columns(other.body, of: "columns") == columns(first.body, of: "columns"))
            // A correction is another answer; the chart that was begun stays as it was.
            try await doors.bench.take(minutes(from: "2016-10-08T10:00:00Z", count: 60, first: 9_000), as: "BTCUSD.csv")
            let revised = try await ask(token)
            #expect(try columns(revised.body, of: "columns") != columns(first.body, of: "columns"))
            let id = try #require(try first.json()["request_id"]?.string)
            let again = try await doors.stranger.get("/historical/chunk?session_token=\(token)&request_id=\(id)&before=2016-10-09T00:00:00Z")
            #expect(try columns(again.body, of: "columns") == columns(first.body, of: "columns"))
            // So is a day more.
            try await doors.bench.take(minutes(from: "2016-10-09T00:00:00Z", count: 10), as: "BTCUSD.csv")
            #expect(try await ask(token).body == revised.body)
            #expect(try await ask(token, "2016-10-09").json()["count"] == .integer(290))
            try await doors.bench.take(minutes(from: "2016-10-09T00:10:00Z", count: 10), as: "BTCUSD.csv")
            #expect(try await ask(token, "2016-10-09").json()["count"] == .integer(292))
        }
    }

    /// Thin data: the first guess at the days that matter is too short, and what is older than the guess is revised.
    @Test func whatIsOlderThanTheFirstGuessCountsToo() async throws {
        try await withChartDoors { doors in
            for month in ["01", "04", "08"] {
                try await doors.bench.take(
                    rows(at: times(from: "2016-\(month)-05T00:00:00Z", to: "2016-\(month)-05T00:30:00Z", every: 1), first: 100),
                    as: "BTCUSD.csv"
                )
            }
            let token = try await doors.token()
            func ask() async throws -> RequestClient.Answer { try await doors.historical(token, "BTCUSD", "1s", "2016-01-01", "2016-08-31") }
            let first = try await ask()
            #expect(try first.json()["count"] == .integer(5_000))
            #expect(try first.json()["has_more"] == .bool(true))
            let reads = doors.lookups.lookups
            #expect(try await ask().body == first.body)
            #expect(doors.lookups.lookups == reads)
            let correction = rows(at: times(from: "2016-01-05T00:10:00Z", to: "2016-01-05T00:20:00Z", every: 1), first: 7_000)
            try await doors.bench.take(correction, as: "BTCUSD.csv")
            #expect(try await ask().body != first.body)
        }
    }

    @Test func aChartEndsAndIsNobodyElses() async throws {
        let time = ManualTimeSource(.now())
        var limits = ChartLimits()
        limits.requestLifetime = .seconds(600)
        limits.requestsPerSession = 2
        try await withChartDoors(time: time, limits: limits) { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            let (mine, other) = (try await doors.token(), try await doors.token())
            func open(_ interval: String = "1m") async throws -> String {
                try await doors.historical(mine, "BTCUSD", interval, "2016-10-08", "2016-10-08").json()["request_id"]?.string ?? ""
            }
            func chunk(_ token: String, _ id: String, _ before: String = "2016-10-08T00:10:00Z") async throws -> String {
                try await doors.stranger.get("/historical/chunk?session_token=\(token)&request_id=\(id)&before=\(before)").verdict
            }
            let id = try await open()
            #expect(try await chunk(mine, id) == "200")
            #expect(try await chunk(other, id) == "404 unknown_request")
            #expect(try await chunk(mine, "01920000-0000-7000-8000-000000000000") == "404 unknown_request")
            #expect(try await chunk(mine, "rubbish") == "404 unknown_request")
            #expect(try await chunk("x", id) == "401 invalid_session_token")
            // Asked for again in the second half of its time, it lives on.
            time.advance(by: .seconds(400))
            #expect(try await open() == id)
            time.advance(by: .seconds(400))
            #expect(try await chunk(mine, id) == "200")
            time.advance(by: .seconds(200))
            #expect(try await chunk(mine, id) == "410 request_expired")
            #expect(try await chunk(mine, id, "2016-10-08T00:07:00Z") == "410 request_expired")
            #expect(try await chunk(other, id) == "404 unknown_request")
            let second = try await open()
            #expect(second != id)
            // With one more than a session may have the oldest one ends.
            time.advance(by: .seconds(1))
            let third = try await open("2m")
            time.advance(by: .seconds(1))
            let fourth = try await open("3m")
            #expect(try await chunk(mine, second) == "410 request_expired")
            #expect(try await chunk(mine, third) == "200")
            #expect(try await chunk(mine, fourth) == "200")
        }
    }

    @Test(arguments: [
        ("symbol=BTCUSD&interval=1m&start=2016-10-08", "missing_parameter", "end"),
        ("symbol=BTCUSD&interval=1m&end=2016-10-08", "missing_parameter", "start"),
        ("interval=1m&start=2016-10-08&end=2016-10-08", "missing_parameter", "symbol"),
        ("symbol=BTCUSD&start=2016-10-08&end=2016-10-08", "missing_parameter", "interval"),
        ("symbol=BTCUSD&interval=1m&start=2016-10-09&end=2016-10-08", "invalid_parameter", "end"),
        ("symbol=BTCUSD&interval=1m&start=2016-10-08T01:00:00Z&end=2016-10-08T01:00:00Z", "invalid_parameter", "end"),
        ("symbol=BTCUSD&interval=1m&start=2016-02-30&end=2016-10-08", "invalid_parameter", "start"),
        ("symbol=BTCUSD&interval=1m&start=1500-01-01&end=2016-10-08", "invalid_parameter", "start"),
        ("symbol=BTCUSD&interval=1m&start=2016-10-08&end=9999-01-01", "invalid_parameter", "end"),
        ("symbol=BTCUSD&interval=1m&start=2016-10-08&end=2016-10-08&x=1", "unknown_parameter", "x"),
        ("symbol=BTCUSD&interval=soon&start=2016-10-08&end=2016-10-08", "invalid_parameter", "interval"),
        ("symbol=BTCUSD&interval=90s&start=2016-10-08&end=2016-10-08", "interval_not_available", "interval"),
        ("symbol=NONE&interval=1m&start=2016-10-08&end=2016-10-08", "unknown_instrument", "symbol"),
        ("symbol=%27%3B+DROP+TABLE&interval=1m&start=2016-10-08&end=2016-10-08", "unknown_instrument", "symbol"),
    ])
    func badQuestionsAreNamed(query: String, code: String, field: String) async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            let answer = try await doors.stranger.get("/historical/?session_token=\(try await doors.token())&\(query)")
            #expect((400..<500).contains(answer.status) && answer.problemCode == code && answer.problemField == field, "\(answer.text)")
            #expect(try await doors.count("chart_requests") == 0)
        }
    }

    /// Days of foreign exchange begin at 17:00 in New York, which is 21:00 or 22:00 in UTC.
    @Test(
        arguments: [
            ("2016-10-12", "2016-10-12", "2016-10-11T21:00:00.000000Z", "2016-10-12T20:00:00.000000Z", 24),
            // Clocks go back on Sunday, 6 November: the Monday begins an hour later in UTC.
            ("2016-11-07", "2016-11-07", "2016-11-06T22:00:00.000000Z", "2016-11-07T21:00:00.000000Z", 24),
            ("2016-11-04T16:00", "2016-11-07", "2016-11-04T20:00:00.000000Z", "2016-11-07T21:00:00.000000Z", 25),
            ("2016-11-07T22:30:00Z", "2016-11-08T00:30:00Z", "2016-11-07T23:00:00.000000Z", "2016-11-08T00:00:00.000000Z", 2),
            // Sunday has no trading day of its own: its evening is Monday's.
            ("2016-11-06", "2016-11-06", nil, nil, 0),
        ] as [(String, String, String?, String?, Int)]
    )
    func aBareDateIsADayOfTheExchange(start: String, end: String, first: String?, last: String?, count: Int) async throws {
        try await withChartDoors { doors in
            try await doors.store.create(listed("EURUSD", .forex, CalendarCatalogue.forex))
            var hours = times(from: "2016-10-09T21:00:00Z", to: "2016-10-14T21:00:00Z", every: 3_600)
            hours += times(from: "2016-10-31T21:00:00Z", to: "2016-11-04T21:00:00Z", every: 3_600)
            hours += times(from: "2016-11-06T22:00:00Z", to: "2016-11-11T22:00:00Z", every: 3_600)
            try await doors.bench.take(rows(at: hours), as: "EURUSD.csv")
            let json = try await doors.historical(try await doors.token(), "EURUSD", "1h", start, end).json()
            #expect(json["count"] == .integer(Int64(count)))
            #expect(json["columns"]?["start"]?[0]?.string == first)
            if count > 0 { #expect(json["columns"]?["start"]?[count - 1]?.string == last) }
        }
    }

    @Test func daysOfAnEquityFollowNewYorksClock() async throws {
        try await withChartDoors { doors in
            try await doors.store.create(listed("SPY", .equity, CalendarCatalogue.usEquity))
            // Half past nine to four, the week before and the week after clocks go forward on 12 March 2017.
            var bars = times(from: "2017-03-10T14:30:00Z", to: "2017-03-10T21:00:00Z", every: 1_800)
            bars += times(from: "2017-03-13T13:30:00Z", to: "2017-03-13T20:00:00Z", every: 1_800)
            try await doors.bench.take(rows(at: bars), as: "SPY.csv")
            let token = try await doors.token()
            let friday = try await doors.historical(token, "SPY", "30m", "2017-03-10", "2017-03-10").json()
            #expect(friday["count"] == .integer(13))
            #expect(friday["columns"]?["start"]?[0]?.string == "2017-03-10T14:30:00.000000Z")
            let monday = try await doors.historical(token, "SPY", "30m", "2017-03-11", "2017-03-13").json()
            #expect(monday["count"] == .integer(13))
            #expect(monday["columns"]?["start"]?[0]?.string == "2017-03-13T13:30:00.000000Z")
            let clock = try await doors.historical(token, "SPY", "30m", "2017-03-10T15:30", "2017-03-13T10:00:00").json()
            #expect(clock["count"] == .integer(2))
            #expect(clock["columns"]?["start"]?[0]?.string == "2017-03-10T20:30:00.000000Z")
            let days = try await doors.historical(token, "SPY", "1d", "2017-03-01", "2017-03-13").json()
            #expect(days["count"] == .integer(2))
        }
    }

    @Test func answersAreCompressedOnceForThoseWhoTakeThat() async throws {
        try await withChartDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            let token = try await doors.token()
            let path = "/historical/?session_token=\(token)&symbol=BTCUSD&interval=1m&start=2016-10-08&end=2016-10-08"
            let plain = try await doors.stranger.get(path)
            #expect(plain.headers["content-encoding"] == nil)
            #expect(plain.headers["vary"]?.contains("Accept-Encoding") == true)
            for _ in 0..<2 {
                let packed = try await doors.stranger.with(header: "Accept-Encoding", "br, gzip;q=0.8").get(path)
                #expect(packed.headers["content-encoding"] == "gzip")
                #expect(packed.body.count < plain.body.count / 4)
                #expect(try Archive.open(packed.body, fileName: "x").bytes == plain.body)
            }
            #expect(try await doors.stranger.with(header: "Accept-Encoding", "gzip;q=0").get(path).body == plain.body)
        }
    }

    @Test func anInstrumentWithoutDataIsAnEmptyChart() async throws {
        try await withChartDoors { doors in
            try await doors.store.create(coin("ETHUSD"))
            let json = try await doors.historical(try await doors.token(), "ETHUSD", "1m", "2016-10-08", "2016-10-08").json()
            #expect(json["count"] == .integer(0))
            #expect(json["has_more"] == .bool(false))
            #expect(json["columns"]?["start"] == .array([]))
        }
    }

    @Test func theCacheIsBoundedInBytes() throws {
        let bodies = ChartBodies(maximumBytes: 100_000)
        let request = ChartRequest(
            id: .make(),
            sessionID: .make(),
            symbol: "X",
            interval: "1m",
            start: .now(),
            end: .now(),
            asOf: .now(),
            expiresAt: .now()
        )
        let session = ChartSessionID.make()
        func key(_ number: Int) -> ChartBodies.Key { .init(session: session, question: SHA256.digest(utf8: "\(number)")) }
        for number in 0..<50 {
            bodies.store(.init(plain: [UInt8](repeating: 1, count: 9_000), request: request), for: key(number))
            #expect(bodies.bytes <= 100_000)
            // The first one is used all the time.
            #expect(bodies.body(key(0)) != nil)
        }
        #expect(bodies.body(key(49)) != nil)
        #expect(bodies.body(key(1)) == nil)
        bodies.store(.init(plain: [UInt8](repeating: 1, count: 30_000), request: request), for: key(99))
        #expect(bodies.body(key(99)) == nil)
        bodies.remove(of: [session])
        #expect(bodies.bytes == 0)
    }
}

/// Numbers that follow from a seed.
private struct SplitMix {
    var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
