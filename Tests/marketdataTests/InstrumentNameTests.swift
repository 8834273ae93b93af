import Bars
import Contracts
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// A day's bar a line, at prices that tell the years apart.
private func days(_ rows: [(String, Int)]) -> [UInt8] {
    Array((rows.map { "\($0.0) 00:00,\($0.1)0000,\($0.1)0000,\($0.1)0000,\($0.1)0000,100" }.joined(separator: "\n") + "\n").utf8)
}

extension Bench {
    fileprivate func takeNames(_ symbol: String, _ text: String) async throws -> ImportOutcome {
        try await importer.run(Array(text.utf8), path: "equity/usa/map_files/\(symbol.lowercased()).csv", options: ImportOptions())
    }

    /// A daily file whose path says the ticker, as Lean's do.
    fileprivate func takeDays(_ ticker: String, _ rows: [(String, Int)], symbol: String? = nil) async throws -> ImportOutcome {
        try await importer.run(days(rows), path: "\(ticker.lowercased()).csv", options: ImportOptions(symbol: symbol))
    }

    fileprivate func read(_ symbol: String, from start: String? = nil, to end: String? = nil, asOf: String? = nil) async throws -> BarAnswer {
        var request = BarRequest(symbol: symbol, interval: .days(1))
        request.start = start.map { at("\($0)T00:00:00Z") }
        request.end = end.map { at("\($0)T00:00:00Z") }
        request.asOf = asOf.map { at($0) }
        return try await reader.read(request)
    }

    fileprivate func closes(_ symbol: String, from start: String? = nil, to end: String? = nil, asOf: String? = nil) async throws -> [Double] {
        try await read(symbol, from: start, to: end, asOf: asOf).bars.close.doubles()
    }

    fileprivate func meant(_ symbol: String, _ day: String, strictly: Bool = true) async throws -> String? {
        guard let day = CivilDay(text: day) else { return "no day" }
        return try await store.description(of: symbol, on: .day(day), strictly: strictly)?.instrument.symbol
    }

    /// FB was another company's name until 2003.
    fileprivate func takeBothFB() async throws {
        _ = try await takeNames("fb.1", "19990929,fb\n20030328,fb\n")
        _ = try await takeNames("fb", "20120518,fb,Q\n20501231,fb,Q\n")
    }

    fileprivate func takeGoogle() async throws {
        _ = try await takeNames("goog", "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n")
        _ = try await takeNames("googl", "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n")
    }
}

