import Contracts
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// A close of which nobody hears leaves a due time that was missed, and not silence.
struct CloseDeadlineTests {
    private static let start = Fixture.start

    @Test func closesOfStretches() {
        func at(_ seconds: Int) -> Timestamp { Self.start + .seconds(seconds) }
        let bars = ExpectedBars(
            liveSince: at(0),
            stretches: [
                .init(startsAt: at(-60), endsAt: at(60), barMicroseconds: 15_000_000),
                // The last one is cut at a close.
                .init(startsAt: at(1_000), endsAt: at(1_040), barMicroseconds: 15_000_000),
            ]
        )
        #expect(bars.closes(after: at(-30), through: at(2_000), limit: 100) == [15, 30, 45, 60, 1_015, 1_030, 1_040].map(at))
        #expect(bars.closes(after: at(30), through: at(1_030), limit: 100) == [45, 60, 1_015, 1_030].map(at))
        #expect(bars.closes(after: at(0), through: at(2_000), limit: 2) == [at(15), at(30)])
        #expect(bars.closes(after: at(2_000), through: at(3_000), limit: 2).isEmpty)
        // The bar in which the feed began is not whole.
        let late = ExpectedBars(liveSince: at(20), stretches: bars.stretches)
        #expect(late.closes(after: at(0), through: at(60), limit: 9) == [at(45), at(60)])
        #expect(ExpectedBars(liveSince: nil, stretches: bars.stretches).closes(after: at(0), through: at(60), limit: 9).isEmpty)
    }

    @Test func whatWasExpectedBeforeStaysExpected() {
        func at(_ seconds: Int) -> Timestamp { Self.start + .seconds(seconds) }
        let stretch = ExpectedBars.Stretch(startsAt: at(0), endsAt: at(300), barMicroseconds: 15_000_000)
        func closes(_ bars: ExpectedBars) -> [Int] {
            bars.closes(after: at(0), through: at(120), limit: 99).map { Int(($0 - Self.start).components.seconds) }
        }
        let live = ExpectedBars(liveSince: at(0), stretches: [stretch])
        // It stopped at some time after it was last confirmed.
        let stopped = ExpectedBars(liveSince: nil, silence: "not_live", stretches: []).succeeding(live, confirmedAt: at(50), horizon: at(-60))
        #expect(closes(stopped) == [15, 30, 45])
        // Then it is live again.
        let again = ExpectedBars(liveSince: at(80), stretches: [stretch]).succeeding(stopped, confirmedAt: at(70), horizon: at(-60))
        #expect(closes(again) == [15, 30, 45, 105, 120])
        #expect(closes(again.succeeding(again, confirmedAt: at(90), horizon: at(60))) == [105, 120])
        // A subscription that was changed.
        let changed = ExpectedBars(liveSince: at(60), stretches: [stretch]).succeeding(live, confirmedAt: at(40), horizon: at(-60))
        #expect(closes(changed) == [15, 30, 75, 90, 105, 120])
        #expect(closes(live.succeeding(live, confirmedAt: at(50), horizon: at(-60))) == closes(live))
    }

    /// A schedule that waits for bars of 15 s, and marketdata that says when they close.
    private struct Scene: Sendable {
        let store: PostgresSchedulerStore
        let time = ManualTimeSource(start)
        let deadlines: CloseDeadlines
        let event: SignalPublished
        let schedule: Schedule
        let asked = Asked()

        final class Asked: Sendable {
            let state = Mutex((count: 0, isAway: false, answer: Answer.live(since: start)))
        }

        enum Answer: Sendable {
            case live(since: Timestamp)
            /// No bars, with marketdata's word for it or without.
            case nothing(String?)
            case notFound
        }

