import Contracts
import HTTPServing
import Postgres
import Schedules
import Synchronization
import TestSupport
import Testing

@testable import scheduler

/// What is known of markets, and what schedules that follow them do with it.
struct CalendarKeeperTests {
    /// A Monday, midnight UTC.
    static let monday = Timestamp(seconds: 1_772_409_600)
    private static func at(_ day: Int, _ hour: Int, _ minute: Int = 0) -> Timestamp {
        monday + .seconds(day * 86_400 + hour * 3_600 + minute * 60)
    }

    /// Marketdata as far as it knows calendars: open from 14:30 to 21:00, but for the days that the test changes.
    private final class Market: Sendable {
        struct State {
            var isAway = false
            var isUnknown = false
            var hours: [Int: Range<Timestamp>?] = [:]
            var asked = 0
        }
        let state = Mutex(State())

        func answer(_ from: Timestamp, _ through: Timestamp) throws -> MarketSessions? {
            try state.withLock { state in
                state.asked += 1
                if state.isAway { throw ServiceClientError.away(service: "marketdata", reason: "test") }
                if state.isUnknown { return nil }
                var sessions: [Range<Timestamp>] = []
                for day in -40...40 {
                    let usual = (((day % 7) + 7) % 7) < 5 ? at(day, 14, 30)..<at(day, 21) : nil
                    if let session = state.hours[day] ?? usual, from <= session.lowerBound, session.lowerBound <= through { sessions.append(session) }
                }
                return MarketSessions(sessions, knownThrough: through)
            }
        }
    }

    private struct Scene {
        let store: any SchedulerStore
        let time: ManualTimeSource
        let market = Market()
        let keeper: CalendarKeeper
        let maker: OccurrenceMaker

        init(_ store: any SchedulerStore, at start: Timestamp) {
            self.store = store
            time = ManualTimeSource(start)
            maker = OccurrenceMaker(store: store)
            let answers = market
            keeper = CalendarKeeper(store: store, time: time, loop: TestLoop.shared) { _, from, through in try answers.answer(from, through) }
        }

        func arm(_ cadence: Cadence, _ policy: SchedulePolicy = SchedulePolicy()) async throws -> ScheduleID {
            let now = time.now()
            let event = Fixture.publication(cadence, at: now, policy: policy)
            _ = try await store.transaction { try await ScheduleKeeper.publish(event, subjectVersion: 1, now: now, in: $0) }
            return try #require(try await store.schedule(of: event.signalID)).id
        }

        /// Goes on to a moment, looking at everything whenever something is due.
        func go(to end: Timestamp) async throws {
            while let due = try await store.earliestDueTime(), due <= end {
                if due > time.now() { time.advance(by: due - time.now()) }
                _ = try await maker.makeDue(at: time.now())
                let claimed = try await store.claim(Fixture.claim(100, class: .signal))
                if !claimed.isEmpty { _ = try await store.finish(claimed.map { try Fixture.finished($0) }) }
            }
            if end > time.now() { time.advance(by: end - time.now()) }
        }

        func outcomes(_ schedule: ScheduleID) async throws -> [Occurrence] {
            try await store.occurrences(of: schedule, before: nil, limit: 5_000).reversed()
        }

        func next(_ schedule: ScheduleID) async throws -> Timestamp? { try await store.schedule(schedule)?.nextDueAt }
    }

    @Test(arguments: StoreKind.available) func aScheduleWaitsUntilItsMarketIsKnown(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = Scene(store, at: Self.at(0, 12))
            let opening = try await scene.arm(.session(instrument: "SPY", moment: .afterOpen(seconds: 900)))
            let closing = try await scene.arm(.session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            #expect(try await scene.next(opening) == nil)
            try await scene.keeper.look()
            #expect(try await scene.next(opening) == Self.at(0, 14, 45))
            #expect(try await scene.next(closing) == Self.at(0, 20, 50))
            // One that comes later finds the market known.
            let every = try await scene.arm(.session(instrument: "SPY", moment: .every(seconds: 3_600)))
            #expect(try await scene.next(every) == Self.at(0, 14, 30))
            try await scene.keeper.look()
            #expect(scene.market.state.withLock { $0.asked } == 1)
            // A week: five days each, none on the weekend.
            try await scene.go(to: Self.at(7, 0))
            #expect(try await scene.outcomes(opening).map(\.dueAt) == (0..<5).map { Self.at($0, 14, 45) })
            #expect(try await scene.outcomes(closing).count == 5)
            #expect(try await scene.outcomes(every).count == 5 * 7)
            #expect(try await scene.outcomes(every).allSatisfy { $0.outcome == .fired })
        }
    }

