import ServiceRuntime
import TestSupport
import Testing

@Suite("Work in the background")
struct BackgroundTaskTests {
    @Test("Rounds come with a pause between two, and before the first if it is wanted; a stop ends the pause", arguments: [false, true])
    func rounds(pausesFirst: Bool) async throws {
        let time = ManualTimeSource()
        let rounds = TestSignal<Void>()
        let work = BackgroundTask()
        work.start(on: TestLoop.shared, every: .seconds(60), time: time, pausesFirst: pausesFirst) { rounds.signal() }
        if !pausesFirst { try await rounds.next() }
        for _ in 0..<3 {
            #expect(try await time.fellAsleep.next() == .seconds(60))
            #expect(rounds.pendingCount == 0)
            time.advance(by: .seconds(60))
            try await rounds.next()
        }
        #expect(try await time.fellAsleep.next() == .seconds(60))
        await work.stop()
        #expect(rounds.pendingCount == 0 && time.sleeperCount == 0)
    }

    @Test("A stop waits for the round that is under way, and no other begins")
    func stopping() async throws {
        let time = ManualTimeSource()
        let gate = Gate()
        let ended = TestSignal<Bool>()
        let work = BackgroundTask()
        work.start(on: TestLoop.shared, every: .seconds(60), time: time) {
            try? await gate.pass()
            ended.signal(Task.isCancelled)
        }
        try await gate.entered.next()
        await work.stop()
        #expect(try await ended.next())
        #expect(gate.entered.pendingCount == 0)
        // What was never begun is stopped at once.
        await BackgroundTask().stop()
    }
}
