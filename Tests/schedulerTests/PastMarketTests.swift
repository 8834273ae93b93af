import Contracts
import HTTPServing
import Postgres
import Schedules
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// Backfills of what a market says the due times of: its sessions, or its bars.
@Suite("Backfills of markets", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct PastMarketTests {
    /// A Monday, midnight UTC, long before anything that is kept of markets here.
    private static let monday = Timestamp(seconds: 1_475_452_800)
    private static func at(_ day: Int, _ hour: Int, _ minute: Int = 0) -> Timestamp {
        monday + .seconds(day * 86_400 + hour * 3_600 + minute * 60)
    }

    /// Marketdata as far as it knows the past: on weekdays open from 13:30 to 20:00, on the Thursday of the week to 17:00 only.
    private final class Past: Sendable {
        struct State {
            var failure: ServiceClientError?
            var closes: [Timestamp] = []
            /// How long the stretches were that it was asked for.
            var asked: [Duration] = []
        }
        let state = Mutex(State())

        var markets: PastMarkets {
            PastMarkets(
                sessions: { [self] market, from, through in
                    try state.withLock { state in
                        state.asked.append(through - from)
                        if let failure = state.failure { throw failure }
                        if market != "SPY" { return nil }
                        var sessions: [Range<Timestamp>] = []
                        for day in -700...700 where ((day % 7) + 7) % 7 < 5 {
                            let session = at(day, 13, 30)..<at(day, day == 3 ? 17 : 20)
                            if from <= session.lowerBound, session.lowerBound <= through { sessions.append(session) }
                        }
                        return MarketSessions(sessions, knownThrough: through)
                    }
                },
                closes: { [self] bar, from, through, limit in
                    try state.withLock { state in
                        if let failure = state.failure { throw failure }
                        if bar != WatchedBar(instrument: "SPY", intervalSeconds: 3_600) { return nil }
                        return Array(state.closes.filter { from < $0 && $0 <= through }.prefix(limit))
                    }
                }
            )
        }
    }

    private func withMarket(_ body: (TestHouse, Past) async throws -> Void) async throws {
        let past = Past()
        try await withTestHouse(markets: past.markets) { house in try await body(house, past) }
    }

    private func arm(
        _ house: TestHouse,
        _ cadence: Cadence,
        _ policy: SchedulePolicy = SchedulePolicy(),
        feed: FeedKind = .live
    ) async throws -> ScheduleID {
        let event = Fixture.publication(cadence, at: .now(), policy: policy, feed: feed)
        _ = try await house.store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: .now(), in: $0) }
        return try #require(try await house.store.schedule(of: event.signalID)).id
    }

    private func order(_ house: TestHouse, _ id: ScheduleID, _ from: Timestamp, _ to: Timestamp) async throws -> RequestClient.Answer {
        let wanted: JSONValue = ["from": .string(from.iso8601), "to": .string(to.iso8601)]
        return try await house.person().post("/api/schedules/\(id)/backfills", json: wanted)
    }

    /// Runs a backfill to its end; gives the specs of its runs.
    private func run(_ house: TestHouse, _ id: ScheduleID, _ from: Timestamp, _ to: Timestamp) async throws -> [JSONValue] {
        let ordered = try await order(house, id, from, to)
        #expect(ordered.status == 202, "\(ordered.text)")
        let backfill = try #require(try ordered.json()["backfill_id"]?.string)
        let keeper = BackfillKeeper(store: BackfillStore(store: house.store), time: SystemTimeSource(), loop: TestLoop.shared) { _ in }
        var specs: [JSONValue] = []
        while try await keeper.round() {
            for job in try await house.store.claim(Fixture.claim(20)) {
                #expect(job.kind == .backfillRun && job.scheduleID == nil && job.occurrenceID == nil)
                specs.append(job.spec)
                _ = try await house.store.finish([try Fixture.finished(job)])
            }
        }
        let ended = try await house.person().get("/api/schedules/\(id)/backfills/\(backfill)").json()
        #expect(ended["state"] == "completed" && ended["completed"]?.integer == Int64(specs.count) && ended["due_count"] == ended["completed"])
        // Nothing of it is an occurrence, and what was written down of its due times is gone with it.
        #expect(try await house.store.occurrences(of: id, before: nil, limit: 10).isEmpty)
        let kept = try await house.pool.query("SELECT count(*) FROM backfills WHERE due_times IS NOT NULL").first
        #expect(try kept?.column(0, as: Int.self) == 0)
        return specs
    }

    private func dueTimes(_ specs: [JSONValue]) -> [Timestamp] { specs.compactMap { $0["due_at"]?.string.flatMap { Timestamp(iso8601: $0) } } }

    @Test func momentsOfSessionsAreThoseOfThePast() async throws {
        try await withMarket { house, _ in
            let before = try await arm(house, .session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            // Wednesday to the next Monday: half a day on Thursday, nothing at the weekend; what is due at the end of the range belongs to it.
            let specs = try await run(house, before, Self.at(2, 0), Self.at(7, 19, 50))
            #expect(dueTimes(specs) == [Self.at(2, 19, 50), Self.at(3, 16, 50), Self.at(4, 19, 50), Self.at(7, 19, 50)])
            #expect(specs.allSatisfy { $0["as_of"] == $0["due_at"] && $0["feed"] == "backfill" })
            let every = try await arm(house, .session(instrument: "SPY", moment: .every(seconds: 7_200)))
            // A range that begins within a session begins with the next moment of that session's own grid.
            #expect(dueTimes(try await run(house, every, Self.at(3, 14), Self.at(4, 14))) == [Self.at(3, 15, 30), Self.at(4, 13, 30)])
        }
    }

    @Test func aGridThatKeepsToAMarketRunsOnlyWhileItWasOpen() async throws {
        try await withMarket { house, _ in
            let id = try await arm(house, .interval(seconds: 3_600), SchedulePolicy(inSession: "SPY"))
            // The close itself belongs to no session.
            let found = dueTimes(try await run(house, id, Self.at(3, 0), Self.at(4, 15)))
            #expect(found == [Self.at(3, 14), Self.at(3, 15), Self.at(3, 16), Self.at(4, 14), Self.at(4, 15)])
        }
    }

    @Test func closesAreThoseOfBarsThatThereAre() async throws {
        try await withMarket { house, past in
            let closes = [Self.at(0, 14, 30), Self.at(0, 15, 30), Self.at(0, 20), Self.at(1, 14, 30)]
            past.state.withLock { $0.closes = closes }
            let id = try await arm(house, .barClose(instrument: "SPY", interval: "1h"))
            let specs = try await run(house, id, Self.at(0, 14, 30), Self.at(1, 14))
            #expect(dueTimes(specs) == Array(closes.prefix(3)) && specs.allSatisfy { $0["as_of"] == $0["due_at"] })
            // Up to the bar that ends with the range.
            #expect(try await order(house, id, Self.at(0, 14, 30), Self.at(1, 14, 30)).json()["due_count"] == 4)
        }
    }

    @Test func yearsAreAskedForInPieces() async throws {
        try await withMarket { house, past in
            let id = try await arm(house, .session(instrument: "SPY", moment: .afterOpen(seconds: 0)))
            let answer = try await order(house, id, Self.at(-700, 0), Self.at(700, 0))
            #expect(try answer.json()["due_count"] == 1_000, "\(answer.text)")
            let asked = past.state.withLock { $0.asked }
            #expect(asked.count == 4 && asked.allSatisfy { $0 <= .seconds(400 * 86_400) })
        }
    }

    @Test func whatTheMarketDoesNotSayIsRefused() async throws {
        try await withMarket { house, past in
            let spy = try await arm(house, .session(instrument: "SPY", moment: .every(seconds: 1)))
            let gone = try await arm(house, .session(instrument: "GONE", moment: .every(seconds: 60)))
            let bars = try await arm(house, .barClose(instrument: "SPY", interval: "1h"))
            let goneBars = try await arm(house, .barClose(instrument: "GONE", interval: "1h"))
            let replay = try await arm(house, .barClose(instrument: "SPY@replay-1", interval: "1h"), feed: .replay)
            func verdict(_ id: ScheduleID, _ from: Timestamp = Self.at(0, 0), _ to: Timestamp = Self.at(1, 0)) async throws -> String {
                try await order(house, id, from, to).verdict
            }
            #expect(try await verdict(spy) == "422 too_many_due_times to")
            #expect(try await verdict(spy, Self.at(5, 0), Self.at(6, 0)) == "422 nothing_due from")
            #expect(try await verdict(bars) == "422 nothing_due from")
            #expect(try await verdict(gone) == "422 unknown_instrument id")
            #expect(try await verdict(goneBars) == "422 unknown_instrument id")
            #expect(try await verdict(replay) == "422 replay_instrument id")
            past.state.withLock { $0.failure = .away(service: "marketdata", reason: "test") }
            let away = try await order(house, spy, Self.at(0, 0), Self.at(1, 0))
            #expect(away.verdict == "503 marketdata_away" && away.headers["retry-after"] != nil)
            past.state.withLock { $0.failure = .refused(service: "marketdata", status: 422, code: "too_many_base_rows", detail: "less, please") }
            let refused = try await order(house, bars, Self.at(0, 0), Self.at(1, 0))
            #expect(try refused.verdict == "422 too_many_base_rows from" && refused.json()["detail"] == "less, please")
            // What is refused leaves nothing open.
            let open = try await house.pool.query("SELECT count(*) FROM backfills").first
            #expect(try open?.column(0, as: Int.self) == 0)
        }
    }

    @Test func aCancelledOneForgetsItsDueTimes() async throws {
        try await withMarket { house, _ in
            let id = try await arm(house, .session(instrument: "SPY", moment: .every(seconds: 600)))
            let backfill = try #require(try await order(house, id, Self.at(0, 0), Self.at(1, 0)).json()["backfill_id"]?.string)
            #expect(try await house.person().delete("/api/schedules/\(id)/backfills/\(backfill)").json()["state"] == "cancelled")
            let kept = try await house.pool.query("SELECT count(*) FROM backfills WHERE due_times IS NOT NULL").first
            #expect(try kept?.column(0, as: Int.self) == 0)
        }
    }
}
