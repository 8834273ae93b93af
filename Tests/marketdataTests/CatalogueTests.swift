import Bars
import Contracts
import FoundationEssentials
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite struct DatasetNameTests {
    @Test(arguments: [
        "bars.crypto.BTCUSD.1m.trade", "bars.equity.BRK.B.1d.trade", "bars.forex.EURUSD.1s.bid.derived", "bars.crypto.BTCUSD.BITFINEX.1h.trade",
        "bars.crypto.BTCUSD@replay-3.15s.mid", "bars.commodity.XAUUSD.1M.ask", "bars.index.1M.TRADE.5m.trade",
    ])
    func namesComeBackAsTheyWere(text: String) throws { #expect(try #require(DatasetName(text)).text == text) }

    @Test(arguments: [
        "", "bars", "bars.crypto.BTCUSD.1m", "bars.crypto.BTCUSD.60s.trade", "bars.crypto.BTCUSD.1m.last", "bars.stone.BTCUSD.1m.trade",
        "ticks.crypto.BTCUSD.1m.trade", "bars.crypto..1m.trade", "bars.crypto.btcusd.1m.trade", "bars.crypto.BTCUSD.1m.trade.imported",
        "bars.crypto.BTCUSD.1m.trade.derived.derived", "bars.crypto.BTC/USD.1m.trade", "BARS.crypto.BTCUSD.1m.trade",
    ])
    func whatIsNoNameIsNone(text: String) { #expect(DatasetName(text) == nil) }

    @Test func theOldWordForForeignExchangeIsRead() throws {
        #expect(try #require(DatasetName("bars.fx.EURUSD.1m.bid")).text == "bars.forex.EURUSD.1m.bid")
        #expect(AssetClass(rawValue: "fx") == .forex && AssetClass.forex.rawValue == "forex")
        #expect(Set(["equity", "crypto", "forex", "commodity", "future", "index"]).isSubset(of: AssetClass.allCases.map(\.rawValue)))
    }
}

@Suite struct DaySlotTests {
    private let day = CivilDay(year: 2016, month: 10, day: 7)

    @Test(arguments: [(1, 60), (60, 60), (300, 300), (3_600, 3_600), (420, 432), (86_400, 86_400), (604_800, 86_400), (2_592_000, 86_400)])
    func aSlotIsAsLongAsTheInterval(interval: Int, seconds: Int) { #expect(DaySlots(intervalSeconds: interval).seconds == seconds) }

    @Test func bitsAreTheSlotsInWhichBarsBegin() {
        let slots = DaySlots(intervalSeconds: 1)
        let midnight = day.seconds * 1_000_000
        let bits = slots.bits(of: [midnight, midnight + 1_000_000, midnight + 9 * 60_000_000, midnight + 86_399_000_000], day: day)
        #expect(bits.count == 180)
        #expect((bits[0], bits[1], bits[179]) == (1, 2, 0x80))
        #expect((0..<1_440).filter { DaySlots.isSet($0, in: bits) } == [0, 9, 1_439])
    }

    @Test func expectedSlotsAreTheOpenOnes() throws {
        func ranges(_ calendar: ExchangeCalendar, _ interval: Int, _ day: CivilDay, starts: [Int64] = []) throws -> [Range<Int>] {
            try ExpectedSlots(calendar: calendar, kind: .regular, intervalSeconds: interval, starts: starts).ranges(on: day)
        }
        #expect(try ranges(CalendarCatalogue.usEquity, 60, day) == [810..<1_200])
        #expect(try ranges(CalendarCatalogue.usEquity, 3_600, day) == [13..<20])
        #expect(try ranges(CalendarCatalogue.usEquity, 86_400, day) == [0..<1])
        #expect(try ranges(CalendarCatalogue.usEquity, 60, day + 1) == [])
        // Half a day, and a holiday.
        #expect(try ranges(CalendarCatalogue.usEquity, 60, CivilDay(year: 2015, month: 12, day: 24)) == [870..<1_080])
        #expect(try ranges(CalendarCatalogue.usEquity, 60, CivilDay(year: 2015, month: 12, day: 25)) == [])
        #expect(try ranges(CalendarCatalogue.alwaysOpen, 60, day + 1) == [0..<1_440])
        // Friday until 17:00 in New York, nothing on Saturday, from 17:00 on Sunday.
        #expect(try ranges(CalendarCatalogue.forex, 60, day) == [0..<1_260])
        #expect(try ranges(CalendarCatalogue.forex, 60, day + 1) == [])
        #expect(try ranges(CalendarCatalogue.forex, 60, day + 2) == [1_260..<1_440])
        // Days begin with their session on the evening before, unless the vendor's begin at midnight UTC.
        #expect(try ranges(CalendarCatalogue.forex, 86_400, day) == [])
        #expect(try ranges(CalendarCatalogue.forex, 86_400, day, starts: [day.seconds * 1_000_000]) == [0..<1])
        #expect(try ranges(CalendarCatalogue.usEquity, 604_800, day) == [])
    }
}

/// Datasets and coverage, over either store.
@Suite(.enabled(if: TestServers.hasPostgres)) struct CatalogueTests {
    private func catalogue(_ bench: Bench) -> Catalogue { Catalogue(store: bench.store, cpu: bench.cpu, time: SystemTimeSource()) }

    @Test(arguments: StoreKind.allCases) func datasetsAreListedAndAddUp(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-09-30T23:50:00Z", count: 20), as: "BTCUSD.csv")
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 10), as: "ETHUSD.csv")
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 10, first: 300), as: "ETHUSD.csv")
            try await bench.take("Date,Open,High,Low,Close\n2019-01-02,1,1,1,1\n2019-01-03,2,2,2,2\n", as: "SPY.csv")
            var query = DatasetQuery(limit: 10)
            let all = try await store.datasets(query)
            #expect(
                all.map { DatasetName($0.instrument, $0.series).text } == [
                    "bars.crypto.BTCUSD.1m.trade", "bars.crypto.ETHUSD.1m.trade", "bars.equity.SPY.1d.trade",
                ]
            )
            #expect(all.map(\.rows) == [20, 10, 2])
            #expect(all.map(\.days) == [2, 1, 2])
            #expect(all.allSatisfy { $0.bytes > 50 })
            #expect(all[0].firstStart == at("2016-09-30T23:50:00Z").microseconds && all[0].lastEnd == at("2016-10-01T00:10:00Z").microseconds)
            query.assetClass = .equity
            #expect(try await store.datasets(query).map(\.instrument.symbol) == ["SPY"])
            query.assetClass = nil
            query.containing = "USD"
            query.after = ("BTCUSD", all[0].series)
            #expect(try await store.datasets(query).map(\.instrument.symbol) == ["ETHUSD"])
            let detail = try await catalogue(bench).dataset(try #require(DatasetName("bars.crypto.BTCUSD.1m.trade")), asOf: nil)
            #expect(detail.partitions.map(\.name) == ["2016-09", "2016-10"])
            #expect(detail.partitions.map(\.rows) == [10, 10])
            let years = try await catalogue(bench).dataset(try #require(DatasetName("bars.equity.SPY.1d.trade")), asOf: nil)
            #expect(years.partitions.map(\.name) == ["2019"])
            for name in ["bars.crypto.BTCUSD.1m.bid", "bars.crypto.NONE.1m.trade", "bars.equity.BTCUSD.1m.trade"] {
                let asked = try #require(DatasetName(name))
                await #expect(throws: MarketdataError.unknownDataset(name)) { try await catalogue(bench).dataset(asked, asOf: nil) }
            }
        }
    }

    /// Whatever comes after a moment, what a dataset was then stays the same to the last number.
    @Test(arguments: StoreKind.allCases) func aDatasetAsOfAMomentKnowsNothingLater(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            let name = try #require(DatasetName("bars.crypto.BTCUSD.1m.trade"))
            let moment = at("2016-10-08T00:05:30Z")
            try await bench.take(minutes(from: "2016-10-07T23:58:00Z", count: 12), as: "BTCUSD.csv")
            let before = try WireJSON.encode(DatasetDetailAnswer(try await catalogue(bench).dataset(name, asOf: moment), asOf: moment))
            let short = try await catalogue(bench).dataset(name, asOf: moment)
            #expect(short.partitions.map(\.rows) == [7])
            #expect(short.partitions.first?.lastEnd == at("2016-10-08T00:05:00Z").microseconds)
            // More of the day, a correction of it, and other days.
            try await bench.take(minutes(from: "2016-10-08T00:10:00Z", count: 100), as: "BTCUSD.csv")
            try await bench.take(minutes(from: "2016-10-08T00:06:00Z", count: 30, first: 900), as: "BTCUSD.csv")
            try await bench.take(minutes(from: "2016-11-08T00:00:00Z", count: 5), as: "BTCUSD.csv")
            let after = try WireJSON.encode(DatasetDetailAnswer(try await catalogue(bench).dataset(name, asOf: moment), asOf: moment))
            #expect(String(decoding: after, as: UTF8.self) == String(decoding: before, as: UTF8.self))
            let early = try await catalogue(bench).dataset(name, asOf: at("2016-10-01T00:00:00Z"))
            #expect(early.partitions.isEmpty)
            // The hash is that of an answer of the same bars.
            var request = BarRequest(symbol: "BTCUSD", interval: .seconds(60))
            request.asOf = moment
            request.countback = 500
            #expect(try await bench.reader.read(request).dataSHA256 == short.dataSHA256)
        }
    }

    @Test(arguments: StoreKind.allCases) func coverageShowsHolesAndOpenDaysWithoutData(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30, skipping: [3, 4]), as: "BTCUSD.csv")
            var query = Catalogue.CoverageQuery(symbol: "BTCUSD")
            query.first = CivilDay(year: 2016, month: 10, day: 7)
            query.last = CivilDay(year: 2016, month: 10, day: 8)
            let found = try await catalogue(bench).coverage(query)
            #expect(found.slots.seconds == 60)
            #expect(found.days.map(\.rows) == [0, 28])
            #expect(found.days.map(\.missing) == [1_440, 1_440 - 28])
            #expect(found.days.map(\.expected) == [[0..<1_440], [0..<1_440]])
            #expect((0..<1_440).filter { DaySlots.isSet($0, in: found.days[1].bits) } == (0..<30).filter { $0 != 3 && $0 != 4 })
            #expect(found.days[1].firstStart == at("2016-10-08T00:00:00Z").microseconds)
            // The hole is filled by a later import: another revision with slots of its own.
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            #expect(try await catalogue(bench).coverage(query).days[1].missing == 1_410)
            query = Catalogue.CoverageQuery(symbol: "BTCUSD")
            let usual = try await catalogue(bench).coverage(query)
            #expect(usual.days.count == 30 && usual.days.last?.day == CivilDay(year: 2016, month: 10, day: 8))
            query.interval = .seconds(300)
            await #expect(throws: MarketdataError.self) { try await catalogue(bench).coverage(query) }
        }
    }

    /// Days that were stored before there were slots get theirs at the first question.
    @Test func whatWasStoredBeforeIsFilledIn() async throws {
        try await withPostgresStore { store, pool in
            let bench = try Bench(store)
            try await bench.take(minutes(from: "2016-10-07T00:00:00Z", count: 1_500), as: "BTCUSD.csv")
            // Out of the way of every question.
            #expect(try await pool.execute("UPDATE chunk_slots SET revision = revision + 1000") == 2)
            let found = try await catalogue(bench).coverage(Catalogue.CoverageQuery(symbol: "BTCUSD"))
            #expect(found.days.suffix(2).map(\.missing) == [0, 1_380])
            let rows = try await pool.query("SELECT count(*), sum(octet_length(slots))::bigint FROM chunk_slots WHERE revision < 1000")
            #expect(try rows[0].decode(Int.self, Int.self) == (2, 360))
        }
    }

    @Test(arguments: StoreKind.allCases) func instrumentsAreFoundByClass(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            for (symbol, assetClass) in [("AAA", AssetClass.equity), ("BBB", .forex), ("CCC", .commodity), ("DDD", .index), ("EEE", .future)] {
                var instrument = coin(symbol)
                instrument.assetClass = assetClass
                try await store.create(instrument)
            }
            try await store.create(coin("FFF"))
            for (assetClass, symbol) in [
                (AssetClass.equity, "AAA"), (.forex, "BBB"), (.commodity, "CCC"), (.index, "DDD"), (.future, "EEE"), (.crypto, "FFF"),
            ] {
                #expect(try await store.instruments(after: nil, containing: nil, assetClass: assetClass, limit: 9).map(\.symbol) == [symbol])
            }
            #expect(try await store.instruments(after: nil, containing: nil, assetClass: nil, limit: 9).count == 6)
        }
    }

    /// Rows that carry the old word, as a replica of the version before still writes them, are read under the new one.
    @Test func rowsOfTheOldWordAreForex() async throws {
        try await withPostgresStore { store, pool in
            var instrument = coin("EURUSD")
            instrument.assetClass = .forex
            try await store.create(instrument)
            #expect(try await pool.execute("UPDATE instruments SET asset_class = 'fx' WHERE symbol = 'EURUSD'") == 1)
            #expect(try await store.instrument(symbol: "EURUSD")?.assetClass == .forex)
            #expect(try await store.instruments(after: nil, containing: nil, assetClass: .forex, limit: 9).map(\.symbol) == ["EURUSD"])
        }
    }

    @Test(arguments: StoreKind.allCases) func calendarsAreListedByName(kind: StoreKind) async throws {
        try await withStore(kind) { store in
            let bench = try Bench(store)
            var own = CalendarCatalogue.india
            own.holidays = [CivilDay(year: 2026, month: 2, day: 3)]
            var other = own
            other.name = "mars"
            try await store.save([own, other])
            let names = try await catalogue(bench).calendars(after: nil, limit: 100).map(\.name)
            #expect(names == (CalendarCatalogue.all.keys + ["mars"]).sorted())
            #expect(try await catalogue(bench).calendars(after: "forex", limit: 2).map(\.name) == ["india", "mars"])
            #expect(try await catalogue(bench).calendar(named: "india") == own)
        }
    }
}

