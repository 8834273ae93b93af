import Contracts
import Schedules
import Testing

@testable import scheduler

/// What a policy makes of due times, without a store.
struct OverlapPlanTests {
    private let start = Timestamp(seconds: 1_760_000_400)
    private func at(_ minutes: [Int]) -> [Timestamp] { minutes.map { start + .seconds($0 * 60) } }

    /// What a rule decides for the due times of minutes 1 to `count`, in words: `3 now`, `2 after`, `1 overlap`.
    private func words(_ rule: OverlapRule, _ open: OpenRuns = OpenRuns(), count: Int = 3) -> [String] {
        OverlapPlan.decide(at(Array(1...count)), rule, open).map { decision in
            let minute = (decision.dueAt - start).components.seconds / 60
            let fate =
                switch decision.start {
                case .now: "now"
                case .afterOthers: "after"
                case .cancellingOthers: "cancelling"
                case .endingOthers: "ending"
                case nil: decision.reason ?? "?"
                }
            return "\(minute) \(fate)"
        }
    }

    @Test func withNothingOpenThePresentRuns() {
        #expect(words(.skip) == ["3 now", "2 overlap", "1 overlap"])
        #expect(words(.bufferOne) == ["3 now", "2 after", "1 overlap"])
        #expect(words(.bufferAll) == ["3 now", "1 after", "2 after"])
        #expect(words(.cancelOther) == ["3 now", "2 overlap", "1 overlap"])
        #expect(words(.terminateOther) == ["3 now", "2 overlap", "1 overlap"])
        #expect(words(.allowAll) == ["3 now", "2 now", "1 now"])
        for rule in OverlapRule.allCases { #expect(OverlapPlan.decide([], rule, OpenRuns()).isEmpty) }
    }

    @Test func aRunThatAWorkerHas() {
        let open = OpenRuns(running: 1)
        #expect(words(.skip, open, count: 1) == ["1 overlap"])
        #expect(words(.bufferOne, open, count: 2) == ["2 after", "1 overlap"])
        #expect(words(.bufferAll, open, count: 2) == ["1 after", "2 after"])
        #expect(words(.cancelOther, open, count: 2) == ["2 cancelling", "1 overlap"])
        #expect(words(.terminateOther, open, count: 1) == ["1 ending"])
        #expect(words(.allowAll, open, count: 1) == ["1 now"])
    }

    @Test func aRunThatWaitsAlready() {
        let open = OpenRuns(waiting: 1, running: 1)
        #expect(words(.bufferOne, open, count: 1) == ["1 overlap"])
        #expect(words(.bufferAll, open, count: 1) == ["1 after"])
        #expect(
            words(.bufferAll, OpenRuns(waiting: OverlapPlan.maximumWaiting, running: 1), count: 2) == ["1 buffer_full", "2 buffer_full"]
        )
        #expect(words(.bufferAll, OpenRuns(waiting: OverlapPlan.maximumWaiting - 1, running: 1), count: 2) == ["2 after", "1 buffer_full"])
        // Nobody runs it yet: it goes on the spot, and nothing has to be waited for.
        #expect(words(.cancelOther, OpenRuns(pending: 1), count: 1) == ["1 ending"])
    }

    // MARK: With a grid

    private func plan(
        _ cadence: Cadence = .interval(seconds: 60),
        _ policy: SchedulePolicy,
        cursor: Timestamp? = nil,
        after seconds: Int,
        open: OpenRuns = OpenRuns(),
        sessions: MarketSessions = .unknown
    ) throws -> TickPlan {
        let due = DueTimes(try ScheduleGrid(cadence), policy, sessions: sessions)
        return TickPlan(
            TickPlan.Look(due: due, policy: policy, schedule: "s", cursor: cursor ?? start, now: start + .seconds(seconds), open: open)
        )
    }

    @Test func aRunThatWaitsIsLateBecauseItCannotBeClaimedWhenDue() throws {
        let entries = try plan(.interval(seconds: 60), SchedulePolicy(overlap: .bufferOne), after: 60, open: OpenRuns(running: 1)).entries
        #expect(entries.map(\.outcome) == [.late] && entries.first?.reason == "buffered")
        let cancelling = try plan(.interval(seconds: 60), SchedulePolicy(overlap: .cancelOther), after: 60, open: OpenRuns(running: 1)).entries
        #expect(cancelling.map(\.outcome) == [.late] && cancelling.first?.reason == "buffered")
        let ending = try plan(.interval(seconds: 60), SchedulePolicy(overlap: .terminateOther), after: 60, open: OpenRuns(running: 1)).entries
        #expect(ending.map(\.outcome) == [.fired])
    }

    @Test func aWindowOfOnesOwnIsCaughtUpWhole() throws {
        let policy = SchedulePolicy(overlap: .allowAll, catchUpSeconds: 600)
        let entries = try plan(.interval(seconds: 60), policy, after: 3_600).entries
        let runs = entries.filter { $0.outcome == .late || $0.outcome == .fired }
        #expect(runs.count == 11)
        #expect(entries.first?.dueAt == start + .seconds(3_600) && entries.first?.outcome == .fired)
        #expect(entries.filter { $0.outcome == .missed }.count == 49 && entries.count == 60)
        // It takes the place of the usual window: what is older is lost even if nothing has been due since.
        let hourly = try plan(.interval(seconds: 3_600), SchedulePolicy(catchUpSeconds: 60), cursor: start - .seconds(3_600), after: 1_800).entries
        #expect(hourly.map(\.outcome) == [.missed])
    }

