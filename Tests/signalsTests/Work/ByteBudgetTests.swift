import Testing

@testable import signals

@Suite("The budget of bytes")
struct ByteBudgetTests {
    @Test("Takes what fits, one of any size alone, and gets back what nobody holds")
    func budget() {
        let budget = ByteBudget(maximumBytes: 100)
        var first = budget.take(60)
        let second = budget.take(40)
        #expect(first != nil && second != nil)
        #expect(budget.take(1) == nil)
        first = nil
        #expect(budget.take(61) == nil)
        #expect(budget.take(60) != nil)
        withExtendedLifetime(second) {}
        let large = ByteBudget(maximumBytes: 100)
        let alone = large.take(200)
        #expect(alone != nil && large.take(1) == nil)
        withExtendedLifetime(alone) {}
    }
}