    @Test(arguments: StoreKind.available) func aHalfDayMovesWhatIsDueBeforeTheClose(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = Scene(store, at: Self.at(0, 12))
            let closing = try await scene.arm(.session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            try await scene.keeper.look()
            try await scene.go(to: Self.at(1, 0))
            // Tuesday becomes a half day, Wednesday a holiday.
            scene.market.state.withLock { state in
                state.hours[1] = Self.at(1, 14, 30)..<Self.at(1, 18)
                state.hours[2] = .some(nil)
            }
            try await scene.keeper.look()
            #expect(try await scene.next(closing) == Self.at(1, 17, 50))
            try await scene.go(to: Self.at(4, 0))
            #expect(try await scene.outcomes(closing).map(\.dueAt) == [Self.at(0, 20, 50), Self.at(1, 17, 50), Self.at(3, 20, 50)])
        }
    }

    @Test(arguments: StoreKind.available) func whatHasBegunStaysAsItWas(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = Scene(store, at: Self.at(0, 12))
            let every = try await scene.arm(.session(instrument: "SPY", moment: .every(seconds: 1_800)))
            try await scene.keeper.look()
            try await scene.go(to: Self.at(0, 16))
            scene.market.state.withLock { $0.hours[0] = .some(nil) }
            try await scene.keeper.look()
            try await scene.go(to: Self.at(1, 0))
            let found = try await scene.outcomes(every)
            #expect(found.count == 13)
            let sessions = try #require(try await store.market("SPY")).sessions
            let era = ScheduleEra(
                scheduleID: every,
                cadence: .session(instrument: "SPY", moment: .every(seconds: 1_800)),
                from: Self.at(0, 12),
                to: nil
            )
            #expect(GridAudit.faults(of: era, from: Self.at(0, 12), to: Self.at(1, 0), occurrences: found, sessions: sessions).isEmpty)
            let gap = GridAudit.faults(of: era, from: Self.at(0, 12), to: Self.at(1, 0), occurrences: found.dropLast(), sessions: sessions)
            #expect(gap.count == 1)
        }
    }

    @Test(arguments: StoreKind.available) func outOfSessionIsLeftOut(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = Scene(store, at: Self.at(0, 0, 30))
            let policy = SchedulePolicy(inSession: "SPY")
            let hourly = try await scene.arm(.interval(seconds: 3_600), policy)
            try await scene.keeper.look()
            try await scene.go(to: Self.at(1, 0))
            let found = try await scene.outcomes(hourly)
            #expect(found.count == 24)
            #expect(found.filter { $0.outcome == .fired }.map(\.dueAt) == (15...20).map { Self.at(0, $0) })
            #expect(found.filter { $0.outcome == .skipped && $0.reason == "calendar" }.count == 18)
            let sessions = try #require(try await store.market("SPY")).sessions
            let era = ScheduleEra(scheduleID: hourly, cadence: .interval(seconds: 3_600), policy: policy, from: Self.at(0, 0, 30), to: nil)
            #expect(GridAudit.faults(of: era, from: Self.at(0, 0, 30), to: Self.at(1, 0), occurrences: found, sessions: sessions).isEmpty)
            // An outcome that mistakes whether the market was open is found.
            var wrong = found
            wrong[3].reason = "overlap"
            wrong[15].outcome = .skipped
            wrong[15].reason = "calendar"
            wrong[1].outcome = .fired
            #expect(GridAudit.faults(of: era, from: Self.at(0, 0, 30), to: Self.at(1, 0), occurrences: wrong, sessions: sessions).count == 2)
        }
    }

    @Test(arguments: StoreKind.available) func marketdataIsAway(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = Scene(store, at: Self.at(0, 12))
            scene.market.state.withLock { $0.isAway = true }
            let opening = try await scene.arm(.session(instrument: "SPY", moment: .afterOpen(seconds: 60)))
            let hourly = try await scene.arm(.interval(seconds: 3_600), SchedulePolicy(inSession: "SPY"))
            try await scene.keeper.look()
            #expect(try await store.market("SPY")?.fault?.contains("away") == true)
            #expect(try await scene.next(opening) == nil)
            #expect(try await scene.next(hourly) == nil)
            // It is not asked again at once.
            try await scene.keeper.look()
            #expect(scene.market.state.withLock { $0.asked } == 1)
            // Back after a few hours: nothing of what was due is lost without a word.
            scene.time.advance(by: .seconds(6 * 3_600))
            scene.market.state.withLock { $0.isAway = false }
            try await scene.keeper.look()
            try await scene.go(to: Self.at(0, 18, 30))
            #expect(try await store.market("SPY")?.fault == nil)
            #expect(try await scene.outcomes(opening).map(\.outcome) == [.late])
            let found = try await scene.outcomes(hourly)
            #expect(found.map(\.outcome) == [.skipped, .skipped, .missed, .missed, .missed, .fired] && found.count == 6)
            // Away for good: what is known lasts two weeks, then the schedule stands still and says nothing that it does not know.
            scene.market.state.withLock { $0.isAway = true }
            scene.time.advance(by: .seconds(20 * 86_400))
            try await scene.keeper.look()
            try await scene.go(to: scene.time.now())
            let cursor = try #require(try await store.schedule(opening)).cursor
            #expect(cursor == Self.at(14, 18))
            #expect(try await scene.next(opening) == nil)
        }
    }

    @Test(arguments: StoreKind.available) func anInstrumentThatNobodyKnows(kind: StoreKind) async throws {
        try await kind.with { store in
            let scene = Scene(store, at: Self.at(0, 12))
            scene.market.state.withLock { $0.isUnknown = true }
            let opening = try await scene.arm(.session(instrument: "NONE", moment: .afterOpen(seconds: 60)))
            try await scene.keeper.look()
            #expect(try await store.market("NONE")?.fault == "marketdata knows no instrument NONE")
            #expect(try await scene.next(opening) == nil)
        }
    }

    // MARK: Arming anew

    /// Which transaction wrote each row last.
    private func writers(_ store: PostgresSchedulerStore) async throws -> [String] {
        try await store.pool.query("SELECT xmin::text FROM schedules ORDER BY schedule_id").map { try $0.column(0) }
    }

    @Test("An answer that moves nothing writes no schedule; one that moves a session arms all anew", .enabled(if: TestServers.hasPostgres))
    func onlyWhatMovesIsWritten() async throws {
        try await withPostgresStore { store, _ in
            let scene = Scene(store, at: Self.at(0, 12))
            let closing = try await scene.arm(.session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            let hourly = try await scene.arm(.interval(seconds: 3_600), SchedulePolicy(inSession: "SPY"))
            try await scene.keeper.look()
            let armed = try await writers(store)
            scene.time.advance(by: .seconds(601))
            try await scene.keeper.look()
            #expect(scene.market.state.withLock { $0.asked } == 2)
            #expect(try await writers(store) == armed)
            #expect(try #require(try await store.market("SPY")).sessions.knownThrough > Self.at(14, 12))
            // Today becomes a half day: what closes earlier is written, what is due by the hour is not.
            scene.market.state.withLock { $0.hours[0] = Self.at(0, 14, 30)..<Self.at(0, 18) }
            scene.time.advance(by: .seconds(601))
            try await scene.keeper.look()
            #expect(try await scene.next(closing) == Self.at(0, 17, 50))
            #expect(try await scene.next(hourly) == Self.at(0, 13))
            #expect(zip(try await writers(store), armed).count { $0 != $1 } == 1)
            #expect(try await store.pool.query("SELECT FROM markets WHERE rearming_since IS NULL").count == 1)
        }
    }

    @Test("What a replica began to arm anew and did not end is done with the next answer", .enabled(if: TestServers.hasPostgres))
    func whatIsBrokenOffIsDoneAgain() async throws {
        try await withPostgresStore { store, _ in
            let scene = Scene(store, at: Self.at(0, 12))
            let closing = try await scene.arm(.session(instrument: "SPY", moment: .beforeClose(seconds: 600)))
            try await scene.keeper.look()
            try await store.pool.execute("UPDATE markets SET rearming_since = refreshed_at")
            try await store.pool.execute("UPDATE schedules SET next_due_at = \(Self.at(0, 17, 50))")
            scene.time.advance(by: .seconds(601))
            try await scene.keeper.look()
            #expect(try await scene.next(closing) == Self.at(0, 20, 50))
            #expect(try await store.pool.query("SELECT FROM markets WHERE rearming_since IS NULL").count == 1)
        }
    }

    @Test("What is published while its market becomes known is armed by what is known then", .enabled(if: TestServers.hasPostgres))
    func whatIsPublishedMeanwhileIsArmed() async throws {
        try await withPostgresStore { store, _ in
            let scene = Scene(store, at: Self.at(0, 12))
            // Somebody follows the market already, so that it is asked about.
            _ = try await scene.arm(.session(instrument: "SPY", moment: .afterOpen(seconds: 900)))
            let now = scene.time.now()
            let event = Fixture.publication(.session(instrument: "SPY", moment: .beforeClose(seconds: 600)), at: now)
            let isPublished = Mutex(false)
            let hasLooked = Mutex(false)
            async let publication: Void = store.transaction { transaction in
                _ = try await ScheduleKeeper.publish(event, subjectVersion: 1, now: now, in: transaction)
                isPublished.withLock { $0 = true }
                // Not committed before the look is over, or waits for this.
                try await eventually {
                    if hasLooked.withLock({ $0 }) { return true }
                    return try await store.pool.query(
                        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    ).count == 1
                }
            }
            try await eventually { isPublished.withLock { $0 } }
            try await scene.keeper.look()
            hasLooked.withLock { $0 = true }
            try await publication
            #expect(try await store.schedule(of: event.signalID)?.nextDueAt == Self.at(0, 20, 50))
        }
    }
}
