import ServiceRuntime
import Testing

@Suite("Values up to a bound, the least recently used goes first") struct RecentlyUsedTests {
    @Test func whatWasNotUsedForLongestGoesFirst() {
        var cache = RecentlyUsed<String, Int>(maximumCost: 30)
        for (number, key) in ["a", "b", "c"].enumerated() { #expect(cache.insert(number, cost: 10, for: key).isEmpty) }
        #expect(cache.value("a") == 0)
        #expect(cache.insert(3, cost: 15, for: "d") == [1, 2])
        #expect(cache.value("b") == nil)
        #expect(cache.value("c") == nil)
        #expect(cache.value("a") == 0)
        #expect(cache.cost == 25)
    }

    @Test func anotherValueTakesThePlaceOfTheFirst() {
        var cache = RecentlyUsed<String, Int>(maximumCost: 30)
        cache.insert(1, cost: 20, for: "a")
        #expect(cache.insert(2, cost: 25, for: "a").isEmpty)
        #expect(cache.value("a") == 2)
        #expect(cache.cost == 25)
        #expect(cache.count == 1)
        // What can never fit is not kept, and what it was to replace is no longer right.
        cache.insert(3, cost: 31, for: "a")
        #expect(cache.value("a") == nil)
        #expect(cache.cost == 0)
    }

    @Test func itBehavesLikeAListThatIsSearched() {
        struct Entry {
            var key: Int
            var value: Int
            var cost: Int
        }
        var cache = RecentlyUsed<Int, Int>(maximumCost: 100)
        // The last used stands last.
        var model: [Entry] = []
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for step in 0..<20_000 {
            let key = random(20)
            let known = model.firstIndex { $0.key == key }
            switch random(4) {
            case 0:
                #expect(cache.value(key) == known.map { model[$0].value })
                if let known { model.append(model.remove(at: known)) }
            case 1:
                #expect(cache.remove(key) == known.map { model[$0].value })
                if let known { model.remove(at: known) }
            default:
                let cost = random(60)
                if let known { model.remove(at: known) }
                var gone: [Int] = []
                while model.reduce(0, { $0 + $1.cost }) + cost > 100 { gone.append(model.removeFirst().value) }
                model.append(Entry(key: key, value: step, cost: cost))
                #expect(cache.insert(step, cost: cost, for: key) == gone)
            }
            #expect(cache.cost == model.reduce(0) { $0 + $1.cost })
            #expect(Set(cache.keys) == Set(model.map(\.key)))
        }
    }
}
