import Bars
import Contracts
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// Rows of a factor file: a split of two for one after 2014-06-06, a dividend of one per cent after 2014-06-12.
private let factors = "20140101,0.99,0.5,1\n20140606,0.99,0.5,100\n20140612,0.99,1,50\n20501231,1,1,0\n"

/// A day's regular bar of a stock a line, in New York time.
private func days(_ closes: [(String, String)]) -> String {
    closes.map { "\($0.0) 00:00,\($0.1),\($0.1),\($0.1),\($0.1),1000" }.joined(separator: "\n") + "\n"
}

private let week = [
    ("20140605", "1000000"), ("20140606", "1000000"), ("20140609", "500000"), ("20140610", "500000"), ("20140611", "500000"), ("20140612", "500000"),
    ("20140613", "495000"),
]

extension Bench {
    fileprivate func takeWeek(_ symbol: String = "XYZ") async throws {
        let bytes = Array(days(week).utf8)
        let options = ImportOptions(symbol: symbol, assetClass: .equity)
        // Lean's daily layout tells itself by its rows.
        _ = try await importer.run(bytes, path: "\(symbol.lowercased()).csv", options: options)
    }

    @discardableResult
    fileprivate func takeFactors(_ text: String = factors, _ name: String = "xyz.csv") async throws -> ImportOutcome {
        try await importer.run(Array(text.utf8), path: "equity/usa/factor_files/\(name)", options: ImportOptions())
    }

    fileprivate func answer(_ adjustment: Adjustment, asOf: String? = nil, _ change: (inout BarRequest) -> Void = { _ in }) async throws -> BarAnswer
    {
        var request = BarRequest(symbol: "XYZ", interval: .days(1), countback: 50)
        request.asOf = asOf.map { at($0) }
        request.adjustment = adjustment
        change(&request)
        return try await reader.read(request)
    }

    fileprivate func closes(_ adjustment: Adjustment, asOf: String? = nil, _ change: (inout BarRequest) -> Void = { _ in }) async throws -> [Double] {
        try await answer(adjustment, asOf: asOf, change).bars.close.doubles()
    }
}

