import Contracts
import Schedules
import Testing

@testable import scheduler

struct TickPlanTests {
    private let start = Timestamp(seconds: 1_760_000_400)  // a whole multiple of 300 s, not of an hour
    private func hourly() throws -> ScheduleGrid { try ScheduleGrid(.interval(seconds: 3_600)) }
    private func every(_ seconds: Int) throws -> ScheduleGrid { try ScheduleGrid(.interval(seconds: seconds)) }

    @Test func nothingIsDueBeforeItsTime() throws {
        let grid = try hourly()
        let due = try #require(grid.next(after: start))
        let plan = TickPlan(grid: grid, cursor: start, now: due - .milliseconds(1), hasOpenRun: false)
        #expect(plan.entries.isEmpty && plan.nextDueAt == due)
    }

    @Test func aDayOfAnHourlyScheduleHasTwentyFourOutcomes() throws {
        let grid = try hourly()
        var cursor = start
        var entries: [TickPlan.Entry] = []
        for minute in 1...(24 * 60) {
            let plan = TickPlan(grid: grid, cursor: cursor, now: start + .seconds(minute * 60) + .milliseconds(40), hasOpenRun: false)
            entries += plan.entries
            cursor = plan.cursor
        }
        #expect(entries.count == 24)
        #expect(entries.allSatisfy { $0.outcome == .fired && $0.count == 1 })
        #expect(Set(entries.map(\.dueAt)).count == 24)
    }

    @Test func lateWithinTheWindowAndMissedBeyondIt() throws {
        let grid = try hourly()
        let due = try #require(grid.next(after: start))
        #expect(TickPlan(grid: grid, cursor: start, now: due + .seconds(1), hasOpenRun: false).entries.map(\.outcome) == [.fired])
        #expect(TickPlan(grid: grid, cursor: start, now: due + .seconds(2), hasOpenRun: false).entries.map(\.outcome) == [.late])
        #expect(TickPlan(grid: grid, cursor: start, now: due + .seconds(2), hasOpenRun: false, isCrowded: true).entries.map(\.outcome) == [.fired])
        // Three hours down: the latest can still be caught up, the two before it are lost.
        let plan = TickPlan(grid: grid, cursor: start, now: due + .seconds(3 * 3_600 - 60), hasOpenRun: false)
        #expect(plan.entries.map(\.outcome) == [.late, .missed, .missed])
        #expect(plan.entries[0].dueAt == due + .seconds(2 * 3_600))
        #expect(plan.entries[1].reason == "downtime")
    }

    @Test func theWindowIsTenSecondsAtLeast() throws {
        let grid = try every(1)
        let now = start + .seconds(60)
        let plan = TickPlan(grid: grid, cursor: start, now: now, hasOpenRun: false)
        #expect(plan.entries.first?.dueAt == now && plan.entries.first?.outcome == .fired)
        #expect(plan.entries.filter { $0.outcome == .skipped }.count == 10)
        #expect(plan.entries.filter { $0.outcome == .missed }.count == 49)
        #expect(plan.entries.count == 60)
    }

    @Test func manyLostTimesShareOneRow() throws {
        let grid = try every(1)
        let now = start + .seconds(86_400)
        let plan = TickPlan(grid: grid, cursor: start, now: now, hasOpenRun: false)
        let range = try #require(plan.entries.last)
        #expect(range.outcome == .missed && range.count == 86_400 - 11 && range.dueAt == start + .seconds(1))
        #expect(range.rangeTo == now - .seconds(11))
        #expect(plan.entries.reduce(0) { $0 + $1.count } == 86_400)
    }

    @Test func aRunThatHasNotEndedSkipsTheNext() throws {
        let grid = try hourly()
        let due = try #require(grid.next(after: start))
        let plan = TickPlan(grid: grid, cursor: start, now: due, hasOpenRun: true)
        #expect(plan.entries == [TickPlan.Entry(dueAt: due, outcome: .skipped, reason: "overlap")])
    }

    @Test func aClockThatGoesBackFiresNothingTwice() throws {
        let grid = try hourly()
        let due = try #require(grid.next(after: start))
        let first = TickPlan(grid: grid, cursor: start, now: due, hasOpenRun: false)
        let second = TickPlan(grid: grid, cursor: first.cursor, now: due - .seconds(5), hasOpenRun: false)
        #expect(second.entries.isEmpty && second.cursor == first.cursor && second.nextDueAt == due + .seconds(3_600))
    }

    @Test func barsThatClose() {
        func plan(age: Duration, hasBar: Bool = true, replay: Bool = false, open: Bool = false) -> BarClosePlan {
            BarClosePlan(
                closeAt: start,
                knownAt: start + .milliseconds(250),
                intervalSeconds: 15,
                hasBar: hasBar,
                isReplay: replay,
                now: start + .milliseconds(250) + age,
                open: open ? OpenRuns(running: 1) : OpenRuns()
            )
        }
        #expect(plan(age: .milliseconds(5)).outcome == .fired && plan(age: .milliseconds(5)).dueAt == start)
        #expect(plan(age: .seconds(5)).outcome == .late && plan(age: .seconds(16)).outcome == .missed)
        #expect(plan(age: .zero, hasBar: false).reason == "no_bar" && plan(age: .zero, open: true).reason == "overlap")
        #expect(plan(age: .zero, replay: true).dueAt == start + .milliseconds(250))
        #expect(plan(age: .zero).asOf == start + .milliseconds(250))
    }

    @Test func retriesAreOnlyForOurFaults() {
        #expect(RetryPolicy.verdict(.exception, attempt: 1, maximumAttempts: 3) == .fail)
        #expect(RetryPolicy.verdict(.infra, attempt: 3, maximumAttempts: 3) == .fail)
        #expect(RetryPolicy.verdict(.lostWorker, attempt: 1, maximumAttempts: 3, random: 1) == .retry(after: .seconds(5)))
        #expect(RetryPolicy.verdict(.queueTimeout, attempt: 2, maximumAttempts: 3, random: 1) == .retry(after: .seconds(15)))
        #expect(RetryPolicy.pause(afterAttempt: 50) == .seconds(3_600))
    }
}

extension TickPlan {
    /// A look at a schedule without a policy.
    fileprivate init(grid: ScheduleGrid, cursor: Timestamp, now: Timestamp, hasOpenRun: Bool, isCrowded: Bool = false) {
        self.init(
            Look(due: DueTimes(grid), cursor: cursor, now: now, open: OpenRuns(running: hasOpenRun ? 1 : 0), isCrowded: isCrowded)
        )
    }
}
