import Testing

@testable import marketdata

@Suite struct LiveClockTests {
    private static let second: Int64 = 1_000_000

    /// Reads a clock each tenth of a second for so long; gives the jumps.
    private func read(_ clock: inout LiveClock, _ monotonic: inout UInt64, wall: inout Int64, seconds: Double) -> [LiveClock.Jump] {
        var jumps: [LiveClock.Jump] = []
        for _ in 0..<Int(seconds * 10) {
            monotonic += 100_000_000
            wall += 100_000
            if let jump = clock.read(wall: wall, monotonicNanoseconds: monotonic) { jumps.append(jump) }
        }
        return jumps
    }

    @Test func aSteadyClockIsFollowedAndNeverFalls() {
        var clock = LiveClock(wall: 1_000 * Self.second, monotonicNanoseconds: 5)
        #expect(clock.read(wall: 1_001 * Self.second, monotonicNanoseconds: 5 + 900_000_000) == nil)
        #expect(clock.present == 1_001 * Self.second)
        // Steered back by half a second.
        #expect(clock.read(wall: 1_000 * Self.second + 500_000, monotonicNanoseconds: 5 + 900_000_000) == nil)
        #expect(clock.present == 1_001 * Self.second)
    }

    @Test func aClockThatIsSetForwardIsBelievedAfterAWhile() {
        var (wall, monotonic) = (1_000 * Self.second, UInt64(7))
        var clock = LiveClock(wall: wall, monotonicNanoseconds: monotonic)
        wall += 3_600 * Self.second
        #expect(read(&clock, &monotonic, wall: &wall, seconds: 5) == [])
        #expect(clock.present == 1_005 * Self.second)
        #expect(
            read(&clock, &monotonic, wall: &wall, seconds: 1) == [
                LiveClock.Jump(from: 1_005 * Self.second + 100_000, to: 4_605 * Self.second + 100_000)
            ]
        )
        #expect(clock.present == wall)
    }

    @Test func aClockThatIsSetBackIsBelievedAfterAWhile() {
        var (wall, monotonic) = (10_000 * Self.second, UInt64(7))
        var clock = LiveClock(wall: wall, monotonicNanoseconds: monotonic)
        wall -= 3_600 * Self.second
        #expect(read(&clock, &monotonic, wall: &wall, seconds: 5) == [])
        #expect(read(&clock, &monotonic, wall: &wall, seconds: 1).count == 1)
        #expect(clock.present == wall)
    }

    @Test func aClockThatIsSetAndSetBackChangesNothing() {
        var (wall, monotonic) = (10_000 * Self.second, UInt64(7))
        var clock = LiveClock(wall: wall, monotonicNanoseconds: monotonic)
        for _ in 0..<5 {
            wall += 86_400 * Self.second
            #expect(read(&clock, &monotonic, wall: &wall, seconds: 4) == [])
            wall -= 86_400 * Self.second
            #expect(read(&clock, &monotonic, wall: &wall, seconds: 4) == [])
        }
        #expect(clock.present == 10_040 * Self.second)
    }
}
