import Contracts
import Foundation
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
            var closes: [PastClose] = []
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
                        return Array(state.closes.filter { from < $0.end && $0.end <= through }.prefix(limit))
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
        let kept = try await house.pool.query("SELECT count(*) FROM backfill_due_times").first
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
            // Some are history, known at their ends, some were recorded live.
            let closes = [Self.at(0, 14, 30), Self.at(0, 15, 30), Self.at(0, 20), Self.at(1, 14, 30)]
            let known = zip(closes, [0, 250_000, 400_000, 0]).map { $0 + .microseconds($1) }
            past.state.withLock { $0.closes = zip(closes, known).map { PastClose(end: $0, knownAt: $1) } }
            let id = try await arm(house, .barClose(instrument: "SPY", interval: "1h"))
            let specs = try await run(house, id, Self.at(0, 14, 30), Self.at(1, 14))
            #expect(dueTimes(specs) == Array(closes.prefix(3)))
            // What a live run knew: its bar, and nothing later.
            #expect(specs.compactMap { $0["as_of"]?.string } == known.prefix(3).map(\.iso8601))
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

    /// A market whose every answer waits at a gate, and how many were under way at most.
    private final class SlowMarket: Sendable {
        let gate = Gate()
        let underWay = Mutex((now: 0, most: 0, all: 0))

        var markets: PastMarkets {
            PastMarkets(
                sessions: { [self] _, _, through in
                    underWay.withLock { ($0.now, $0.most, $0.all) = ($0.now + 1, max($0.most, $0.now + 1), $0.all + 1) }
                    defer { underWay.withLock { $0.now -= 1 } }
                    try await gate.pass()
                    return MarketSessions([through - .seconds(3_600)..<through], knownThrough: through)
                },
                closes: { [self] _, _, _, _ in
                    try await gate.pass()
                    return []
                }
            )
        }
    }

    private func plan(_ cadence: Cadence, _ markets: PastMarkets, _ time: any TimeSource) async throws -> [Backfill.DueTime] {
        try await plan(cadence, BackfillPlanner(markets: markets, time: time))
    }

    private func plan(_ cadence: Cadence, _ planner: BackfillPlanner) async throws -> [Backfill.DueTime] {
        let publication = Fixture.publication(cadence, at: .now())
        let schedule = Fixture.schedule(of: publication)
        let asked = Backfill.Asked(from: .distantPast, to: Self.monday, overlap: .sequential)
        return try await planner.plan(schedule, publication: publication, asked: asked, now: Self.monday).dueTimes
    }

    @Test func fiftyYearsAreAskedForSomePiecesAtATime() async throws {
        let market = SlowMarket()
        async let planned = plan(.session(instrument: "SPY", moment: .afterOpen(seconds: 0)), market.markets, ManualTimeSource())
        // They are under way together: one after the other only the first would have come to the gate.
        for _ in 0..<BackfillPlanner.piecesAtOnce { try await market.gate.entered.next() }
        market.gate.open()
        let due = try await planned
        let (_, most, all) = market.underWay.withLock { $0 }
        #expect(most == BackfillPlanner.piecesAtOnce && all == 49)
        // A session a piece, in the order of time.
        #expect(due.count == 49 && due == due.sorted { $0.dueAt < $1.dueAt } && due.last?.dueAt == Self.monday - .seconds(3_600))
    }

    /// A call of marketdata costs it the same whoever asks: so many are under way, however many orders are planned.
    @Test func manyOrdersTakeTurns() async throws {
        let (market, waits) = (SlowMarket(), TestSignal<Void>())
        let turns = Turns(BackfillPlanner.piecesAtOnceOfAll) { waits.signal() }
        let planner = BackfillPlanner(markets: market.markets, time: ManualTimeSource(), turns: turns)
        let orders = 5
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<orders { group.addTask { try await plan(.session(instrument: "SPY", moment: .afterOpen(seconds: 0)), planner).count } }
            for _ in 0..<BackfillPlanner.piecesAtOnceOfAll { try await market.gate.entered.next() }
            for _ in 0..<orders * BackfillPlanner.piecesAtOnce - BackfillPlanner.piecesAtOnceOfAll { try await waits.next() }
            market.gate.open()
            for try await count in group { #expect(count == 49) }
        }
        let (_, most, all) = market.underWay.withLock { $0 }
        #expect(most == BackfillPlanner.piecesAtOnceOfAll && all == orders * 49)
    }

    /// Who waits for a turn waits no longer than for an answer, and leaves the line; the places of others come free as before.
    @Test func aTurnIsWaitedForOnlySoLong() async throws {
        let (market, time, waits) = (SlowMarket(), ManualTimeSource(), TestSignal<Void>())
        let planner = BackfillPlanner(markets: market.markets, time: time, turns: Turns(1) { waits.signal() })
        let cadence = Cadence.session(instrument: "SPY", moment: .afterOpen(seconds: 0))
        let planned = Task { try await plan(cadence, planner) }
        _ = try await time.fellAsleep.next()
        try await market.gate.entered.next()
        for _ in 1..<BackfillPlanner.piecesAtOnce { try await waits.next() }
        time.advance(by: BackfillPlanner.patience)
        await #expect(throws: Backfill.Refusal.marketAway) { try await planned.value }
        #expect(market.underWay.withLock { $0.now } == 0)
        market.gate.open()
        #expect(try await plan(cadence, planner).count == 49)
    }

    @Test func patienceEndsBeforeThatOfOurClients() throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../sdk/python/auspex/client.py")
        let client = try String(contentsOf: path, encoding: .utf8)
        let found = try #require(client.firstMatch(of: /timeout: float = ([0-9.]+)/))
        let waits = try #require(Double(found.1))
        #expect(BackfillPlanner.patience <= .seconds(waits - 2))
    }

    @Test(arguments: [Cadence.session(instrument: "SPY", moment: .afterOpen(seconds: 0)), .barClose(instrument: "SPY", interval: "1h")])
    func aSlowMarketIsWaitedForOnlySoLong(cadence: Cadence) async throws {
        let (market, time) = (SlowMarket(), ManualTimeSource())
        let planned = Task { try await plan(cadence, market.markets, time) }
        #expect(try await time.fellAsleep.next() == BackfillPlanner.patience)
        try await market.gate.entered.next()
        time.advance(by: BackfillPlanner.patience)
        await #expect(throws: Backfill.Refusal.marketAway) { try await planned.value }
        // Nobody goes on asking.
        #expect(market.underWay.withLock { $0.now } == 0)
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
            #expect(try refused.verdict == "422 too_many_base_rows to" && refused.json()["detail"] == "less, please")
            past.state.withLock { $0.failure = .refused(service: "marketdata", status: 422, code: "interval_not_available", detail: "no") }
            #expect(try await verdict(bars) == "422 interval_not_available id")
            past.state.withLock { $0.failure = .refused(service: "marketdata", status: 429, code: "too_many_heavy_reads", detail: "later") }
            let busy = try await order(house, bars, Self.at(0, 0), Self.at(1, 0))
            #expect(busy.verdict == "429 marketdata_busy" && busy.headers["retry-after"] != nil)
            past.state.withLock { $0.failure = .refused(service: "marketdata", status: 403, code: "caller_not_allowed", detail: "no") }
            #expect(try await verdict(spy) == "500 marketdata_fault")
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
            let kept = try await house.pool.query("SELECT count(*) FROM backfill_due_times").first
            #expect(try kept?.column(0, as: Int.self) == 0)
        }
    }

    /// The trigger finds its table whatever the path of the session is that ends a backfill.
    @Test func dueTimesAreForgottenOnAnySearchPath() async throws {
        try await withMarket { house, _ in
            let id = try await arm(house, .session(instrument: "SPY", moment: .every(seconds: 600)))
            #expect(try await order(house, id, Self.at(0, 0), Self.at(1, 0)).status == 202)
            try await house.pool.withTransaction { connection in
                try await connection.execute("SET LOCAL search_path = pg_catalog")
                try await connection.execute("UPDATE scheduler.backfills SET state = 'cancelled', ended_at = now()")
            }
            let kept = try await house.pool.query("SELECT count(*) FROM backfill_due_times").first
            #expect(try kept?.column(0, as: Int.self) == 0)
        }
    }

    // MARK: The same request again

    @Test func theSameRequestAgainAsksNobody() async throws {
        try await withMarket { house, past in
            let id = try await arm(house, .session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            func order(_ from: Timestamp, _ overlap: String? = nil) async throws -> RequestClient.Answer {
                var wanted: [String: JSONValue] = ["from": .string(from.iso8601), "to": .string(Self.at(2, 0).iso8601)]
                if let overlap { wanted["overlap"] = .string(overlap) }
                return try await house.person().with(header: "Idempotency-Key", "k").post(
                    "/api/schedules/\(id)/backfills",
                    json: JSONValue.object(wanted)
                )
            }
            let made = try await order(Self.at(0, 0))
            #expect(made.status == 202, "\(made.text)")
            let asked = past.state.withLock { $0.asked.count }
            // Whatever marketdata says by now, or whether it says anything.
            past.state.withLock { $0.failure = .away(service: "marketdata", reason: "test") }
            let again = try await order(Self.at(0, 0))
            #expect(try again.status == 200 && again.json() == made.json())
            // Another range is another request, though its due times are the same.
            #expect(try await order(Self.at(0, 1)).verdict == "422 idempotency_key_reused Idempotency-Key")
            #expect(try await order(Self.at(0, 0), "allow_all").verdict == "422 idempotency_key_reused Idempotency-Key")
            #expect(past.state.withLock { $0.asked.count } == asked)
            // Without the key it is one too many, which is said before anybody asks.
            #expect(try await self.order(house, id, Self.at(0, 0), Self.at(1, 0)).verdict == "409 backfill_under_way id")
            // One of before requests were kept is known by the due times that lie in its range.
            try await house.pool.execute("UPDATE backfills SET asked_from = NULL, asked_to = NULL")
            #expect(try await order(Self.at(0, 0)).status == 200)
            #expect(try await order(Self.at(1, 0)).verdict == "422 idempotency_key_reused Idempotency-Key")
        }
    }

    @Test func whatIsOneTooManyAsksNobody() async throws {
        try await withMarket { house, past in
            for _ in 0..<Backfill.maximumOpen {
                let id = try await arm(house, .interval(seconds: 60))
                #expect(try await order(house, id, Self.at(0, 0), Self.at(0, 1)).status == 202)
            }
            let id = try await arm(house, .session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            #expect(try await order(house, id, Self.at(0, 0), Self.at(1, 0)).verdict == "429 too_many_backfills")
            #expect(past.state.withLock { $0.asked.isEmpty })
        }
    }

    // MARK: Rare grids

    /// What a grid is not due in is not asked about.
    @Test func aRareGridIsWalkedOnce() async throws {
        try await withMarket { house, past in
            // 2016-02-29 was a Monday; before and after it there is none for four years.
            let leap = try await arm(house, .cron(expression: "0 15 29 2 *", zone: "UTC"), SchedulePolicy(inSession: "SPY"))
            let answer = try await order(house, leap, Self.at(-700, 0), Self.at(700, 0))
            #expect(try answer.json()["due_count"] == 1, "\(answer.text)")
            // For the year that begins with the day, and neither for the one before nor for the two behind.
            #expect(past.state.withLock { $0.asked.count } == 1)
        }
    }

    @Test func whatFallsIntoSessionsIsWhatIsDueInEach() throws {
        let sessions = (0..<40).map { Self.at($0, 13, 30)..<Self.at($0, $0 % 5 == 3 ? 17 : 20) }
        let market = MarketSessions(sessions, knownThrough: Self.at(40, 0))
        let grids = try [
            ScheduleGrid(.interval(seconds: 420)), ScheduleGrid(.interval(seconds: 7 * 3_600)),
            ScheduleGrid(.cron(expression: "*/20 13-20 * * 1-5", zone: "UTC")),
            ScheduleGrid(.cron(expression: "0 15 7 * *", zone: "UTC")),
        ]
        for grid in grids {
            for (after, through) in [(Self.at(0, 0), Self.at(40, 0)), (Self.at(1, 15), Self.at(3, 17)), (Self.at(8, 20), Self.at(8, 21))] {
                let all = grid.points(after: after, through: through, limit: .max).filter { due in sessions.contains { $0.contains(due) } }
                #expect(PastClock.points(of: grid, within: market, after: after, through: through, limit: .max) == all)
                #expect(PastClock.points(of: grid, within: market, after: after, through: through, limit: 5) == Array(all.prefix(5)))
            }
        }
    }

    // MARK: Replicas of before v013

    /// A replica of before the list, beside this one: it neither makes a run of a listed backfill nor ends it, and it can cancel it.
    @Test func codeThatKnowsOfNoListLeavesItAlone() async throws {
        try await withMarket { house, _ in
            let id = try await arm(house, .interval(seconds: 3_600), SchedulePolicy(inSession: "SPY"))
            let store = BackfillStore(store: house.store)
            let before = SchedulerBeforeLists(store: house.store)
            let ordered = try await order(house, id, Self.at(3, 0), Self.at(4, 15)).json()
            let backfill = try #require(ordered["backfill_id"]?.string.flatMap { BackfillID($0) })
            #expect(ordered["to"]?.string == Self.at(4, 15).iso8601)
            var found: [Timestamp] = []
            for _ in 0..<20 where try await store.backfill(backfill)?.state == .open {
                #expect(try await before.advance(backfill, now: .now()) == 0)
                _ = try await store.advance(backfill, now: .now())
                let jobs = try await house.store.claim(Fixture.claim(20))
                found += dueTimes(jobs.map(\.spec))
                for job in jobs { _ = try await house.store.finish([try Fixture.finished(job)]) }
                // It may well take note of what has ended.
                #expect(try await before.advance(backfill, now: .now()) == 0)
            }
            #expect(found == [Self.at(3, 14), Self.at(3, 15), Self.at(3, 16), Self.at(4, 14), Self.at(4, 15)])
            let ended = try #require(try await store.backfill(backfill))
            #expect(ended.state == .completed && ended.completed == 5 && ended.to == Self.at(4, 15))

            let other = try #require(
                try await order(house, id, Self.at(3, 0), Self.at(4, 15)).json()["backfill_id"]?.string.flatMap { BackfillID($0) }
            )
            try await before.cancel(other, now: .now())
            #expect(try await store.backfill(other)?.state == .cancelled)
            // The list goes with it, though it knows of none.
            let kept = try await house.pool.query("SELECT count(*) FROM backfill_due_times").first
            #expect(try kept?.column(0, as: Int.self) == 0)
        }
    }
}