        init(_ store: PostgresSchedulerStore, policy: SchedulePolicy = SchedulePolicy(), answer: Answer = .live(since: start - .seconds(3_600)))
            async throws
        {
            self.store = store
            let calls = asked
            calls.state.withLock { $0.answer = answer }
            deadlines = CloseDeadlines(
                store: CloseDeadlineStore(pool: store.pool, outbox: store.outbox),
                time: time,
                loop: TestLoop.shared
            ) { _, from, through in
                let answer = try calls.state.withLock { state in
                    state.count += 1
                    if state.isAway { throw ServiceClientError.away(service: "marketdata", reason: "test") }
                    return state.answer
                }
                let origin = from.floored(to: .seconds(15))
                switch answer {
                case .live(let since):
                    return ExpectedBars(liveSince: since, stretches: [.init(startsAt: origin, endsAt: through, barMicroseconds: 15_000_000)])
                case .nothing(let word): return ExpectedBars(liveSince: nil, silence: word, stretches: [])
                case .notFound: return nil
                }
            }
            event = Fixture.publication(.barClose(instrument: "BTCUSD", interval: "15s"), policy: policy)
            let published = event
            _ = try await store.transaction { transaction in
                _ = try await ScheduleKeeper.publish(published, subjectVersion: 1, now: start, in: transaction)
            }
            schedule = try #require(try await store.schedule(of: event.signalID))
            let id = schedule.id
            // Marketdata has heard of it.
            try await store.transaction { transaction in
                try await transaction.begin(
                    ScheduleEra(scheduleID: id, cadence: .barClose(instrument: "BTCUSD", interval: "15s"), policy: policy, from: start, to: nil)
                )
            }
        }

        func close(_ index: Int, at now: Timestamp? = nil) async throws -> Int {
            let end = start + .seconds(index * 15)
            let event = try Fixture.closed(["BTCUSD"], at: end)
            return try await store.transaction { try await BarCloseKeeper.apply(event, now: now ?? end, in: $0) }
        }

        func answers(_ answer: Answer) { asked.state.withLock { $0.answer = answer } }

        /// Looks after so many seconds since the start.
        func look(at seconds: Int) async throws {
            time.advance(by: start + .seconds(seconds) - time.now())
            try await deadlines.look()
        }

        /// Due times, in seconds from the start.
        func due() async throws -> [Int] { try await found().map { Int(($0.dueAt - start).components.seconds) } }

        func found() async throws -> [Occurrence] { try await store.occurrences(of: schedule.id, before: nil, limit: 1_000).reversed() }
    }

