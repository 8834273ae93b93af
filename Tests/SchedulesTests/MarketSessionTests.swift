import Contracts
import Testing

@testable import Schedules

struct MarketSessionTests {
    private let start = Timestamp(seconds: 1_760_000_400)
    private func at(_ seconds: Int) -> Timestamp { start + .seconds(seconds) }
    private func session(_ opens: Int, _ closes: Int) -> Range<Timestamp> { at(opens)..<at(closes) }

    private func points(_ moment: SessionMoment, _ sessions: [Range<Timestamp>], knownThrough: Int = 100_000) throws -> [Int] {
        let grid = try ScheduleGrid(.session(instrument: "SPY", moment: moment)).knowing(MarketSessions(sessions, knownThrough: at(knownThrough)))
        let found = grid.points(after: at(-1), through: at(100_000), limit: 1_000)
        #expect(grid.count(after: at(-1), through: at(100_000)) == found.count)
        #expect(grid.last(after: at(-1), through: at(100_000)) == found.last)
        return found.map { Int(($0 - start).components.seconds) }
    }

    @Test func everyMomentOfASession() throws {
        let days = [session(0, 1_000), session(2_000, 2_500)]
        #expect(try points(.every(seconds: 300), days) == [0, 300, 600, 900, 2_000, 2_300])
        #expect(try points(.every(seconds: 250), days) == [0, 250, 500, 750, 2_000, 2_250])
        #expect(try points(.afterOpen(seconds: 0), days) == [0, 2_000])
        #expect(try points(.afterOpen(seconds: 600), days) == [600])
        #expect(try points(.beforeClose(seconds: 0), days) == [1_000, 2_500])
        #expect(try points(.beforeClose(seconds: 500), days) == [500, 2_000])
        #expect(try points(.beforeClose(seconds: 501), days) == [499])
        #expect(try points(.every(seconds: 300), []) == [])
    }

    @Test func sessionsThatTouchAreStillTwo() throws {
        let around = [session(0, 1_000), session(1_000, 2_000)]
        #expect(try points(.every(seconds: 600), around) == [0, 600, 1_000, 1_600])
        #expect(try points(.beforeClose(seconds: 0), around) == [1_000, 2_000])
    }

    @Test func whatOpensLaterThanAllIsKnownIsNotDue() throws {
        #expect(try points(.afterOpen(seconds: 60), [session(0, 1_000), session(2_000, 2_500)], knownThrough: 1_500) == [60])
        let grid = try ScheduleGrid(.session(instrument: "SPY", moment: .afterOpen(seconds: 60)))
        #expect(grid.next(after: start) == nil && DueTimes(grid).knownThrough == .distantPast)
    }

    @Test func openOrClosed() {
        let market = MarketSessions([session(2_000, 2_500), session(0, 1_000), session(900, 1_200)], knownThrough: at(9_000))
        #expect(market.sessions == [session(0, 1_000), session(1_000, 1_200), session(2_000, 2_500)])
        #expect(!market.isOpen(at: at(-1)) && market.isOpen(at: at(0)) && market.isOpen(at: at(1_199)) && !market.isOpen(at: at(1_200)))
        #expect(market.nextChange(after: at(-5)) == at(0) && market.nextChange(after: at(0)) == at(1_000))
        #expect(market.nextChange(after: at(1_500)) == at(2_000) && market.nextChange(after: at(2_500)) == nil)
    }

    @Test func theLastOfMany() throws {
        let due = DueTimes(try ScheduleGrid(.interval(seconds: 7)))
        for limit in [1, 2, 10, 999] {
            let all = due.points(after: at(0), through: at(10_000), limit: 100_000)
            #expect(due.lastPoints(after: at(0), through: at(10_000), limit: limit) == all.suffix(limit))
        }
        #expect(due.lastPoints(after: at(0), through: at(20), limit: 10) == due.points(after: at(0), through: at(20), limit: 10))
        let cron = DueTimes(try ScheduleGrid(.cron(expression: "*/5 9-17 * * mon-fri", zone: "Europe/Berlin")))
        let all = cron.points(after: at(0), through: at(3_000_000), limit: 100_000)
        #expect(cron.lastPoints(after: at(0), through: at(3_000_000), limit: 1_000) == all.suffix(1_000))
    }

    @Test func jitterIsSpreadAndTheSameEveryTime() {
        var seconds: [Int64: Int] = [:]
        for index in 0..<6_000 {
            let delay = Jitter.delay(schedule: "schedule \(index % 60)", dueAt: at(index / 60 * 3_600), maximumSeconds: 60)
            #expect(delay == Jitter.delay(schedule: "schedule \(index % 60)", dueAt: at(index / 60 * 3_600), maximumSeconds: 60))
            #expect(delay >= .zero && delay <= .seconds(60))
            seconds[delay.components.seconds, default: 0] += 1
        }
        #expect((0..<60).allSatisfy { (50...160).contains(seconds[$0] ?? 0) }, "\(seconds)")
        #expect(Jitter.delay(schedule: "s", dueAt: start, maximumSeconds: 0) == .zero)
    }

    @Test func policiesThatCannotBe() {
        func key(_ policy: SchedulePolicy, _ cadence: Cadence = .interval(seconds: 600), deadline: Int = 60) -> String? {
            SchedulePolicyRules.fault(in: policy, of: cadence, deadlineSeconds: deadline)?.key
        }
        #expect(key(SchedulePolicy()) == nil && key(SchedulePolicy(), .interval(seconds: 1), deadline: 1) == nil)
        #expect(key(SchedulePolicy(catchUpSeconds: 9)) == "catch_up_seconds" && key(SchedulePolicy(jitterSeconds: -1)) == "jitter_seconds")
        #expect(key(SchedulePolicy(jitterSeconds: 59)) == nil && key(SchedulePolicy(jitterSeconds: 60)) == "jitter_seconds")
        #expect(key(SchedulePolicy(jitterSeconds: 30), .interval(seconds: 30)) == "jitter_seconds")
        #expect(key(SchedulePolicy(startAt: at(1), endAt: at(0))) == "end_at" && key(SchedulePolicy(pauseAfterFailures: 0)) == "pause_after_failures")
        #expect(key(SchedulePolicy(inSession: "SPY"), .barClose(instrument: "SPY", interval: "1m")) == "in_session")
        #expect(key(SchedulePolicy(inSession: "SPY")) == nil && key(SchedulePolicy(inSession: "")) == "in_session")
    }
}