/// The catalogue at the doors.
@Suite(.enabled(if: TestServers.hasPostgres)) struct CatalogueRouteTests {
    @Test func datasetsCoverageAndCalendarsAsPeopleReadThem() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["subscriber"]))
            let list = try await client.get("/api/datasets?text=btc&asset_class=crypto").json()
            #expect(list["items"]?[0]?["name"]?.string == "bars.crypto.BTCUSD.1m.trade")
            #expect(list["items"]?[0]?["rows"] == .integer(30))
            #expect(list["next_cursor"] == .null)
            #expect(try await client.get("/api/datasets?asset_class=fx").json()["items"] == .array([]))
            let detail = try await client.get("/api/datasets/bars.crypto.BTCUSD.1m.trade").json()
            #expect(detail["partitions"]?[0]?["name"]?.string == "2016-10")
            #expect(detail["columns"]?[0]?["type"]?.string == "timestamp[us, UTC]")
            #expect(detail["data_sha256"]?.string?.count == 64)
            #expect(try await client.get("/api/datasets/bars.crypto.NONE.1m.trade").verdict == "404 unknown_dataset")
            let coverage = try await client.get("/api/instruments/BTCUSD/coverage?start=2016-10-07&end=2016-10-08").json()
            #expect(coverage["slots_per_day"] == .integer(1_440))
            #expect(coverage["days"]?[0]?["bitmap"] == nil && coverage["days"]?[0]?["expected"]?[0]?[1] == .integer(1_440))
            let bitmap = try #require(coverage["days"]?[1]?["bitmap"]?.string)
            let bits = try #require(Data(base64Encoded: bitmap))
            #expect(bits.count == 180 && Array(bits.prefix(5)) == [0xFF, 0xFF, 0xFF, 0x3F, 0])
            let calendar = try await client.get("/api/calendars/us-equity").json()
            #expect(calendar["weekdays"]?[0]?["regular"]?["open_seconds"] == .integer(34_200))
            #expect(calendar["weekdays"]?[5]?["regular"] == nil)
            #expect(try await client.get("/api/calendars/moon").verdict == "404 unknown_calendar")
            #expect(try await client.get("/api/calendars?limit=1").json()["items"]?[0]?["name"]?.string == "always-open")
            #expect(try await client.get("/api/instruments?asset_class=crypto").json()["items"]?[0]?["symbol"]?.string == "BTCUSD")
            #expect(try await client.get("/api/instruments?asset_class=commodity").json()["items"] == .array([]))
        }
    }

    /// A page's cursor is the place where it ended, also when several series share a symbol.
    @Test func datasetPagesFollowOneAnother() async throws {
        try await withDoors { doors in
            let hours = "time,open,high,low,close\n2016-10-08 00:00:00,1,1,1,1\n2016-10-08 01:00:00,1,1,1,1\n2016-10-08 02:00:00,1,1,1,1\n"
            try await doors.bench.take(hours, as: "BTCUSD.csv")
            try await doors.bench.take(hours, as: "ADAUSD.csv")
            let client = try doors.client(Person(roles: ["subscriber"]))
            var names: [String] = []
            var cursor = ""
            repeat {
                let page = try await client.get("/api/datasets?limit=1\(cursor)").json()
                names.append(page["items"]?[0]?["name"]?.string ?? "-")
                cursor = page["next_cursor"]?.string.map { "&cursor=\($0)" } ?? ""
            } while !cursor.isEmpty && names.count < 9
            // One of another list is refused as it is everywhere.
            let other = Cursor(["BTCUSD"]).description
            #expect(try await client.get("/api/datasets?cursor=\(other)").verdict == "400 invalid_cursor")
            #expect(names == ["bars.crypto.ADAUSD.1h.trade", "bars.crypto.BTCUSD.1m.trade", "bars.crypto.BTCUSD.1h.trade"])
        }
    }

    @Test func aJobResolvesTheDatasetsOfItsTokenOnly() async throws {
        try await withDoors { doors in
            let route = "/internal/v1/datasets/bars.crypto.BTCUSD.1m.trade"
            for service in ["signals", "scheduler"] {
                let answer = try await doors.service(service).get(route).json()
                #expect(answer["rows"] == .integer(30), "\(service)")
            }
            #expect(try await doors.service("auth").get(route).verdict == "403 caller_not_allowed")
            let executor = try doors.service("executor")
            #expect(try await executor.get(route).verdict == "401 job_token_missing")
            let job = executor.with(header: "X-Auspex-Job", try doors.jobToken())
            // The token's moment is ten past: twenty minutes of the half hour are not there.
            let answer = try await job.get(route).json()
            #expect(answer["rows"] == .integer(10) && answer["as_of"]?.string == "2016-10-08T00:10:00.000000Z")
            #expect(try await job.get(route + "?as_of=2016-10-08T00:05:00Z").json()["rows"] == .integer(5))
            #expect(try await job.get(route + "?as_of=2016-10-08T00:11:00Z").verdict == "403 outside_job_token")
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 3), as: "ETHUSD.csv")
            #expect(try await job.get("/internal/v1/datasets/bars.crypto.ETHUSD.1m.trade").verdict == "403 outside_job_token")
        }
    }

    @Test func barsAsCSVAndArrow() async throws {
        try await withDoors { doors in
            let client = try doors.client(Person(roles: ["subscriber"]))
            let query = "/api/bars?instrument=BTCUSD&interval=1m&start=2016-10-08T00:00:00Z&limit=7"
            let csv = try await client.get(query + "&format=csv")
            #expect(csv.headers["content-type"] == "text/csv; charset=utf-8; header=present")
            #expect(csv.headers["x-auspex-next-start"] == "2016-10-08T00:07:00.000000Z")
            let lines = csv.text.split(separator: "\n").map(String.init)
            #expect(lines.count == 8)
            #expect(lines[1] == "2016-10-08T00:00:00.000000Z,2016-10-08T00:01:00.000000Z,100,100.75,99.5,100.25,0.1,")
            let arrow = try await client.get(query + "&format=arrow")
            #expect(arrow.headers["content-type"] == "application/vnd.apache.arrow.stream")
            #expect(arrow.headers["x-auspex-data-sha256"] == csv.headers["x-auspex-data-sha256"])
            #expect(Array(arrow.body.prefix(4)) == [0xFF, 0xFF, 0xFF, 0xFF])
            // What we give out as CSV comes back in as the same bars.
            try await doors.bench.take(csv.text, as: "AGAIN.csv", assetClass: .crypto)
            #expect(try await doors.bench.closes("AGAIN", "1m") == doors.bench.closes("BTCUSD", "1m") { $0.end = at("2016-10-08T00:07:00Z") })
        }
    }

    @Test func importsTakeTheOrderOfDatesAndTheEndOfBars() async throws {
        try await withDoors { doors in
            let admin = try doors.client(Person(roles: ["admin"]))
            let file = Array("Date;Open;High;Low;Close\n03/04/2017 10:01;1;1;1;1\n03/04/2017 10:02;1;1;1;1\n03/04/2017 10:03;1;1;1;1\n".utf8)
            func post(_ query: String) async throws -> RequestClient.Answer {
                try await admin.send(.post, "/api/imports?filename=ETHUSD.csv\(query)", body: file)
            }
            let refused = try await post("")
            #expect(refused.verdict == "422 ambiguous_dates" && refused.problemField == "date_order")
            #expect(try await post("&date_order=ymd").verdict == "400 invalid_parameter")
            #expect(try await post("&date_order=dmy&stamps=middle").problemField == "stamps")
            let taken = try await post("&date_order=dmy&stamps=end")
            #expect(taken.status == 201)
            #expect(taken.text.contains("stamped at the end"))
            let bars = try await doors.bench.reader.read(BarRequest(symbol: "ETHUSD", interval: .seconds(60), countback: 9)).bars
            #expect(bars.starts.first == at("2017-04-03T10:00:00Z").microseconds)
        }
    }
}
