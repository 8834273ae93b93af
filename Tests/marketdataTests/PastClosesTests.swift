import Bars
import Contracts
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import marketdata

/// When bars closed in the past: each once, whatever grid they lie on, and all of one look at what there is.
@Suite struct PastClosesTests {
    private func ends(_ bench: Bench, _ seconds: Int, _ after: String, _ through: String, limit: Int = 100) async throws -> (
        ends: [String], hasMore: Bool
    ) {
        let question = PastClosesQuestion(
            symbol: "BTCUSD",
            interval: BarInterval(seconds: seconds),
            after: at(after),
            through: at(through),
            limit: limit
        )
        let found = try await bench.reader.pastCloses(question)
        #expect(found.closes.allSatisfy { $0.knownAt == $0.end })
        return (found.closes.map { String($0.end.iso8601.prefix(16)) }, found.hasMore)
    }

    /// A vendor's hours from half past on are answered as they are: the one that is under way at the beginning of the stretch ends in it.
    @Test func barsBesideTheGridAreNotLostAtTheBeginning() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(rows(at: times(from: "2016-10-08T00:30:00Z", to: "2016-10-08T06:30:00Z", every: 3_600)), as: "BTCUSD.csv")
        let all = try await ends(bench, 3_600, "2016-10-08T01:15:00Z", "2016-10-08T04:00:00Z")
        #expect(all.ends == ["2016-10-08T01:30", "2016-10-08T02:30", "2016-10-08T03:30"] && !all.hasMore)
        // Page after page, with nothing twice and nothing left out.
        for limit in 1...3 {
            var (pages, position) = ([String](), "2016-10-08T00:00:00Z")
            while true {
                let page = try await ends(bench, 3_600, position, "2016-10-08T06:30:00Z", limit: limit)
                #expect(page.ends.count <= limit)
                pages += page.ends
                guard page.hasMore, let last = page.ends.last else { break }
                position = last + ":00Z"
            }
            #expect(pages == (1...6).map { "2016-10-08T0\($0):30" })
        }
    }

    @Test func barsBefore1970CloseToo() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "1962-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
        #expect(try await ends(bench, 600, "0001-01-01T00:00:00Z", "1962-10-08T00:20:00Z").ends == ["1962-10-08T00:10", "1962-10-08T00:20"])
        #expect(try await ends(bench, 600, "0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z").ends.isEmpty)
        #expect(try await ends(bench, 600, "1962-10-08T00:10:00Z", "9999-01-01T00:00:00Z").ends == ["1962-10-08T00:20", "1962-10-08T00:30"])
    }

    /// Does something when the bytes of days are looked for.
    private final class Hook: ChunkBytesCache {
        private let work: @Sendable () async -> Void
        init(_ work: @escaping @Sendable () async -> Void) { self.work = work }

        func chunks(_ keys: [ChunkKey]) async -> [ChunkKey: [UInt8]] {
            await work()
            return [:]
        }

        func store(_ chunks: [ChunkKey: [UInt8]]) async {}
    }

    /// What was looked up for the bars is not looked up again for their moments: by then it could be another instrument, grid or series.
    @Test(.enabled(if: TestServers.hasPostgres)) func barsAndTheirMomentsAreOfOneLook() async throws {
        try await withPostgresStore { store, _, superuser in
            try await Bench(store).take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
            let bench = try Bench(
                store,
                chunkBytes: Hook { _ = try? await superuser.execute("ALTER TABLE series RENAME TO series_away") }
            )
            let found = try await ends(bench, 600, "2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")
            #expect(found.ends.count == 3)
            #expect(try await superuser.query("SELECT to_regclass('series_away') IS NOT NULL").first?.column(0) == true)
        }
    }

    @Test func whoIsOvertakenLooksAgainAFewTimes() async throws {
        var looks = 0
        let found = try await withNewLooks {
            looks += 1
            if looks < 5 { throw MarketdataError.daysRemoved(instrument: "BTCUSD") }
            return looks
        }
        #expect(found == 5)
        looks = 0
        await #expect(throws: MarketdataError.daysRemoved(instrument: "BTCUSD")) {
            try await withNewLooks {
                looks += 1
                throw MarketdataError.daysRemoved(instrument: "BTCUSD")
            }
        }
        #expect(looks == 5)
        looks = 0
        await #expect(throws: MarketdataError.unknownReplay) {
            try await withNewLooks {
                looks += 1
                throw MarketdataError.unknownReplay
            }
        }
        #expect(looks == 1)
    }
}
