import Contracts
import Testing

@testable import scheduler

@Suite("Occurrences from the grid")
struct OccurrencePlanTests {
    private let midnight = Timestamp(iso8601: "2026-01-01T00:00:00Z")!

    @Test("24 hours of an hourly schedule are 24 outcomes, however often one looks", arguments: [1, 7, 60, 3_599, 3_600, 86_400])
    func hourly(lookEverySeconds: Int) {
        var cursor = midnight
        var outcomes: [Timestamp: OccurrenceOutcome] = [:]
        var now = midnight
        let end = midnight + .seconds(86_400)
        while now < end {
            now = min(end, now + .seconds(lookEverySeconds))
            let plan = OccurrencePlan(grid: .interval(seconds: 3_600), cursor: cursor, now: now, catchUpWindow: nil, paused: false)
            for point in plan.points {
                #expect(outcomes.updateValue(point.outcome, forKey: point.dueAt) == nil, "due twice")
            }
            cursor = plan.cursor
        }
        #expect(outcomes.count == 24)
    }

    @Test("after downtime the present fires first, the window decides over the rest")
    func downtime() {
        let now = midnight + .seconds(6 * 3_600 + 30)
        let plan = OccurrencePlan(grid: .interval(seconds: 3_600), cursor: midnight, now: now, catchUpWindow: .seconds(7_200), paused: false)
        #expect(plan.points.map(\.outcome) == [.late, .late, .missed, .missed, .missed, .missed])
        #expect(plan.points[0].dueAt == midnight + .seconds(6 * 3_600))
        #expect(plan.points[1].dueAt == midnight + .seconds(5 * 3_600))
        #expect(plan.cursor == midnight + .seconds(6 * 3_600))
    }

    @Test("more than a thousand missed times are one row")
    func range() {
        let now = midnight + .seconds(86_400)
        let plan = OccurrencePlan(grid: .interval(seconds: 1), cursor: midnight, now: now, catchUpWindow: nil, paused: false)
        #expect(plan.points.count == 11, "the ten seconds of the window and the present")
        #expect(plan.ranges.map(\.count) == [86_400 - 11])
        #expect(plan.points.first?.outcome == .fired)
    }

    @Test("a paused schedule skips, and says so")
    func paused() {
        let plan = OccurrencePlan(
            grid: .interval(seconds: 60),
            cursor: midnight,
            now: midnight + .seconds(180),
            catchUpWindow: nil,
            paused: true
        )
        #expect(plan.points.allSatisfy { $0.outcome == .skipped && $0.reason == "paused" })
        #expect(plan.points.count == 3)
    }

    @Test("a clock that jumps back makes nothing due twice")
    func clockJump() {
        let first = OccurrencePlan(
            grid: .interval(seconds: 60),
            cursor: midnight,
            now: midnight + .seconds(120),
            catchUpWindow: nil,
            paused: false
        )
        let second = OccurrencePlan(
            grid: .interval(seconds: 60),
            cursor: first.cursor,
            now: midnight + .seconds(30),
            catchUpWindow: nil,
            paused: false
        )
        #expect(second.points.isEmpty)
        #expect(second.cursor == first.cursor)
    }
}

@Suite("Retries")
struct RetryPolicyTests {
    @Test("only our faults are retried, later each time, three attempts in all")
    func retries() {
        let policy = RetryPolicy.standard
        #expect(policy.delay(afterAttempt: 1, failure: .infra, jitter: 0.5) == .seconds(5))
        #expect(policy.delay(afterAttempt: 2, failure: .lostWorker, jitter: 0.5) == .seconds(15))
        #expect(policy.delay(afterAttempt: 3, failure: .infra, jitter: 0.5) == nil)
        #expect(policy.delay(afterAttempt: 1, failure: .infra, jitter: 0) == .seconds(4))
        #expect(policy.delay(afterAttempt: 1, failure: .infra, jitter: 1) == .seconds(6))
        for failure in [FailureKind.exception, .invalidOutput, .outOfMemory, .timeLimit, .policy] {
            #expect(policy.delay(afterAttempt: 1, failure: failure, jitter: 0.5) == nil)
        }
    }
}