@Suite(.enabled(if: TestServers.hasPostgres)) struct CorporateActionTests {
    @Test(arguments: StoreKind.allCases) func viewsAreThoseOfTheMoment(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeWeek()
            let outcome = try await bench.takeFactors()
            #expect(outcome.days == .init(added: 2))
            #expect(outcome.layout == .leanFactors && outcome.symbol == "XYZ" && !outcome.createdInstrument)
            // Friday, 15:00 in New York: nothing has happened, the last known bar is that of Thursday.
            #expect(try await bench.closes(.full, asOf: "2014-06-06T19:00:00Z") == [100])
            #expect(try await bench.closes(.split, asOf: "2014-06-09T07:59:59Z") == [100, 100])
            // From the early session of Monday on shares trade at the new price.
            for asOf in ["2014-06-09T08:00:00Z", "2014-06-09T14:00:00Z"] {
                #expect(try await bench.closes(.split, asOf: asOf) == [50, 50])
                #expect(try await bench.closes(.full, asOf: asOf) == [50, 50])
                #expect(try await bench.closes(.raw, asOf: asOf) == [100, 100])
            }
            #expect(try await bench.closes(.split, asOf: "2014-06-10T20:00:00Z") == [50, 50, 50, 50])
            #expect(try await bench.closes(.full, asOf: "2014-06-13T20:00:00Z") == [49.5, 49.5, 49.5, 49.5, 49.5, 49.5, 49.5])
            #expect(try await bench.closes(.split, asOf: "2014-06-13T20:00:00Z") == [50, 50, 50, 50, 50, 50, 49.5])
            let full = try await bench.answer(.full)
            #expect(full.bars.volume?.doubles() == [2_000, 2_000, 1_000, 1_000, 1_000, 1_000, 1_000])
            #expect(full.adjustment == .full)
            #expect(full.bars.starts == (try await bench.answer(.raw)).bars.starts)
        }
    }

    /// A week that holds the split is made of days of one kind, and so is a week of minutes.
    @Test func aBarOverASplitIsMadeOfAdjustedRows() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.takeWeek()
        try await bench.takeFactors("20140101,1,0.5,1\n20140610,1,0.5,50\n20501231,1,1,0\n")
        let raw = try await bench.answer(.raw) { $0.interval = .weeks(1) }
        let split = try await bench.answer(.split) { $0.interval = .weeks(1) }
        #expect(raw.bars.high.doubles() == [100, 50])
        #expect(split.bars.open.doubles() == [50, 25])
        #expect(split.bars.high.doubles() == [50, 50])
        #expect(split.bars.volume?.doubles() == [4_000, 7_000])
    }

    @Test(arguments: StoreKind.allCases) func aCorrectionIsKnownFromItsRecordingOn(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeWeek()
            try await bench.takeFactors()
            let first = try await bench.answer(.full)
            #expect(try await bench.takeFactors().days == .init(unchanged: 2))
            #expect(try await bench.answer(.full).dataSHA256 == first.dataSHA256)
            let before = Timestamp.now()
            // Four for one, not two; and the dividend never was.
            let corrected = try await bench.takeFactors("20140101,1,0.25,1\n20140606,1,0.25,100\n20501231,1,1,0\n")
            #expect(corrected.days == .init(revised: 2))
            let now = try await bench.answer(.full)
            #expect(now.bars.close.doubles().first == 25)
            #expect(now.bars.close.doubles().last == 49.5)
            #expect(now.dataSHA256 != first.dataSHA256)
            let then = try await bench.answer(.full) { $0.asOf = before }
            #expect(then.bars == first.bars)
            #expect(then.dataSHA256 == first.dataSHA256)
            let pinned = try await bench.answer(.full) { $0.revisionsAsOf = before }
            #expect(pinned.bars == first.bars)
            // As of the week itself a correction recorded today does not exist.
            #expect(try await bench.closes(.split, asOf: "2014-06-09T14:00:00Z") == [50, 50])
            let id = try #require(try await store.instrument(symbol: "XYZ")).id
            let actions = try await store.actions(of: id, recordedBy: .max)
            #expect(actions.map(\.revision) == [2])
            #expect(actions.first?.ratio == AdjustmentRatio(splitNumerator: 1, splitDenominator: 4))
            #expect(try await store.actions(of: id, recordedBy: before.microseconds).map(\.revision) == [1, 1])
        }
    }

    /// What happens after everything that is stored was nobody's statement yet: it is history, and answers of before it stay.
    @Test(arguments: StoreKind.allCases) func alaterActionIsNoCorrection(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeWeek()
            try await bench.takeFactors("20140101,1,0.5,1\n20140606,1,0.5,100\n20501231,1,1,0\n")
            let early = try await bench.answer(.full, asOf: "2014-06-12T20:00:00Z")
            // A newer file has all earlier factors of it too, another last digit included.
            let outcome = try await bench.takeFactors("20140101,0.9900001,0.5,1\n20140606,0.9900001,0.5,100\n20140612,0.99,1,50\n20501231,1,1,0\n")
            #expect(outcome.days == .init(extended: 1, unchanged: 1))
            let again = try await bench.answer(.full, asOf: "2014-06-12T20:00:00Z")
            #expect(again.bars == early.bars)
            #expect(again.dataSHA256 == early.dataSHA256)
            #expect(try await bench.closes(.full, asOf: "2014-06-13T20:00:00Z").first == 49.5)
        }
    }

    @Test func theHashHoldsTheActionsThatChangedABarAndNoOthers() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.takeWeek()
        let raw = try await bench.answer(.raw).dataSHA256
        #expect(try await bench.answer(.full).dataSHA256 == raw)
        try await bench.takeFactors()
        #expect(try await bench.answer(.raw).dataSHA256 == raw)
        let (split, full) = (try await bench.answer(.split).dataSHA256, try await bench.answer(.full).dataSHA256)
        #expect(Set([raw, split, full]).count == 3)
        // After the last action no bar is changed, and the hash says so.
        func last(_ adjustment: Adjustment) async throws -> BarAnswer {
            try await bench.answer(adjustment) { $0.countback = 1 }
        }
        #expect(try await last(.full).dataSHA256 == (try await last(.raw)).dataSHA256)
    }

    @Test func rememberedAnswersAreOfOneView() async throws {
        let cache = CountingCache()
        let bench = try Bench(MemoryMarketdataStore(), results: cache)
        try await bench.takeWeek()
        try await bench.takeFactors()
        let views = [try await bench.closes(.raw), try await bench.closes(.split), try await bench.closes(.full)]
        #expect(Set(views).count == 3)
        #expect(cache.count == 3)
        #expect([try await bench.closes(.raw), try await bench.closes(.split), try await bench.closes(.full)] == views)
        #expect(cache.hits == 3)
        try await bench.takeFactors("20140101,1,0.25,1\n20140606,1,0.25,100\n20501231,1,1,0\n")
        #expect(try await bench.closes(.full).first == 25)
        #expect(try await bench.closes(.raw) == views[0])
        #expect(cache.hits == 4)
    }

    /// Two worlds that differ only in what came into force later: the same bytes.
    @Test func whatComesIntoForceLaterChangesNothing() async throws {
        var answers: [[UInt8]] = []
        for file in [factors, "20140101,0.5,0.001,1\n20140606,0.5,0.001,100\n20140612,0.5,0.002,50\n20140613,0.505050505,0.002,1\n20501231,1,1,0\n"] {
            let bench = try Bench(MemoryMarketdataStore())
            try await bench.store.create(Self.stock("XYZ"))
            try await bench.takeWeek()
            try await bench.takeFactors(file)
            let answer = try await bench.answer(.split, asOf: "2014-06-12T20:00:00Z")
            answers.append(answer.response(.json).bodyBytes)
        }
        #expect(answers[0] == answers[1])
    }

    private static let id = InstrumentID.make()

    private static func stock(_ symbol: String) -> Instrument {
        var stock = coin(symbol, id: id)
        (stock.assetClass, stock.calendar, stock.timeZone) = (.equity, "us-equity", "America/New_York")
        return stock
    }

    /// A replay looks from the last bar that it released: its split comes when its bars do.
    @Test(arguments: StoreKind.allCases) func aReplayIsAdjustedAsOfWhatItHasReleased(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeWeek()
            try await bench.takeFactors()
            let replays = Replays(store: store, reader: bench.reader, time: SystemTimeSource(), feed: nil)
            func closes(from start: String) async throws -> [Double] {
                let wish = Replays.Wish(symbol: "XYZ", start: at(start), end: nil, intervalSeconds: nil, speed: 1, loops: false)
                let replay = try await store.createReplay(try await replays.draft(wish, account: .make()), within: ReplayLimits())
                return try await bench.closes(.split) { $0.symbol = replay.symbol }
            }
            // What was before the start is known: on Friday's opening nothing has happened yet.
            #expect(try await closes(from: "2014-06-06T13:00:00Z") == [100])
            #expect(try await closes(from: "2014-06-09T12:00:00Z") == [50, 50])
        }
    }

    @Test(arguments: [
        ("20140101,1,0.5,1\n2014060,1,1,0\n", "line 2: date"), ("20140606,1,0.5,1\n20140606,1,1,0\n", "line 2: date"),
        ("20140101,1,0.5,1\n20140606,1,0,0\n", "line 2: row"), ("20140101,1,0.5,1\n20140606,1,-1,0\n", "line 2: row"),
        ("20140101,1,0.5,1\n20140606,1,1\n", "line 2: row"), ("20140101,1,0.00000001,1\n20140606,1,1000,0\n", "line 1: row"),
    ])
    func aFactorFileIsTakenWholeOrNotAtAll(text: String, said: String) async throws {
        let bench = try Bench(MemoryMarketdataStore())
        do {
            try await bench.takeFactors(text)
            Issue.record("it was taken")
        } catch let error as ImportError {
            #expect(error.detail.hasPrefix(said), "\(error.detail)")
        }
        #expect(try await bench.store.instrument(symbol: "XYZ") == nil)
    }

    @Test func actionsAreListedAsTheyWereKnown() async throws {
        try await withDoors { doors in
            try await doors.bench.takeWeek()
            let client = try doors.client(Person(roles: ["admin"]))
            let taken = try await client.send(.post, "/api/imports?filename=equity/usa/factor_files/xyz.csv", body: Array(factors.utf8))
            #expect(taken.status == 201)
            #expect(try taken.json()["layout"]?.string == "lean-factors")
            #expect(try taken.json()["days_added"] == .integer(2))
            #expect(try await client.send(.post, "/api/imports?filename=xyz.csv", body: Array(factors.utf8)).status == 200)
            let all = try await client.get("/api/instruments/XYZ/actions").json()
            #expect(all["instrument"]?.string == "XYZ")
            #expect(all["actions"]?[0]?["day"]?.string == "2014-06-06")
            #expect(all["actions"]?[0]?["in_force_from"]?.string == "2014-06-09T08:00:00.000000Z")
            #expect(all["actions"]?[0]?["split_denominator"] == .integer(2))
            #expect(all["actions"]?[0]?["reference_price"]?.string == "100")
            #expect(all["actions"]?[1]?["price_factor"]?.string == "0.99")
            #expect(all["actions"]?[1]?["recorded_at"] == .null || all["actions"]?[1]?["recorded_at"] == nil)
            let early = try await client.get("/api/instruments/XYZ/actions?as_of=2014-06-09T08:00:00Z").json()
            #expect(early["actions"]?[0]?["day"]?.string == "2014-06-06")
            #expect(early["actions"]?[1] == nil)
            // The same bars at both doors, in both forms.
            let query = "instrument=XYZ&interval=1d&adjustment=split&as_of=2014-06-10T20:00:00Z"
            let json = try await client.get("/api/bars?\(query)")
            #expect(try json.json()["bars"]?["close"]?[0]?.string == "50")
            #expect(try json.json()["adjustment"]?.string == "split")
            let inside = try await doors.service("signals").get("/internal/v1/bars?\(query)&format=binary")
            #expect(inside.headers["x-auspex-data-sha256"] == json.headers["x-auspex-data-sha256"])
            // An executor's view ends where its token does.
            let executor = try doors.service("executor")
                .with(header: "X-Auspex-Job", try doors.jobToken(instruments: ["XYZ"]))
            #expect(try await executor.get("/internal/v1/bars?\(query)").json()["bars"]?["close"]?[0]?.string == "50")
            let late = try await executor.get("/internal/v1/bars?instrument=XYZ&interval=1d&adjustment=split&as_of=2016-10-08T00:10:01Z")
            #expect(late.verdict == "403 outside_job_token")
        }
    }
}

