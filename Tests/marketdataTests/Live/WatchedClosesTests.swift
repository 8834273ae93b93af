import Bars
import Contracts
import Testing

@testable import marketdata

@Suite struct WatchedClosesTests {
    private static let second: Int64 = 1_000_000
    private static let begin = at("2024-03-04T12:00:00Z").microseconds
    private let ids = (0..<400).map { _ in InstrumentID.make() }.sorted { $0.description < $1.description }

    private func grids(_ seconds: [Int]) -> [(seconds: Int, grid: any BarGrid)] {
        seconds.map { ($0, EpochGrid(intervalMicroseconds: Int64($0) * Self.second)) }
    }

    private func progress(_ from: Int64, _ through: Int64, heldAt: Int64? = nil) -> WatchedCloses.Progress {
        WatchedCloses.Progress(
            from: Self.begin + from * Self.second,
            through: Self.begin + through * Self.second,
            heldAt: heldAt.map { Self.begin + $0 * Self.second }
        )
    }

    private func text(_ plan: WatchedCloses.Plan) -> [String] {
        plan.announcements.map { close, instruments in
            let who = instruments.map { id in "\(ids.firstIndex(of: id) ?? -1)" }.joined(separator: ",")
            return "\(close.intervalSeconds)s@\((close.at - Self.begin) / Self.second): \(who)"
        }
    }

    private func reach(_ plan: WatchedCloses.Plan, _ index: Int) -> Int64 {
        ((plan.through[ids[index]] ?? 0) - Self.begin + Self.second - 1) / Self.second
    }

    @Test func nobodyClosesOverAMomentBeforeAllHaveIt() {
        var closes = WatchedCloses()
        for index in 0..<2 { closes.watch(ids[index], grids([5, 60]), beganAt: .min) }
        var plan = closes.plan([ids[0]: progress(3, 6), ids[1]: progress(3, 4), ids[2]: progress(0, 7)])
        #expect(text(plan) == [])
        #expect(
            (0..<3).map { plan.through[ids[$0]] ?? 0 } == [
                Self.begin + 5 * Self.second - 1, Self.begin + 4 * Self.second, Self.begin + 7 * Self.second,
            ]
        )
        plan = closes.plan([ids[0]: progress(4, 6), ids[1]: progress(4, 6), ids[2]: progress(7, 8)])
        #expect(text(plan) == ["5s@5: 0,1"])
        #expect(reach(plan, 0) == 6)
        // Several moments at once, in order.
        plan = closes.plan([ids[0]: progress(49, 61), ids[1]: progress(49, 61)])
        #expect(text(plan) == ["5s@50: 0,1", "5s@55: 0,1", "5s@60: 0,1", "60s@60: 0,1"])
    }

    @Test func whoIsHeldStallsNobodyAndFollows() {
        var closes = WatchedCloses()
        for index in 0..<2 { closes.watch(ids[index], grids([5]), beganAt: .min) }
        var plan = closes.plan([ids[0]: progress(4, 7), ids[1]: progress(3, 3, heldAt: 3)])
        #expect(text(plan) == ["5s@5: 0"])
        closes.setDue(WatchedCloses.Close(intervalSeconds: 5, at: Self.begin + 5 * Self.second))
        // It waits for the event of the others.
        plan = closes.plan([ids[0]: progress(7, 8), ids[1]: progress(3, 8)])
        #expect(text(plan) == [])
        #expect(plan.through[ids[1]] == Self.begin + 5 * Self.second - 1)
        #expect(reach(plan, 0) == 8)
        closes.setAnnounced(WatchedCloses.Close(intervalSeconds: 5, at: Self.begin + 5 * Self.second))
        plan = closes.plan([ids[0]: progress(8, 8), ids[1]: progress(4, 8)])
        #expect(text(plan) == ["5s@5: 1"])
    }

    @Test func anEventHoldsSoManyInstruments() {
        var closes = WatchedCloses()
        for id in ids { closes.watch(id, grids([5]), beganAt: .min) }
        let plan = closes.plan(Dictionary(uniqueKeysWithValues: ids.map { ($0, progress(4, 6)) }))
        #expect(plan.announcements.map(\.instruments.count) == [WatchedCloses.maximumInstruments])
        #expect(ids.count { plan.through[$0] == Self.begin + 5 * Self.second - 1 } == ids.count - WatchedCloses.maximumInstruments)
    }

    @Test func barsThatBeganBeforeTheFeedAreNotTold() {
        var closes = WatchedCloses()
        closes.watch(ids[0], grids([5, 3_600]), beganAt: Self.begin + 60 * Self.second)
        let plan = closes.plan([ids[0]: progress(3_594, 3_601)])
        #expect(text(plan) == ["5s@3595: 0", "5s@3600: 0"])
        #expect(text(closes.plan([ids[0]: progress(7_199, 7_200)])) == ["5s@7200: 0", "3600s@7200: 0"])
    }

    @Test func aStepAnnouncesSoMuch() {
        var closes = WatchedCloses()
        closes.watch(ids[0], grids([5]), beganAt: .min)
        let plan = closes.plan([ids[0]: progress(0, 3_600)], maximumAnnouncements: 10)
        #expect(plan.announcements.count == 10)
        #expect(plan.through[ids[0]] == Self.begin + 55 * Self.second - 1)
    }
}