@Suite(.enabled(if: TestServers.hasPostgres)) struct InstrumentNameTests {
    @Test(arguments: StoreKind.allCases) func aTickerResolvesAtADate(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeBothFB()
            try await bench.takeGoogle()
            _ = try await bench.takeNames("qqq", "19990310,qqq,Q\n20041130,qqq,Q\n20110322,qqqq,Q\n20501231,qqq,Q\n")
            _ = try await bench.takeDays("BTCUSD", [("20200102", 7)])
            let expected: [(String, String, String?)] = [
                ("FB", "2001-05-01", "FB.1"), ("FB", "2003-03-28", "FB.1"), ("FB", "2003-03-29", nil), ("FB", "2012-05-17", nil),
                ("FB", "2012-05-18", "FB"), ("FB", "2030-01-01", "FB"), ("FB", "1999-09-28", nil), ("FB.1", "2001-05-01", "FB.1"),
                ("GOOG", "2010-01-01", "GOOGL"), ("GOOG", "2014-04-02", "GOOGL"), ("GOOG", "2014-04-03", "GOOG"), ("GOOCV", "2014-04-02", "GOOG"),
                ("GOOCV", "2014-04-03", nil), ("GOOGL", "2013-01-01", nil), ("QQQ", "2004-11-30", "QQQ"), ("QQQ", "2008-01-01", nil),
                ("QQQQ", "2008-01-01", "QQQ"), ("QQQ", "2011-03-23", "QQQ"), ("BTCUSD", "1990-01-01", "BTCUSD"), ("NONE", "2001-05-01", nil),
            ]
            for (symbol, day, instrument) in expected { #expect(try await bench.meant(symbol, day) == instrument, "\(symbol) on \(day)") }
            // Who does not insist gets whoever bore the name last, or will bear it.
            #expect(try await bench.meant("FB", "2008-01-01", strictly: false) == "FB.1")
            #expect(try await bench.meant("FB", "1990-01-01", strictly: false) == "FB")
            #expect(try await bench.meant("QQQQ", "2020-01-01", strictly: false) == "QQQ")
            // The day is the exchange's: 2003-03-29 in London is still the 28th in New York.
            #expect(try await store.description(of: "FB", on: .moment(at("2003-03-29T02:00:00Z")), strictly: true)?.instrument.symbol == "FB.1")
            #expect(try await store.description(of: "FB", on: .moment(at("2003-03-29T06:00:00Z")), strictly: true) == nil)
        }
    }

    @Test(arguments: StoreKind.allCases) func aFilesRowsGoToWhomTheNameWasThen(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeBothFB()
            try await bench.takeGoogle()
            let outcome = try await bench.takeDays("FB", [("19990930", 11), ("20010501", 12), ("20120518", 38), ("20130501", 27)])
            #expect(outcome.days == .init(added: 4))
            #expect(outcome.symbol == "FB")
            #expect(outcome.notes.contains { $0.contains("FB") && $0.contains("2012-05-18") })
            _ = try await bench.takeDays("GOOG", [("20100104", 626), ("20140402", 1_135), ("20140403", 569)])
            _ = try await bench.takeDays("GOOCV", [("20140327", 558), ("20140402", 567)])
            _ = try await bench.takeDays("GOOGL", [("20140403", 571)])
            #expect(try await bench.closes("FB.1") == [11, 12])
            #expect(try await bench.closes("FB") == [38, 27])
            #expect(try await bench.closes("FB", from: "2001-01-01", to: "2002-01-01") == [12])
            #expect(try await bench.closes("FB", from: "2013-01-01", to: "2014-01-01") == [27])
            #expect(try await bench.closes("FB", asOf: "2001-12-31T00:00:00Z") == [11, 12])
            // Renamed inside the range: the history of the one instrument, whatever it was called.
            #expect(try await bench.closes("GOOG", from: "2014-03-01", to: "2014-05-01") == [558, 567, 569])
            #expect(try await bench.closes("GOOCV") == [558, 567, 569])
            #expect(try await bench.closes("GOOGL") == [626, 1_135, 571])
            #expect(try await bench.closes("GOOG", from: "2010-01-01", to: "2011-01-01") == [626])
            #expect(try await bench.read("GOOG", from: "2010-01-01", to: "2011-01-01").instrument.symbol == "GOOGL")
            #expect(try await store.instrument(symbol: "GOOCV") == nil)
            // Who names an instrument means it, whatever the rows are.
            _ = try await bench.takeDays("any", [("20010502", 13)], symbol: "FB")
            #expect(try await bench.closes("FB", from: "2000-01-01") == [13, 38, 27])
            #expect(try await bench.takeDays("FB", [("20010501", 12), ("20130501", 27)]).days == .init(unchanged: 2))
        }
    }

    /// Facebook became Meta: a new file, known by its first name to be of the same instrument.
    @Test(arguments: StoreKind.allCases) func aRenamedInstrumentKeepsItsId(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.takeBothFB()
            _ = try await bench.takeDays("FB", [("20130501", 27)])
            let before = try #require(try await store.instrument(symbol: "FB"))
            let outcome = try await bench.takeNames("meta", "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")
            #expect(outcome.instrumentID == before.id)
            #expect(!outcome.createdInstrument)
            #expect(outcome.notes == ["it was called FB until now"])
            let after = try #require(try await store.instrument(symbol: "META"))
            #expect(after.id == before.id)
            #expect(after.version == before.version + 1)
            #expect(try await store.instrument(symbol: "FB") == nil)
            #expect(try await bench.closes("META") == [27])
            // The old name still leads there, and at its own time means what it meant.
            #expect(try await bench.closes("FB", from: "2013-01-01", to: "2014-01-01") == [27])
            #expect(try await bench.meant("FB", "2001-05-01") == "FB.1")
            #expect(try await bench.meant("META", "2021-01-01") == nil)
            #expect(try await store.names(of: after.id).map(\.ticker) == ["FB", "META"])
            #expect(try await bench.takeNames("meta", "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n").days == .init(unchanged: 2))
        }
    }

    @Test(arguments: StoreKind.allCases) func aSymbolOfSomebodyElseIsRefused(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            _ = try await bench.takeNames("fb", "19990929,fb\n20030328,fb\n")
            await #expect(throws: MarketdataError.symbolTaken("FB")) { _ = try await bench.takeNames("fb", "20120518,fb,Q\n20501231,fb,Q\n") }
            // First the old one gets the symbol that tells it from the new one.
            #expect(try await bench.takeNames("fb.1", "19990929,fb\n20030328,fb\n").notes == ["it was called FB until now"])
            #expect(try await bench.takeNames("fb", "20120518,fb,Q\n20501231,fb,Q\n").createdInstrument)
        }
    }

    @Test func barsStoredUnderAnOldNameBeforeAreSpokenOf() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        _ = try await bench.takeDays("GOOCV", [("20140327", 558)])
        let outcome = try await bench.takeNames("goog", "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n")
        #expect(outcome.notes == ["bars stored as GOOCV before are not joined: import their files again"])
        _ = try await bench.takeDays("GOOCV", [("20140327", 558)])
        #expect(try await bench.closes("GOOG") == [558])
    }

    @Test(arguments: ["2014032,goocv,Q\n", "20140402,goog\n20140327,goog\n", "20140327,$$$a,Q\n20501231,goog,Q\n"])
    func aMapFileIsTakenWholeOrNotAtAll(text: String) async throws {
        let bench = try Bench(MemoryMarketdataStore())
        await #expect(throws: ImportError.self) { _ = try await bench.takeNames("goog", text) }
        #expect(try await bench.store.instrument(symbol: "GOOG") == nil)
    }

    @Test func namesComeFirstWhereAFolderIsImported() {
        let paths = [
            "usa/daily/fb.zip", "usa/factor_files/fb.csv", "usa/hour/x.zip", "usa/map_files/fb.1.csv", "usa/map_files/fb.csv", "usa/minute/a.zip",
        ]
        #expect(
            LeanCorporateReader.first(paths) == [
                "usa/map_files/fb.1.csv", "usa/map_files/fb.csv", "usa/factor_files/fb.csv", "usa/daily/fb.zip", "usa/hour/x.zip", "usa/minute/a.zip",
            ]
        )
    }

    @Test func theRouteTakesADate() async throws {
        try await withDoors { doors in
            try await doors.bench.takeBothFB()
            let client = try doors.client(Person(roles: ["subscriber"]))
            let old = try await client.get("/api/instruments/FB?at=2001-05-01").json()
            #expect(old["symbol"]?.string == "FB.1")
            #expect(old["names"]?[0]?["ticker"]?.string == "FB")
            #expect(old["names"]?[0]?["last_day"]?.string == "2003-03-28")
            let new = try await client.get("/api/instruments/FB?at=2013-05-01").json()
            #expect(new["symbol"]?.string == "FB")
            #expect(new["id"] != old["id"])
            #expect(try await client.get("/api/instruments/FB?at=2008-05-01").verdict == "404 unknown_instrument")
            #expect(try await client.get("/api/instruments/FB").json()["symbol"]?.string == "FB")
            #expect(try await client.get("/api/instruments/FB?at=2008-02-30").verdict == "400 invalid_parameter")
            #expect(try await doors.service("scheduler").get("/internal/v1/instruments/FB").json()["id"] == new["id"])
            let taken = try await doors.client(Person(roles: ["admin"]))
                .send(.post, "/api/imports?filename=fb.csv", body: Array("20130518,fbx,Q\n20501231,fb,Q\n".utf8))
            #expect(taken.verdict == "409 symbol_taken")
        }
    }

    /// A run's symbol means whom it means at the run's moment; no range of a question makes it another instrument's.
    @Test func anExecutorsSymbolIsThatOfItsJob() async throws {
        try await withDoors { doors in
            try await doors.bench.takeGoogle()
            _ = try await doors.bench.takeDays("GOOG", [("20100104", 626), ("20140403", 569)])
            let path = "/internal/v1/bars?instrument=GOOG&interval=1d&start=2010-01-01T00:00:00Z&end=2011-01-01T00:00:00Z"
            let signals = try await doors.service("signals").get(path).json()
            #expect(signals["instrument"]?.string == "GOOGL")
            #expect(signals["count"] == .integer(1))
            let token = try doors.jobToken(instruments: ["GOOG"])
            let executor = try await doors.service("executor").with(header: "X-Auspex-Job", token).get(path).json()
            #expect(executor["instrument"]?.string == "GOOG")
            #expect(executor["count"] == .integer(0))
        }
    }
}