    @Test("A close that is not announced is missed after its window; one that comes after all makes no run", .enabled(if: TestServers.hasPostgres))
    func unheard() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            try await scene.deadlines.look()
            #expect(try await scene.close(1) == 1)
            // The second close is not heard of. Up to its window and the grace nothing is decided.
            scene.time.advance(by: .seconds(30 + 15 + 4))
            try await scene.deadlines.look()
            #expect(try await scene.found().map(\.outcome) == [.fired])
            scene.time.advance(by: .seconds(1))
            try await scene.deadlines.look()
            let found = try await scene.found()
            #expect(found.map(\.outcome) == [.fired, .missed] && found[1].reason == "no_close_heard")
            #expect(found[1].dueAt == Self.start + .seconds(30) && found[1].barEnd == found[1].dueAt && found[1].jobID == nil)
            let said = try await store.pool.query("SELECT count(*) FROM outbox WHERE type = 'scheduler.occurrence.settled.v1'").first?.column(
                0,
                as: Int.self
            )
            #expect(said == 2)
            // It comes after all, by whatever clock.
            #expect(try await scene.close(2, at: Self.start + .seconds(30)) == 0)
            #expect(try await scene.found() == found)
            #expect(scene.asked.state.withLock { $0.count } == 1)
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func anHourOfSilenceHasAnOutcomeForEachBar() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, policy: SchedulePolicy(endAt: Self.start + .seconds(1_800)))
            try await scene.deadlines.look()
            scene.time.advance(by: .seconds(3_600))
            // Two replicas, one after the other and at once.
            try await withThrowingTaskGroup { group in
                for _ in 0..<3 { group.addTask { try await scene.deadlines.look() } }
                try await group.waitForAll()
            }
            try await scene.deadlines.look()
            let found = try await scene.found()
            #expect(found.count == 120 && found.allSatisfy { $0.outcome == .missed && $0.reason == "no_close_heard" })
            #expect(Set(found.map(\.dueAt)).count == 120 && found.last?.dueAt == Self.start + .seconds(1_800))
        }
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func aWindowOfOnesOwnIsWaitedFor() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, policy: SchedulePolicy(catchUpSeconds: 600))
            try await scene.deadlines.look()
            scene.time.advance(by: .seconds(600))
            try await scene.deadlines.look()
            #expect(try await scene.found().isEmpty)
            scene.time.advance(by: .seconds(20))
            try await scene.deadlines.look()
            #expect(try await scene.found().map(\.dueAt) == [Self.start + .seconds(15)])
        }
    }

    @Test("What no feed tells of is not waited for", .enabled(if: TestServers.hasPostgres)) func withoutAFeed() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, answer: .nothing("not_live"))
            try await scene.deadlines.look()
            scene.time.advance(by: .seconds(3_600))
            try await scene.deadlines.look()
            #expect(try await scene.found().isEmpty)
        }
    }

    @Test("With marketdata away what it said before goes on counting", .enabled(if: TestServers.hasPostgres)) func away() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            try await scene.deadlines.look()
            scene.asked.state.withLock { $0.isAway = true }
            scene.time.advance(by: .seconds(900))
            try await scene.deadlines.look()
            try await scene.deadlines.look()
            #expect(try await scene.found().count == (900 - 20) / 15)
            #expect(scene.asked.state.withLock { $0.count } == 2)
        }
    }

    @Test("What nobody waits for any more is not written at every look", .enabled(if: TestServers.hasPostgres)) func idle() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            func written() async throws -> (writer: String, settledTo: Timestamp) {
                let row = try #require(try await store.pool.query("SELECT xmin::text, settled_to FROM close_deadlines").first)
                return (try row.column(0), try row.column(1))
            }
            try await scene.deadlines.look()
            let first = try await written()
            #expect(first.settledTo == Self.start - .seconds(20))
            scene.time.advance(by: .seconds(4))
            try await scene.deadlines.look()
            #expect(try await written() == first)
            // A close that was heard: it is written that it needs nobody any more.
            #expect(try await scene.close(1) == 1)
            scene.time.advance(by: .seconds(32))
            try await scene.deadlines.look()
            #expect(try await written().settledTo == Self.start + .seconds(16))
            #expect(try await scene.found().map(\.outcome) == [.fired])
        }
    }

    @Test("Where no bar closes, nothing is written until marketdata is asked again", .enabled(if: TestServers.hasPostgres))
    func silence() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, answer: .nothing("not_live"))
            try await scene.deadlines.look()
            var writers: Set<String> = []
            for _ in 0..<24 {
                scene.time.advance(by: .seconds(5))
                try await scene.deadlines.look()
                writers.insert(try #require(try await store.pool.query("SELECT xmin::text FROM close_deadlines").first).column(0))
            }
            #expect(writers.count == 1)
            scene.time.advance(by: .seconds(600))
            try await scene.deadlines.look()
            writers.insert(try #require(try await store.pool.query("SELECT xmin::text FROM close_deadlines").first).column(0))
            #expect(writers.count == 2)
        }
    }

    @Test("A close that comes while it is given up waits for nobody in a circle", .enabled(if: TestServers.hasPostgres)) func order() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            try await scene.deadlines.look()
            scene.time.advance(by: .seconds(15 + 20))
            let end = Self.start + .seconds(15)
            let event = try Fixture.closed(["BTCUSD"], at: end)
            let tries = Mutex(0)
            let hasLooked = Mutex(false)
            async let heard: Int = store.transaction { transaction in
                // As the handler of closes does, with a pause behind its lock.
                _ = try await transaction.lockedSchedules(waitingFor: [WatchedBar(instrument: "BTCUSD", intervalSeconds: 15)])
                tries.withLock { $0 += 1 }
                try await eventually {
                    if hasLooked.withLock({ $0 }) { return true }
                    return try await store.pool.query(
                        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    ).count == 1
                }
                return try await BarCloseKeeper.apply(event, now: end, in: transaction)
            }
            try await eventually { tries.withLock { $0 > 0 } }
            try await scene.deadlines.look()
            hasLooked.withLock { $0 = true }
            #expect(try await heard == 1)
            #expect(tries.withLock { $0 } == 1)
            #expect(try await scene.found().map(\.outcome) == [.fired])
        }
    }

    @Test(
        "An answer that says nothing of what was live changes nothing",
        .enabled(if: TestServers.hasPostgres),
        arguments: [Scene.Answer.nothing(nil), .notFound]
    )
    private func withoutAWord(_ answer: Scene.Answer) async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            try await scene.deadlines.look()
            scene.answers(answer)
            for second in [900, 3_600] {
                try await scene.look(at: second)
                #expect(try await scene.found().count == (second - 20) / 15)
            }
            // It is found again.
            scene.answers(.live(since: Self.start - .seconds(3_600)))
            try await scene.look(at: 4_500)
            #expect(try await scene.found().count == (4_500 - 20) / 15)
        }
    }

    @Test("What stops leaves the closes of before it stopped", .enabled(if: TestServers.hasPostgres)) func stopped() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, policy: SchedulePolicy(catchUpSeconds: 600))
            try await scene.deadlines.look()
            try await scene.look(at: 620)
            #expect(try await scene.due() == [15])
            scene.answers(.nothing("not_live"))
            // Confirmed at 620 for the last time; nobody can say when after that it stopped.
            try await scene.look(at: 1_300)
            try await scene.look(at: 7_200)
            #expect(try await scene.due() == Array(stride(from: 15, through: 615, by: 15)))
            // It is live once more, of which is heard when it is asked again.
            scene.answers(.live(since: Self.start + .seconds(7_300)))
            try await scene.look(at: 7_700)
            try await scene.look(at: 7_950)
            #expect(try await scene.due().suffix(3) == [615, 7_320, 7_335])
        }
    }

    @Test("That nothing is live is no knowledge of days ahead", .enabled(if: TestServers.hasPostgres)) func liveLater() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, answer: .nothing("not_live"))
            try await scene.deadlines.look()
            scene.answers(.live(since: Self.start + .seconds(60)))
            // Nobody has asked again so far.
            try await scene.look(at: 590)
            #expect(try await scene.found().isEmpty)
            try await scene.look(at: 620)
            #expect(try await scene.due() == Array(stride(from: 75, through: 600, by: 15)))
        }
    }

    @Test("Marketdata that is away from the start is waited for", .enabled(if: TestServers.hasPostgres), arguments: [true, false])
    func awayAtFirst(isAway: Bool) async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store, answer: .nothing(nil))
            scene.asked.state.withLock { $0.isAway = isAway }
            try await scene.deadlines.look()
            try await scene.look(at: 300)
            #expect(try await scene.found().isEmpty)
            scene.asked.state.withLock { $0.isAway = false }
            scene.answers(.live(since: Self.start))
            try await scene.look(at: 320)
            #expect(try await scene.due() == Array(stride(from: 15, through: 300, by: 15)))
        }
    }

    @Test("In a pause nobody waits", .enabled(if: TestServers.hasPostgres)) func paused() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            try await scene.deadlines.look()
            _ = try await store.transaction { transaction in
                let schedule = try #require(try await transaction.lockedSchedule(scene.schedule.id))
                return try await PauseKeeper.pause(schedule, by: .owner, reason: nil, now: Self.start + .seconds(20), in: transaction)
            }
            scene.time.advance(by: .seconds(60))
            try await scene.deadlines.look()
            let found = try await scene.found()
            #expect(found.map(\.dueAt) == [Self.start + .seconds(15)] && found.map(\.outcome) == [.missed])
        }
    }

    @Test("A signal taken down waits for nothing", .enabled(if: TestServers.hasPostgres)) func takenDown() async throws {
        try await withPostgresStore { store, _ in
            let scene = try await Scene(store)
            try await scene.deadlines.look()
            let end = SignalUnpublished(signalID: scene.event.signalID, accountID: scene.event.accountID, reason: "test")
            let now = Self.start + .seconds(1)
            _ = try await store.transaction { try await ScheduleKeeper.unpublish(end, subjectVersion: 2, at: now, now: now, in: $0) }
            scene.time.advance(by: .seconds(3_600))
            try await scene.deadlines.look()
            #expect(try await scene.found().isEmpty)
        }
    }
}
