import Bars
import Contracts
import HTTPServing
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

@Suite struct FillForwardTests {
    /// Ten minutes of a coin without the fourth, fifth and last three.
    private func bench() async throws -> Bench {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 7, skipping: [3, 4]), as: "BTCUSD.csv")
        return bench
    }

    private func read(_ bench: Bench, _ change: (inout BarRequest) -> Void) async throws -> (closes: [String], filled: [Bool], answer: BarAnswer) {
        var request = BarRequest(symbol: "BTCUSD", interval: .seconds(60))
        request.fillsForward = true
        change(&request)
        let answer = try await bench.reader.read(request)
        return ((0..<answer.bars.count).map { answer.bars.close.text(at: $0) ?? "-" }, answer.isFilled ?? [], answer)
    }

    @Test func onlyOnRequestAndMarked() async throws {
        let bench = try await bench()
        let filled = try await read(bench) {
            $0.start = at("2016-10-08T00:00:00Z")
            $0.end = at("2016-10-08T00:08:00Z")
        }
        #expect(filled.closes == ["100.25", "101.25", "102.25", "102.25", "102.25", "105.25", "106.25", "106.25"])
        #expect(filled.filled == [false, false, false, true, true, false, false, true])
        #expect(filled.answer.bars.volume?.text(at: 3) == nil)
        let plain = try await read(bench) {
            $0.start = at("2016-10-08T00:00:00Z")
            $0.end = at("2016-10-08T00:08:00Z")
            $0.fillsForward = false
        }
        #expect(plain.closes.count == 5)
        #expect(plain.answer.isFilled == nil)
    }

    /// A bar is put in only when its own end is known, so that later knowledge changes nothing of what was given.
    @Test(arguments: [("2016-10-08T00:04:00Z", 1), ("2016-10-08T00:04:59Z", 1), ("2016-10-08T00:05:00Z", 2), ("2016-10-08T00:06:00Z", 2)])
    func asOfAMoment(moment: String, count: Int) async throws {
        let bench = try await bench()
        for start in [nil, at("2016-10-08T00:00:00Z")] {
            let answer = try await read(bench) {
                $0.asOf = at(moment)
                $0.start = start
                if start == nil { $0.countback = 100 }
            }
            #expect(answer.filled.count { $0 } == count)
            #expect(answer.answer.bars.ends.allSatisfy { $0 <= at(moment).microseconds })
        }
    }

    @Test func pagesJoinWithoutASeam() async throws {
        let bench = try await bench()
        func page(_ start: Timestamp, _ limit: Int) async throws -> (closes: [String], filled: [Bool], answer: BarAnswer) {
            try await read(bench) {
                $0.start = start
                $0.end = at("2016-10-08T00:10:00Z")
                $0.limit = limit
            }
        }
        let whole = try await page(at("2016-10-08T00:00:00Z"), 100)
        #expect(whole.closes.count == 10)
        #expect(whole.answer.nextStart == nil)
        for limit in 1...4 {
            var (closes, filled): ([String], [Bool]) = ([], [])
            var next: Int64? = at("2016-10-08T00:00:00Z").microseconds
            while let start = next {
                let part = try await page(Timestamp(microseconds: start), limit)
                closes += part.closes
                filled += part.filled
                next = part.answer.nextStart
            }
            #expect(closes == whole.closes, "pages of \(limit)")
            #expect(filled == whole.filled, "pages of \(limit)")
        }
    }

    @Test func theRunningBarIsTheLastWord() async throws {
        let bench = try await bench()
        let answer = try await read(bench) {
            $0.interval = .seconds(300)
            $0.asOf = at("2016-10-08T00:06:30Z")
            $0.partial = true
            $0.countback = 10
        }
        #expect(answer.answer.lastIsPartial)
        #expect(answer.filled == [false, false])
    }

    @Test func pricesThatFillAreAdjustedAsTheBarBeforeThem() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        // Days with a Tuesday missing, split after the Monday.
        let rows = "20140609 00:00,1000000,1000000,1000000,1000000,10\n20140611 00:00,500000,500000,500000,500000,10\n"
        _ = try await bench.importer.run(Array(rows.utf8), path: "xyz.csv", options: ImportOptions(assetClass: .equity))
        _ = try await bench.importer.run(
            Array("20140101,1,0.5,1\n20140609,1,0.5,100\n20501231,1,1,0\n".utf8),
            path: "xyz.csv",
            options: ImportOptions()
        )
        var request = BarRequest(symbol: "XYZ", interval: .days(1), countback: 3)
        request.asOf = at("2014-06-11T20:00:00Z")
        request.fillsForward = true
        request.adjustment = .split
        let answer = try await bench.reader.read(request)
        #expect(answer.bars.close.doubles() == [50, 50, 50])
        #expect(answer.isFilled == [false, true, false])
    }
}

@Suite(.enabled(if: TestServers.hasPostgres)) struct FillForwardRouteTests {
    @Test func theColumnIsThereWhenAskedFor() async throws {
        try await withDoors { doors in
            try await doors.bench.take(minutes(from: "2016-10-08T00:40:00Z", count: 2, first: 500), as: "BTCUSD.csv")
            let client = try doors.client(Person(roles: ["subscriber"]))
            let query = "/api/bars?instrument=BTCUSD&interval=1m&start=2016-10-08T00:29:00Z&end=2016-10-08T00:41:00Z"
            let answer = try await client.get(query + "&fill=forward")
            let json = try answer.json()
            #expect(json["count"] == .integer(12))
            #expect(json["bars"]?["filled"]?[0] == .bool(false))
            #expect(json["bars"]?["filled"]?[1] == .bool(true))
            #expect(json["bars"]?["filled"]?[11] == .bool(false))
            #expect(json["bars"]?["close"]?[10]?.string == "129.25")
            #expect(json["bars"]?["volume"]?[10] == .null)
            let plain = try await client.get(query + "&fill=none").json()
            #expect(plain["count"] == .integer(2))
            #expect(plain["bars"]?["filled"] == nil)
            #expect(try await client.get(query + "&fill=forward&format=binary").verdict == "400 fill_needs_json")
            let inside = try await doors.service("signals").get(query.replacing("/api/", with: "/internal/v1/") + "&fill=forward")
            #expect(inside.body == answer.body)
        }
    }
}
