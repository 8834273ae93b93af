import Bars
import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// The real answers of the vendor, asked for over the wire, against the same answers imported as files.
@Suite(.enabled(if: SharedData.isPresent, "the shared folder with IQFeed's answers is absent"), .timeLimit(.minutes(10)))
struct IQFeedRealAnswerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let file: String
        let kind: HistoryRequest.Kind
        let command: String
        let rows: Int
        let from: String
        var testDescription: String { file }
    }

    static let cases = [
        Case(file: "ticks", kind: .ticks, command: "HTT", rows: 32_627, from: "2021-03-01T00:00:00Z"),
        Case(file: "intervals_1s", kind: .bars(.seconds(1)), command: "HIT", rows: 7_949, from: "2021-03-01T00:00:00Z"),
        Case(file: "intervals_5s", kind: .bars(.seconds(5)), command: "HIT", rows: 5_878, from: "2021-03-01T00:00:00Z"),
        Case(file: "dailies", kind: .bars(.days(1)), command: "HDT", rows: 25, from: "2021-02-22T00:00:00Z"),
        Case(file: "weeklies", kind: .bars(.weeks(1)), command: "HWX", rows: 25, from: "2020-10-01T00:00:00Z"),
        Case(file: "monthlies", kind: .bars(.months(1)), command: "HMX", rows: 25, from: "2019-03-01T00:00:00Z"),
    ]

    @Test(arguments: cases, ["6.2", "6.1"])
    func whatIsFetchedIsWhatIsImported(_ one: Case, version: String) async throws {
        for order in ["oldest", "newest"] {
            let path = "iqfeed-nept-2021/\(one.file)_\(order).zip"
            let packed = try SharedData.bytes("data/\(path)")
            let raw = try Archive.open(packed, fileName: path).bytes
            let imported = try FileImporter.read(packed, path: path)
            try await IQFeedBench.with(versions: [version]) { bench in
                bench.simulator.reply { _ in .answer(raw) }
                let source = try bench.source()
                let request = HistoryRequest(symbol: "NEPT", instrument: "NEPT", kind: one.kind, range: at(one.from)..<at("2021-03-27T12:00:00Z"))
                let fetched = try #require(try await source.history(request))
                #expect(fetched.rows == one.rows)
                #expect(fetched.rows == imported.rows)
                #expect(fetched.series.count == 1)
                #expect(fetched.series[0].bars == imported.series[0].bars)
                #expect(fetched.series[0].intervalSeconds == imported.series[0].intervalSeconds)
                #expect(fetched.series[0].origin == imported.series[0].origin)
                #expect(fetched.series[0].coverage == imported.series[0].coverage)
                #expect(fetched.problems == imported.problems)
                #expect(fetched.notes.dropLast() == imported.notes[...])
                #expect(fetched.notes.last?.hasPrefix("IQFeed was asked: \(one.command),NEPT,") == true)
                #expect((fetched.symbol, fetched.assetClass) == (imported.symbol, imported.assetClass))
                #expect(fetched.calendar == imported.calendar)
                #expect(try await bench.simulator.requested.next().command == one.command)
                #expect(await source.health().state == .healthy)
                await source.stop()
            }
        }
    }
}

