import Testing

@testable import KeyLimits

@Suite struct SlidingCountTests {
    private let minute: UInt64 = 60_000_000_000
    private func at(_ seconds: Double) -> UInt64 { UInt64(seconds * 1e9) }

    @Test func theWindowBeforeWeighsLessAndLess() {
        var count = SlidingCount(length: minute)
        count.add(60, at: at(600))
        #expect(count.used(at: at(659.9)) == 60)
        #expect(count.used(at: at(660)) == 60)
        #expect(count.used(at: at(675)) == 45)
        #expect(count.used(at: at(690)) == 30)
        count.add(10, at: at(690))
        #expect(count.used(at: at(690)) == 40)
        #expect(count.used(at: at(720)) == 10)
        #expect(count.used(at: at(780)) == 0)
    }

    @Test func twoWindowsLaterNothingCounts() {
        var count = SlidingCount(length: minute)
        count.add(5, at: at(600))
        #expect(count.used(at: at(721)) == 0)
    }

    @Test(arguments: [(60, 59.0), (60, 30), (7, 12), (1, 3), (1_000, 59.9)])
    func theWaitEndsWithOneMoreAndNotBefore(limit: Int, second: Double) {
        var count = SlidingCount(length: minute)
        // The window before is half full, the one that runs is filled up.
        count.add(limit / 2, at: at(600))
        count.add(count.left(of: limit, at: at(660 + second)), at: at(660 + second))
        let now = at(660 + second)
        #expect(count.left(of: limit, at: now) == 0)
        let wait = count.wait(forOneOf: limit, at: now)
        #expect(wait > 0 && wait <= 2 * minute)
        var (before, after) = (count, count)
        #expect(before.left(of: limit, at: now + wait - min(wait, 2_000_000)) == 0)
        // Sums of fractions end within a millisecond.
        #expect(after.left(of: limit, at: now + wait + 1_000_000) >= 1)
    }
}