    @Test func noMoreThanAThousandAreMadeUpFor() throws {
        let policy = SchedulePolicy(overlap: .allowAll, catchUpSeconds: 86_400)
        let entries = try plan(.interval(seconds: 1), policy, after: 40_000).entries
        let runs = entries.filter { $0.outcome == .late || $0.outcome == .fired }
        #expect(runs.count == 1_000)
        #expect(entries.first?.dueAt == start + .seconds(40_000))
        #expect(entries.last?.outcome == .missed && entries.last?.count == 39_000)
        #expect(entries.map(\.count).reduce(0, +) == 40_000)
    }

    @Test func jitterMovesTheRunAndNotTheDueTime() throws {
        let policy = SchedulePolicy(jitterSeconds: 40)
        let grid = try ScheduleGrid(.interval(seconds: 60))
        var moved: Set<Duration> = []
        var cursor = start
        for minute in 1...60 {
            let now = start + .seconds(minute * 60)
            let look = TickPlan.Look(due: DueTimes(grid, policy), policy: policy, schedule: "s", cursor: cursor, now: now)
            let (plan, again) = (TickPlan(look), TickPlan(look))
            let entry = try #require(plan.entries.first)
            #expect(plan == again && entry.dueAt == now && entry.outcome == .fired)
            #expect(entry.jitter >= .zero && entry.jitter <= .seconds(40))
            moved.insert(entry.jitter)
            cursor = plan.cursor
        }
        #expect(moved.count > 30)
        // Seen late, but not later than where it was moved to: as good as on time.
        let late = TickPlan(TickPlan.Look(due: DueTimes(grid, policy), policy: policy, schedule: "s", cursor: start, now: start + .seconds(105)))
        let jitter = try #require(late.entries.first?.jitter)
        #expect(late.entries.first?.outcome == (jitter >= .seconds(44) ? .fired : .late))
    }

    @Test func nothingIsDueOutsideOfStartAndEnd() throws {
        let policy = SchedulePolicy(overlap: .allowAll, catchUpSeconds: 3_600, startAt: start + .seconds(120), endAt: start + .seconds(300))
        let plan = try plan(.interval(seconds: 60), policy, after: 3_000)
        #expect(plan.entries.map(\.dueAt).sorted() == at([2, 3, 4, 5]))
        #expect(plan.nextDueAt == nil)
        let early = try self.plan(.interval(seconds: 60), policy, after: 30)
        #expect(early.entries.isEmpty && early.nextDueAt == start + .seconds(120))
    }

    @Test func whatIsDueWhileAMarketIsClosedIsLeftOut() throws {
        let policy = SchedulePolicy(overlap: .allowAll, catchUpSeconds: 600, inSession: "SPY")
        // Open from minute 3 to minute 6, and from minute 100 to minute 5,000.
        let open = [start + .seconds(180)..<start + .seconds(360), start + .seconds(6_000)..<start + .seconds(300_000)]
        let sessions = MarketSessions(open, knownThrough: start + .seconds(200_000))
        let first = try plan(.interval(seconds: 60), policy, after: 480, sessions: sessions).entries
        #expect(first.filter { $0.outcome == .skipped && $0.reason == "calendar" }.map(\.dueAt).sorted() == at([1, 2, 6, 7, 8]))
        #expect(first.filter { $0.outcome != .skipped }.map(\.dueAt).sorted() == at([3, 4, 5]))
        // Lost ones as well: closed is closed, whether or not somebody looked.
        let day = try plan(.interval(seconds: 1), policy, after: 100_000, sessions: sessions).entries
        let closed = day.filter { $0.reason == "calendar" }.map(\.count).reduce(0, +)
        let missed = day.filter { $0.outcome == .missed }.map(\.count).reduce(0, +)
        let total = day.map(\.count).reduce(0, +)
        // Of the 94,001 seconds of the second session the last 601 can still be run.
        #expect(total == 100_000 && closed == 5_819 && missed == 93_580)
        let night = try #require(day.first { $0.count == 5_640 })
        #expect(night.reason == "calendar" && night.dueAt == start + .seconds(360))
    }

    @Test func whatIsNotKnownOfAMarketIsNotDecided() throws {
        let policy = SchedulePolicy(inSession: "SPY")
        let unknown = try plan(.interval(seconds: 60), policy, after: 600)
        #expect(unknown.entries.isEmpty && unknown.cursor == start && unknown.nextDueAt == nil)
        let known = MarketSessions([start..<start + .seconds(6_000)], knownThrough: start + .seconds(130))
        let partly = try plan(.interval(seconds: 60), policy, after: 600, sessions: known)
        #expect(partly.entries.map(\.dueAt).max() == start + .seconds(120) && partly.cursor == start + .seconds(130) && partly.nextDueAt == nil)
    }

    @Test func theSessionsOfAMarketAreAGridOfTheirOwn() throws {
        let cadence = Cadence.session(instrument: "SPY", moment: .beforeClose(seconds: 60))
        // A whole session, and a half day.
        let open = [start..<start + .seconds(600), start + .seconds(1_000)..<start + .seconds(1_300)]
        let plan = try plan(
            cadence,
            SchedulePolicy(overlap: .allowAll, catchUpSeconds: 3_600),
            after: 2_000,
            sessions: MarketSessions(open, knownThrough: start + .seconds(9_000))
        )
        #expect(plan.entries.map(\.dueAt).sorted() == [start + .seconds(540), start + .seconds(1_240)])
        #expect(try self.plan(cadence, SchedulePolicy(), after: 2_000).entries.isEmpty)
    }
}