@Suite(.timeLimit(.minutes(10))) struct IQFeedHistoryTests {
    private func request(
        _ kind: HistoryRequest.Kind,
        from: String = "2021-03-26T00:00:00Z",
        to: String = "2021-03-27T00:00:00Z",
        symbol: String = "NEPT"
    ) -> HistoryRequest {
        HistoryRequest(symbol: symbol, instrument: "NEPT", kind: kind, range: at(from)..<at(to))
    }

    @Test func everyFormOfARequest() throws {
        func line(
            _ data: IQFeedHistoryCommand.Data,
            _ extent: IQFeedHistoryCommand.Extent,
            most: Int? = nil,
            filter: IQFeedHistoryCommand.Filter? = nil
        )
            throws -> String
        {
            try IQFeedHistoryCommand(symbol: "NEPT", data: data, extent: extent, maximumPoints: most, filter: filter).line(id: "R7")
        }
        let range = IQFeedHistoryCommand.Extent.between("20210301 040000", "20210303 200000")
        let filter = IQFeedHistoryCommand.Filter(begin: "040000", end: "200000")
        #expect(try line(.ticks, .last(10)) == "HTX,NEPT,10,1,R7,100")
        #expect(try line(.ticks, .recentDays(3), most: 9, filter: filter) == "HTD,NEPT,3,9,040000,200000,1,R7,100")
        #expect(try line(.ticks, range, filter: filter) == "HTT,NEPT,20210301 040000,20210303 200000,,040000,200000,1,R7,100")
        #expect(try line(.intervals(seconds: 5), .last(10)) == "HIX,NEPT,5,10,1,R7,100,s,1")
        #expect(try line(.intervals(seconds: 5), .recentDays(2)) == "HID,NEPT,5,2,,,,1,R7,100,s,1")
        #expect(
            try line(.intervals(seconds: 1), range, filter: filter)
                == "HIT,NEPT,1,20210301 040000,20210303 200000,,040000,200000,1,R7,100,s,1"
        )
        #expect(try line(.days, .last(5)) == "HDX,NEPT,5,1,R7,100,0")
        #expect(try line(.weeks, .last(5)) == "HWX,NEPT,5,1,R7,100,0")
        #expect(try line(.months, .last(5)) == "HMX,NEPT,5,1,R7,100,0")
        #expect(try line(.days, .between("20210222", "20210327"), most: 3) == "HDT,NEPT,20210222,20210327,3,1,R7,100,0")
        for (data, extent) in [
            (IQFeedHistoryCommand.Data.weeks, IQFeedHistoryCommand.Extent.recentDays(3)), (.months, range), (.days, .recentDays(1)),
            (.ticks, .last(0)), (.ticks, .recentDays(40_000)), (.intervals(seconds: 301), range), (.intervals(seconds: 0), range),
            (.intervals(seconds: 5_400), range),
        ] { #expect(throws: SourceError.self) { try line(data, extent) } }
    }

    @Test(arguments: ["", "nept", "NEPT,1", "NE\r\nS,DISCONNECT", "NE PT", "É", String(repeating: "A", count: 31)])
    func aSymbolThatWouldBeACommandIsRefused(_ symbol: String) async throws {
        try await IQFeedBench.with { bench in
            let source = try bench.source()
            await #expect(throws: SourceError.self) { try await source.history(self.request(.bars(.seconds(1)), symbol: symbol)) }
            #expect(await bench.simulator.connections(at: .lookup) == 0)
        }
    }

    @Test func timesAreAskedForInNewYork() async throws {
        try await IQFeedBench.with(now: "2021-03-20T00:00:00Z") { bench in
            let source = try bench.source()
            // The clocks go forward on 2021-03-14.
            let winter = try source.command(
                for: self.request(.ticks, from: "2021-03-12T14:30:00Z", to: "2021-03-12T21:00:00Z"),
                now: bench.time.now()
            )
            #expect(winter.extent == .between("20210312 093000", "20210312 160000"))
            let summer = try source.command(
                for: self.request(.ticks, from: "2021-03-15T13:30:00Z", to: "2021-03-15T20:00:00Z"),
                now: bench.time.now()
            )
            #expect(summer.extent == .between("20210315 093000", "20210315 160000"))
            let days = try source.command(
                for: self.request(.bars(.days(1)), from: "2021-03-15T01:00:00Z", to: "2021-03-18T01:00:00Z"),
                now: bench.time.now()
            )
            #expect(days.extent == .between("20210314", "20210318"))
        }
    }

    @Test func whatTheVendorDoesNotKeepIsRefusedAndNotTakenForNothing() async throws {
        try await IQFeedBench.with { bench in
            let source = try bench.source()
            let now = bench.time.now()
            func command(_ kind: HistoryRequest.Kind, from: String) throws -> IQFeedHistoryCommand {
                try source.command(for: self.request(kind, from: from), now: now)
            }
            #expect(throws: SourceError.beyondReach("ticks older than 180 days")) { try command(.ticks, from: "2020-09-01T00:00:00Z") }
            #expect(throws: SourceError.beyondReach("bars of 5 s older than 180 days")) {
                try command(.bars(.seconds(5)), from: "2020-09-01T00:00:00Z")
            }
            #expect(try command(.bars(.seconds(60)), from: "2010-09-01T00:00:00Z").data == .intervals(seconds: 60))
            #expect(throws: SourceError.self) { try command(.bars(.days(2)), from: "2021-03-01T00:00:00Z") }
            #expect(throws: SourceError.self) {
                try source.command(for: self.request(.bars(.seconds(1)), from: "2021-04-01T00:00:00Z", to: "2021-04-02T00:00:00Z"), now: now)
            }
        }
    }

    @Test func onlyWhatIsOverAndWasAskedForIsGiven() async throws {
        // 09:30:30 in New York: of rows from 09:30:00 on those that ended by 09:30:25 are over and settled.
        try await IQFeedBench.with(now: "2021-03-26T13:30:30Z") { bench in
            bench.simulator.reply { _ in .answer(iqfeedRows(40)) }
            let source = try bench.source()
            func fetched(from: String, to: String = "2021-03-27T00:00:00Z") async throws -> ImportedSeries? {
                // The second request of a second has to wait for its turn.
                try await bench.passingPauses { try await source.history(self.request(.bars(.seconds(1)), from: from, to: to)) }.value?.series[0]
            }
            let running = try #require(try await fetched(from: "2021-03-26T13:30:10Z"))
            #expect(running.bars.count == 15)
            #expect(running.bars.starts.first == at("2021-03-26T13:30:10Z").microseconds)
            #expect(running.bars.ends.last == at("2021-03-26T13:30:25Z").microseconds)
            #expect(running.coverage == at("2021-03-26T13:30:10Z").microseconds..<at("2021-03-26T13:30:25Z").microseconds)
            let some = try #require(try await fetched(from: "2021-03-26T13:30:00Z", to: "2021-03-26T13:30:05Z"))
            #expect(some.bars.count == 5)
            #expect(some.coverage == at("2021-03-26T13:30:00Z").microseconds..<at("2021-03-26T13:30:05Z").microseconds)
            let none = try await fetched(from: "2021-03-26T13:30:28Z")
            #expect(none == nil)
            await source.stop()
        }
    }
}