/// What the scheduler of before v013 did with a backfill, in its own statements.
private struct SchedulerBeforeLists {
    let store: PostgresSchedulerStore

    func cancel(_ id: BackfillID, now: Timestamp) async throws {
        _ = try await store.onConnection { transaction in
            try await transaction.connection.execute(
                "UPDATE backfills SET state = 'cancelled', ended_at = \(now) WHERE backfill_id = \(id) AND state = 'open'"
            )
        }
    }

    /// How many runs it would have made.
    func advance(_ id: BackfillID, now: Timestamp) async throws -> Int {
        try await store.onConnection { transaction in
            let connection = transaction.connection
            guard
                let row = try await connection.query(
                    """
                    SELECT backfill_id, state, schedule_id, account_id, publication, from_at, to_at, overlap, due_count, cursor_at, completed_count, failed_count, \
                    cancelled_count, created_at, ended_at FROM backfills WHERE backfill_id = \(id) FOR NO KEY UPDATE SKIP LOCKED
                    """
                ).first
            else { return 0 }
            let publication: SignalPublished = try row.column(4, as: PostgresJSON.self).decode()
            var (state, endedAt): (Backfill.State, Timestamp?) = (try row.column(1), try row.column(14))
            let (overlap, to, cursor): (Backfill.Overlap, Timestamp, Timestamp) = (try row.column(7), try row.column(6), try row.column(9))
            var (completed, failed, cancelled): (Int, Int, Int) = (try row.column(10), try row.column(11), try row.column(12))
            let ended = try await connection.query(
                """
                UPDATE backfill_runs SET state = jobs.state FROM jobs
                WHERE backfill_id = \(id) AND backfill_runs.state = 'open' AND jobs.job_id = backfill_runs.job_id
                  AND jobs.state IN ('completed', 'failed', 'cancelled') RETURNING jobs.state
                """
            ).map { try $0.column(0, as: JobState.self) }
            completed += ended.count { $0 == .completed }
            failed += ended.count { $0 == .failed }
            cancelled += ended.count { $0 == .cancelled }
            let open: Int =
                try await connection.query("SELECT count(*) FROM backfill_runs WHERE backfill_id = \(id) AND state = 'open'").first?.column(0) ?? 0
            let room = state == .open ? max(0, overlap.openAtOnce - open) : 0
            let slice = room > 0 ? try ScheduleGrid(publication.manifest.schedule).points(after: cursor, through: to, limit: room) : []
            if state == .open, cursor >= to, open + slice.count == 0 {
                state = .completed
                endedAt = now
            }
            if !ended.isEmpty || !slice.isEmpty || state == .completed {
                try await connection.execute(
                    """
                    UPDATE backfills SET state = \(state), cursor_at = \(cursor), completed_count = \(completed),
                        failed_count = \(failed), cancelled_count = \(cancelled), ended_at = \(endedAt)
                    WHERE backfill_id = \(id)
                    """
                )
            }
            return slice.count
        }
    }
}
