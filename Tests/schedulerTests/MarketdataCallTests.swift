import Contracts
import HTTPServing
import Schedules
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// What the scheduler makes of marketdata's answers, over real HTTP.
@Suite("Calls of marketdata")
struct MarketdataCallTests {
    private static let bar = WatchedBar(instrument: "SPY", intervalSeconds: 60)
    private static let start = Timestamp(seconds: 1_475_452_800)
    private static func close(_ minute: Int) -> PastClose {
        let end = start + .seconds(minute * 60)
        return PastClose(end: end, knownAt: end + .milliseconds(250))
    }

    private struct Answer: Encodable {
        struct Close: Encodable {
            let end: Timestamp
            let knownAt: Timestamp
        }
        let closes: [Close]
        let hasMore: Bool

        init(_ closes: [PastClose], hasMore: Bool) {
            self.closes = closes.map { Close(end: $0.end, knownAt: $0.knownAt) }
            self.hasMore = hasMore
        }
    }

    /// Lends markets behind a server that answers both questions so.
    private func withServer(_ respond: @escaping @Sendable (Request) throws -> Response, _ body: (PastMarkets) async throws -> Void) async throws {
        var router = Router()
        router.get("/internal/v1/instruments/{symbol}/past-closes") { try respond($0) }
        router.get("/internal/v1/instruments/{symbol}/sessions") { try respond($0) }
        let server = HTTPServer(name: "marketdata", address: "127.0.0.1", port: 0, router: router, loops: [TestLoop.shared])
        try await server.start()
        let client = ServiceClient(
            baseURLs: ["http://127.0.0.1:\(server.boundPort)"],
            audience: "marketdata",
            tokens: nil,
            http: HTTPClient(),
            rounds: 1
        )
        do {
            try await body(PastMarkets(marketdata: client))
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    @Test func whatIsNotSaidAtOnceIsAskedForAgain() async throws {
        let asked = Mutex<[String]>([])
        let respond: @Sendable (Request) throws -> Response = { request in
            let from = try #require(try request.query.timestamp("from"))
            asked.withLock { $0.append(from.iso8601) }
            let limit = try request.query.integer("limit", range: 1...20_000, default: 1)
            let rest = (1...5).map(Self.close).filter { $0.end > from }
            let told = Array(rest.prefix(min(2, limit)))
            return try .json(Answer(told, hasMore: told.count < rest.count))
        }
        try await withServer(respond) { markets in
            let through = Self.start + .seconds(3_600)
            let all = try await markets.closes(Self.bar, Self.start, through, 100)
            #expect(all == (1...5).map(Self.close))
            #expect(asked.withLock { $0 } == [Self.start, Self.close(2).end, Self.close(4).end].map(\.iso8601))
            // No further than it is of use.
            let some = try await markets.closes(Self.bar, Self.start, through, 3)
            #expect(some == (1...3).map(Self.close))
        }
        // One who says for ever that there are more, and no more.
        try await withServer({ _ in try .json(Answer([], hasMore: true)) }) { markets in
            await #expect(throws: ServiceClientError.self) { try await markets.closes(Self.bar, Self.start, Self.start + .seconds(3_600), 100) }
        }
    }

    @Test(arguments: [
        (404, "unknown_instrument", Backfill.Refusal.unknownInstrument("SPY")), (404, "not_found", .marketFault),
        (400, "unknown_parameter", .marketFault),
        (401, "unauthorized", .marketFault), (403, "forbidden", .marketFault), (409, "days_removed", .marketBusy),
        (422, "too_many_base_rows", .refused(code: "too_many_base_rows", detail: "why", field: "to")),
        (422, "interval_not_available", .refused(code: "interval_not_available", detail: "why", field: "id")),
        (429, "too_many_heavy_reads", .marketBusy),
        (500, "damaged_chunk", .marketFault), (503, "store_unavailable", .marketAway),
    ])
    func aRefusalIsToldByItsCode(status: Int, code: String, refusal: Backfill.Refusal) async throws {
        let respond: @Sendable (Request) throws -> Response = { _ in throw Problem(status: Status(status), code: code, detail: "why") }
        try await withServer(respond) { markets in
            let planner = BackfillPlanner(markets: markets, time: SystemTimeSource())
            for cadence in [Cadence.barClose(instrument: "SPY", interval: "1m"), .session(instrument: "SPY", moment: .afterOpen(seconds: 0))] {
                let publication = Fixture.publication(cadence, at: .now())
                let schedule = Fixture.schedule(of: publication)
                let asked = Backfill.Asked(from: Self.start, to: Self.start + .seconds(3_600), overlap: .sequential)
                await #expect(throws: refusal) {
                    try await planner.plan(schedule, publication: publication, asked: asked, now: .now())
                }
            }
        }
    }

    @Test func whoIsNotThereIsAway() async throws {
        var address = ""
        let server = HTTPServer(name: "marketdata", address: "127.0.0.1", port: 0, router: Router(), loops: [TestLoop.shared])
        try await server.start()
        address = "http://127.0.0.1:\(server.boundPort)"
        await server.stop()
        let client = ServiceClient(baseURLs: [address], audience: "marketdata", tokens: nil, http: HTTPClient(), rounds: 1)
        do {
            _ = try await PastMarkets(marketdata: client).closes(Self.bar, Self.start, Self.start + .seconds(60), 1)
            Issue.record("nobody was there")
        } catch let error as ServiceClientError {
            #expect(Backfill.Refusal(error) == .marketAway)
        }
    }
}