@Suite(.serialized, .enabled(if: TestServers.hasPostgres)) struct ActionRecordingTests {
    /// A correction of an action that has its stamp and is not committed is waited for, as one of bars is.
    @Test func whoReadsAsOfAMomentWaitsForTheCorrectionThatIsStampedBeforeIt() async throws {
        try await withDatabase(service: "marketdata", catalogue: try Migrations.catalogue()) { database in
            try await database.withPool(maximumConnections: 4) { pool in
                let cpu = try CPUPool(threads: 1)
                defer { cpu.stop() }
                let bench = try Bench(PostgresMarketdataStore(pool: pool, outbox: Outbox(schema: "marketdata"), cpu: cpu))
                try await bench.takeWeek()
                try await bench.takeFactors()
                let id = try #require(try await bench.store.instrument(symbol: "XYZ")).id
                let owner = try await PostgresConnection.connect(database.owner, on: TestLoop.shared)
                do {
                    try await owner.execute("BEGIN")
                    _ = try await owner.query(PostgresMarketdataStore.lockRecording(of: id.description))
                    let moment = Timestamp.now()
                    async let reading = bench.store.actions(of: id, recordedBy: moment.microseconds)
                    try await eventually("the reader waits") {
                        let waiting = try await pool.query(
                            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                        )
                        return try waiting.first?.column(0, as: Int.self) == 1
                    }
                    try await owner.execute(
                        """
                        INSERT INTO corporate_actions (instrument_id, day, revision, split_numerator, split_denominator, price_trillionths, recorded_at,
                            import_id)
                        VALUES (\(id), '2014-06-06', 2, 1, 4, 1000000000000, \(moment), \(id))
                        """
                    )
                    try await owner.execute("COMMIT")
                    #expect(try await reading.first?.revision == 2)
                    await owner.close()
                } catch {
                    await owner.close()
                    throw error
                }
            }
        }
    }
}
