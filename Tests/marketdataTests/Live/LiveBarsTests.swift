import Bars
import Contracts
import Testing

@testable import marketdata

private let second: Int64 = 1_000_000

/// The machine of one coin, or of something with sessions, on a clock that tests set.
struct MachineBench {
    var bars: LiveBars
    var present: Int64
    let begin: Int64
    /// Everything that came out, in order.
    private(set) var told: [LiveBars.Closed] = []

    init(
        _ begin: String = "2024-03-04T12:00:00Z",
        calendar: ExchangeCalendar = CalendarCatalogue.alwaysOpen,
        _ change: (inout LiveBars.Rules) -> Void = { _ in }
    )
        throws
    {
        self.begin = at(begin).microseconds
        present = self.begin
        var rules = LiveBars.Rules()
        change(&rules)
        bars = LiveBars(rules: rules, sessions: LiveSessions(try TradingClock(calendar)), closedThrough: self.begin)
    }

    /// A trade so many seconds after the beginning.
    func trade(_ seconds: Double?, _ price: String = "100", size: String = "1", qualifies: Bool = true, total: String? = nil) -> SourceTrade {
        SourceTrade(
            symbol: "X",
            time: seconds.map { Timestamp(microseconds: begin + Int64($0 * 1e6)) },
            price: DecimalNumber(price) ?? .float(.nan),
            size: DecimalNumber(size) ?? .float(.nan),
            qualifies: qualifies,
            totalVolume: total.flatMap { DecimalNumber($0) }
        )
    }

    func bar(_ seconds: Int, _ state: SourceBar.State, close: String, length: Int = 5) throws -> SourceBar {
        let one = try #require(DecimalNumber("100"))
        return SourceBar(
            symbol: "X",
            state: state,
            start: Timestamp(microseconds: begin + Int64(seconds) * second),
            seconds: length,
            open: one,
            high: one,
            low: one,
            close: try #require(DecimalNumber(close)),
            volume: nil,
            trades: nil
        )
    }

    @discardableResult
    mutating func take(_ trade: SourceTrade) -> LiveBars.Verdict { bars.take(trade, present: present) }

    /// Lets the clock show so many seconds after the beginning and closes what is over; gives it as text.
    @discardableResult
    mutating func go(to seconds: Double, observed: Bool = true) -> [String] {
        present = begin + Int64(seconds * 1e6)
        return close(observed: observed ? present : nil)
    }

    @discardableResult
    mutating func close(observed: Int64?) -> [String] {
        let reach = bars.reach(present: present, observed: observed)
        var new: [LiveBars.Closed] = []
        while bars.closedThrough < reach {
            let before = bars.closedThrough
            new += bars.close(through: reach)
            if bars.closedThrough == before { break }
        }
        new += bars.revisions()
        told += new
        return new.map(text)
    }

    /// `3 v0 100 101 99 100 x4 /2`: the start in seconds, the version, prices, volume and trades; `3 v0 -` for nothing traded.
    func text(_ closed: LiveBars.Closed) -> String {
        let head = "\((closed.start - begin) / second) v\(closed.version)"
        guard let prices = closed.prices else { return "\(head) -" }
        let numbers = [prices.open, prices.high, prices.low, prices.close].map { "\($0.double)" }.joined(separator: " ")
        return "\(head) \(numbers)" + (prices.volume.map { " x\($0.double)" } ?? "") + (prices.trades.map { " /\($0)" } ?? "")
    }
}

@Suite struct LiveBarsTests {
    @Test func aBarClosesAtItsEndAndTheLateness() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(0.1, "100", size: "2"))
        bench.take(bench.trade(0.9, "101.5", size: "0.5"))
        #expect(bench.go(to: 1.249) == [])
        #expect(bench.go(to: 1.25) == ["0 v0 100.0 101.5 100.0 101.5 x2.5 /2"])
        #expect(bench.go(to: 3) == [])
        // Empty seconds say that they are over at the multiples of five.
        #expect(bench.go(to: 12) == ["4 v0 -", "9 v0 -"])
    }

    @Test func aLaterTickClosesAtOnce() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(0.5))
        bench.present += second * 9 / 10
        bench.take(bench.trade(6.2, "102"))
        // Five seconds ahead is too far, and says nothing.
        #expect(bench.close(observed: nil) == [])
        bench.take(bench.trade(3.2, "102"))
        #expect(bench.close(observed: nil) == ["0 v0 100.0 100.0 100.0 100.0 x1.0 /1"])
        bench.take(bench.trade(5, "103"))
        #expect(bench.close(observed: nil) == ["3 v0 102.0 102.0 102.0 102.0 x1.0 /1", "4 v0 -"])
    }

    @Test func whatIsOutOfOrderIsSortedIn() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(0.5, "105"))
        bench.take(bench.trade(0.9, "99"))
        bench.take(bench.trade(0.1, "101"))
        bench.take(bench.trade(0.9, "100"))
        #expect(bench.go(to: 1.2) == [])
        bench.take(bench.trade(0.7, "110"))
        #expect(bench.go(to: 1.3) == ["0 v0 101.0 110.0 99.0 100.0 x5.0 /5"])
    }

    @Test func aLateTickMakesAVersionAndNoSecondClose() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(0.5, "100"))
        #expect(bench.go(to: 2).count == 1)
        #expect(bench.take(bench.trade(0.2, "99")) == .late)
        #expect(bench.take(bench.trade(0.8, "98")) == .late)
        // One version for all that came between two steps.
        #expect(bench.go(to: 2.1) == ["0 v1 99.0 100.0 98.0 98.0 x3.0 /3"])
        #expect(bench.take(bench.trade(0.6, "120")) == .late)
        #expect(bench.go(to: 2.2) == ["0 v2 99.0 120.0 98.0 98.0 x4.0 /4"])
        // Of a second in which nothing had happened, too.
        #expect(bench.go(to: 6) == ["4 v0 -"])
        #expect(bench.take(bench.trade(4.5, "7")) == .late)
        #expect(bench.take(bench.trade(3.5, "8")) == .late)
        #expect(bench.go(to: 6.1) == ["3 v1 8.0 8.0 8.0 8.0 x1.0 /1", "4 v1 7.0 7.0 7.0 7.0 x1.0 /1"])
    }

    @Test func whatIsTheSameTradeCountsOnce() throws {
        var bench = try MachineBench()
        let trade = bench.trade(0.5, "100", total: "1000")
        #expect(bench.take(trade) == .taken)
        #expect(bench.take(trade) == .duplicate)
        #expect(bench.take(bench.trade(0.5, "100", total: "1001")) == .taken)
        #expect(bench.go(to: 2) == ["0 v0 100.0 100.0 100.0 100.0 x2.0 /2"])
        #expect(bench.take(trade) == .duplicate)
        #expect(bench.go(to: 2.1) == [])
        // A source's own number of a trade says it, whatever else is told twice.
        var numbered = bench.trade(2.2, "100")
        numbered.id = 7
        #expect(bench.take(numbered) == .taken)
        #expect(bench.take(numbered) == .duplicate)
        numbered.id = 8
        #expect(bench.take(numbered) == .taken)
        // Where the source tells neither number nor total two that look the same may be two.
        bench.take(bench.trade(2.5, "100"))
        bench.take(bench.trade(2.5, "100"))
        #expect(bench.go(to: 4) == ["2 v0 100.0 100.0 100.0 100.0 x4.0 /4"])
    }

    @Test func whatDoesNotQualifyMakesNoPrice() throws {
        var bench = try MachineBench()
        #expect(bench.take(bench.trade(0.5, "1", qualifies: false)) == .unqualified)
        #expect(bench.take(bench.trade(0.5, "none")) == .unqualified)
        #expect(bench.go(to: 6) == ["4 v0 -"])
    }

    @Test func stampsFarAwayAreNotBelieved() throws {
        var bench = try MachineBench()
        bench.go(to: 1_000)
        #expect(bench.take(bench.trade(1_005.1)) == .future)
        #expect(bench.take(bench.trade(4e9)) == .future)
        #expect(bench.take(bench.trade(-0.1)) == .tooLate)
        #expect(bench.take(bench.trade(398.9)) == .tooLate)
        #expect(bench.take(bench.trade(401)) == .late)
        #expect(bench.take(bench.trade(nil, "55")) == .taken)
        #expect(bench.go(to: 1_002) == ["999 v0 -", "1000 v0 55.0 55.0 55.0 55.0 x1.0 /1", "401 v1 100.0 100.0 100.0 100.0 x1.0 /1"])
    }

    @Test func aClockThatIsSetBackReopensNothing() throws {
        var bench = try MachineBench()
        bench.go(to: 60)
        let closed = bench.bars.closedThrough
        #expect(bench.go(to: 10) == [])
        #expect(bench.take(bench.trade(9.5, "100")) == .late)
        #expect(bench.go(to: 11) == ["9 v1 100.0 100.0 100.0 100.0 x1.0 /1"])
        #expect(bench.bars.closedThrough == closed)
        #expect(bench.go(to: 66) == ["59 v0 -", "64 v0 -"])
    }

    @Test func markersAreInSessionsOnly() throws {
        // A Friday: extended hours end at 20:00 in New York, and begin on Monday at 04:00 after the clocks went forward.
        var bench = try MachineBench("2024-03-09T00:59:50Z", calendar: CalendarCatalogue.usEquity)
        #expect(bench.go(to: 30) == ["4 v0 -", "9 v0 -"])
        let opening = Double(at("2024-03-11T08:00:00Z").microseconds - bench.begin) / 1e6
        #expect(bench.go(to: opening + 6) == ["\(Int(opening) + 4) v0 -"])
        // What is traded outside is a bar all the same.
        var night = try MachineBench("2024-03-09T03:00:00Z", calendar: CalendarCatalogue.usEquity)
        night.take(night.trade(2.5, "9"))
        #expect(night.go(to: 60) == ["2 v0 9.0 9.0 9.0 9.0 x1.0 /1"])
    }

    @Test func anIntervalThatOverlapsASessionLiesInIt() throws {
        var calendar = CalendarCatalogue.alwaysOpen
        calendar.regular = (0..<7).map { _ in SessionHours(open: 43_203, close: 43_217) }
        calendar.extended = calendar.regular
        var bench = try MachineBench("2024-03-04T11:59:50Z", calendar: calendar)
        #expect(bench.go(to: 60) == ["14 v0 -", "19 v0 -", "24 v0 -", "26 v0 -"])
        var tens = try MachineBench("2024-03-04T11:59:50Z", calendar: calendar) { $0.length = 10 * second }
        #expect(tens.go(to: 60) == ["10 v0 -", "20 v0 -"])
        var threes = try MachineBench("2024-03-04T11:59:51Z", calendar: calendar) { $0.length = 3 * second }
        #expect(threes.go(to: 60) == ["21 v0 -", "24 v0 -"])
    }

    @Test func withoutProofOfLifeNothingClosesByTime() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(0.5))
        #expect(bench.go(to: 100, observed: false) == [])
        #expect(bench.close(observed: bench.begin + second) == ["0 v0 100.0 100.0 100.0 100.0 x1.0 /1"])
        #expect(bench.close(observed: bench.begin + 5 * second) == ["4 v0 -"])
    }

    @Test func aHoleHoldsWhatMayHaveHappenedInIt() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(2.2, "100"))
        bench.bars.hold(from: bench.begin + 2 * second + 300_000)
        #expect(bench.go(to: 20) == [])
        #expect(bench.take(bench.trade(19.5, "103")) == .taken)
        #expect(bench.go(to: 21) == [])
        #expect(bench.bars.closedThrough == bench.begin + 2 * second)
        func row(_ seconds: Int64, _ close: String) -> (start: Int64, prices: LivePrices) {
            let price = DecimalNumber(close) ?? .float(.nan)
            return (bench.begin + seconds * second, LivePrices(open: price, high: price, low: price, close: price, volume: nil, trades: nil))
        }
        let rows = [row(1, "1"), row(2, "102"), row(7, "107"), row(25, "1")]
        #expect(bench.bars.fill(bench.begin + 2 * second..<bench.begin + 12 * second, with: rows, heldAt: nil) == 2)
        #expect(bench.take(bench.trade(3, "5")) == .covered)
        #expect(
            bench.go(to: 22) == [
                "2 v0 102.0 102.0 102.0 102.0", "4 v0 -", "7 v0 107.0 107.0 107.0 107.0", "9 v0 -", "14 v0 -",
                "19 v0 103.0 103.0 103.0 103.0 x1.0 /1",
            ]
        )
    }

    @Test func historyThatDiffersFromWhatClosedIsAVersion() throws {
        var bench = try MachineBench()
        bench.take(bench.trade(0.5, "100"))
        bench.go(to: 10)
        bench.bars.hold(from: bench.begin)
        let price = try #require(DecimalNumber("100"))
        let prices = LivePrices(open: price, high: price, low: price, close: price, volume: DecimalNumber("1"), trades: 1)
        let rows = [(start: bench.begin, prices: prices), (start: bench.begin + 3 * second, prices: prices)]
        bench.bars.fill(bench.begin..<bench.begin + 8 * second, with: rows, heldAt: nil)
        #expect(bench.go(to: 10) == ["3 v1 100.0 100.0 100.0 100.0 x1.0 /1"])
    }

    @Test func ofWhatIsLostNothingIsSaid() throws {
        var bench = try MachineBench()
        bench.go(to: 4)
        bench.bars.hold(from: bench.begin + 4 * second)
        bench.present = bench.begin + 30 * second
        bench.take(bench.trade(12.5, "100"))
        bench.bars.giveUp(bench.begin + 4 * second..<bench.begin + 18 * second, heldAt: nil)
        // What was seen is told; an empty second in it might not be empty.
        #expect(bench.go(to: 26) == ["12 v0 100.0 100.0 100.0 100.0 x1.0 /1", "19 v0 -", "24 v0 -"])
        #expect(!bench.bars.knowsClose(at: bench.begin + 15 * second))
        #expect(bench.bars.knowsClose(at: bench.begin + 20 * second))
    }

    @Test func theSourcesOwnBars() throws {
        var bench = try MachineBench { $0.length = 5 * second }
        #expect(bench.bars.take(try bench.bar(0, .running, close: "101"), present: bench.present + 2 * second) == .taken)
        // It is waited for a while for the bar as it was in the end.
        #expect(bench.go(to: 6) == [])
        #expect(bench.bars.take(try bench.bar(0, .complete, close: "102"), present: bench.present) == .taken)
        #expect(bench.bars.take(try bench.bar(0, .running, close: "101"), present: bench.present) == .duplicate)
        #expect(bench.close(observed: nil) == ["0 v0 100.0 100.0 100.0 102.0"])
        #expect(bench.bars.take(try bench.bar(0, .complete, close: "102"), present: bench.present) == .duplicate)
        #expect(bench.bars.take(try bench.bar(0, .running, close: "109"), present: bench.present) == .tooLate)
        #expect(bench.bars.take(try bench.bar(0, .history, close: "103"), present: bench.present) == .late)
        #expect(bench.bars.take(try bench.bar(7, .complete, close: "103"), present: bench.present) == .refused)
        #expect(bench.bars.take(try bench.bar(5, .complete, close: "103", length: 10), present: bench.present) == .refused)
        #expect(bench.bars.take(try bench.bar(15, .complete, close: "103"), present: bench.present) == .future)
        #expect(bench.close(observed: nil) == ["0 v1 100.0 100.0 100.0 103.0"])
        bench.go(to: 14)
        #expect(bench.bars.take(try bench.bar(10, .running, close: "104"), present: bench.present) == .taken)
        // Nobody told the end of it: in the end it closes as it was told last.
        #expect(bench.go(to: 19.9) == [])
        #expect(bench.go(to: 20) == ["10 v0 100.0 100.0 100.0 104.0"])
    }

    @Test func memoryIsBounded() throws {
        var bench = try MachineBench {
            $0.maximumOpen = 10
            $0.maximumIdentities = 50
            $0.memory = 60 * second
        }
        bench.bars.hold(from: bench.begin)
        for index in 0..<20 {
            bench.present = bench.begin + Int64(index) * second
            #expect(bench.take(bench.trade(Double(index) + 0.5, total: "\(index)")) == (index < 10 ? .taken : .refused))
        }
        bench.bars.fill(bench.begin..<bench.begin + 20 * second, with: [], heldAt: nil)
        for index in 20..<5_000 {
            bench.go(to: Double(index))
            bench.take(bench.trade(Double(index), total: "\(index)"))
        }
        #expect(bench.bars.remembered.open <= 2)
        #expect(bench.bars.remembered.closed <= 61)
        #expect(bench.bars.remembered.identities <= 50)
    }

    @Test func sumsAndComparisonsAreExact() throws {
        func number(_ text: String) throws -> DecimalNumber { try #require(DecimalNumber(text)) }
        #expect(try number("0.1").adding(number("0.2")) == number("0.3"))
        #expect(try number("0.5").adding(number("0.5")) == number("1"))
        #expect(try number("9223372036854775807").adding(number("0.5")).double == 9.223372036854775807e18)
        #expect(try number("0.10000000000000001").isLess(than: number("0.10000000000000002")))
        #expect(try !number("0.3").isLess(than: number("0.30")))
        #expect(try number("-1").isLess(than: number("0.000000000000000001")))
    }
}

/// The same story told to the machine and to somebody simple who remembers everything.
@Suite struct LiveBarsPropertyTests {
    private struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
        }
    }

    /// Remembers every trade that counts, in the order in which they came.
    private struct Naive {
        struct Trade { var time: Int64, price: Int, size: Int, total: Int? }
        var trades: [Trade] = []
        var closedThrough: Int64
        let begin: Int64
        var latest: Int64

        init(begin: Int64) { (self.begin, closedThrough, latest) = (begin, begin, begin) }

        mutating func take(_ trade: Trade, present: Int64, memory: Int64) -> LiveBars.Verdict {
            let start = trade.time / second * second
            if trade.time > present + 5 * second { return .future }
            if start < begin || start < closedThrough - memory { return .tooLate }
            if let total = trade.total,
                trades.contains(where: { $0.time == trade.time && $0.price == trade.price && $0.size == trade.size && $0.total == total })
            {
                return .duplicate
            }
            trades.append(trade)
            latest = max(latest, start)
            return start + second <= closedThrough ? .late : .taken
        }

        mutating func close(present: Int64) {
            closedThrough = max(closedThrough, min(latest, (present + 5 * second) / second * second), (present - 250_000) / second * second)
        }

        func bars() -> [Int64: String] {
            var found: [Int64: String] = [:]
            for (start, all) in Dictionary(grouping: trades, by: { $0.time / second * second }) where start + second <= closedThrough {
                let sorted = all.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }.map(\.element)
                let prices = sorted.map(\.price)
                let sum = sorted.reduce(0) { $0 + $1.size }
                found[start] = "\(prices[0]) \(prices.max() ?? 0) \(prices.min() ?? 0) \(prices[prices.count - 1]) x\(sum) /\(sorted.count)"
            }
            return found
        }
    }

    @Test(arguments: 0..<60) func itDoesAsSomebodySimpleWould(seed: Int) throws {
        var random = Random(state: UInt64(seed) &* 977 &+ 13)
        var bench = try MachineBench { $0.memory = 40 * second }
        var naive = Naive(begin: bench.begin)
        var past: [SourceTrade] = []
        var last: [Int64: LiveBars.Closed] = [:]
        var markers: [Int64] = []
        var through = bench.begin
        for _ in 0..<1_500 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                let isOdd = Int.random(in: 0..<12, using: &random) == 0
                let offset =
                    isOdd ? Int64.random(in: -60_000_000...8_000_000, using: &random) : Int64.random(in: -1_500_000...100_000, using: &random)
                var trade = SourceTrade(
                    symbol: "X",
                    time: Timestamp(microseconds: bench.present + offset),
                    price: .exact(mantissa: Int64.random(in: 1...9, using: &random), scale: 0),
                    size: .exact(mantissa: Int64.random(in: 1...9, using: &random), scale: 0),
                    qualifies: true,
                    totalVolume: Bool.random(using: &random) ? .exact(mantissa: Int64.random(in: 1...1_000_000, using: &random), scale: 0) : nil
                )
                if let again = past.randomElement(using: &random), Int.random(in: 0..<8, using: &random) == 0 { trade = again }
                past.append(trade)
                if past.count > 20 { past.removeFirst() }
                let same = Naive.Trade(
                    time: trade.time?.microseconds ?? 0,
                    price: Int(trade.price.double),
                    size: Int(trade.size.double),
                    total: trade.totalVolume.map { Int($0.double) }
                )
                let expected = naive.take(same, present: bench.present, memory: bench.bars.rules.memory)
                #expect(bench.take(trade) == expected)
            case 6: bench.present -= Int64.random(in: 0...3_000_000, using: &random)
            case 7: bench.present += Int64.random(in: 0...9_000_000, using: &random)
            default: bench.present += Int64.random(in: 0...700_000, using: &random)
            }
            let before = bench.told.count
            bench.close(observed: bench.present)
            naive.close(present: bench.present)
            #expect(bench.bars.closedThrough == naive.closedThrough)
            var end = through
            for closed in bench.told[before...] {
                #expect(closed.end == closed.start + second)
                if closed.version == 0 {
                    // Once, in order, and never before its time.
                    #expect(last[closed.start] == nil && closed.end > end && closed.end <= bench.bars.closedThrough)
                    end = closed.end
                    if closed.prices == nil { markers.append(closed.end) }
                } else {
                    #expect(closed.end <= through && closed.prices != nil)
                    #expect(closed.version == (last[closed.start]?.version ?? 0) + 1)
                }
                last[closed.start] = closed
            }
            through = bench.bars.closedThrough
        }
        // Every closed interval is as all its trades make it, and each fifth second without one had its marker.
        let bars = naive.bars()
        var found: [Int64: String] = [:]
        for (start, closed) in last {
            guard let prices = closed.prices else { continue }
            let numbers = [prices.open, prices.high, prices.low, prices.close].map { "\(Int($0.double))" }.joined(separator: " ")
            found[start] = "\(numbers) x\(Int(prices.volume?.double ?? 0)) /\(prices.trades ?? 0)"
        }
        #expect(found == bars)
        for fifth in stride(from: bench.begin + 5 * second, through: through, by: 5 * Int(second)) {
            #expect(last[fifth - second] != nil)
        }
        #expect(markers.allSatisfy { $0 % (5 * second) == 0 })
    }

    @Test(arguments: 0..<40) func holesNeverCloseTwiceNorTooEarly(seed: Int) throws {
        var random = Random(state: UInt64(seed) &* 7_919 &+ 5)
        var bench = try MachineBench { $0.memory = 60 * second }
        var closed: Set<Int64> = []
        var versions: [Int64: Int] = [:]
        var hole: Int64?
        for _ in 0..<2_000 {
            bench.present += Int64.random(in: 0...900_000, using: &random)
            if Int.random(in: 0..<3, using: &random) > 0 {
                bench.take(bench.trade(Double(bench.present - bench.begin + Int64.random(in: -2_000_000...0, using: &random)) / 1e6))
            }
            switch Int.random(in: 0..<60, using: &random) {
            case 0 where hole == nil:
                let from = (bench.present - Int64.random(in: 0...8_000_000, using: &random)) / second * second
                hole = from
                bench.bars.hold(from: from)
            case 1..<4:
                guard let from = hole else { break }
                let to = max(from + second, (bench.present + second - 1) / second * second)
                if Bool.random(using: &random) {
                    let price = DecimalNumber.exact(mantissa: 7, scale: 0)
                    let rows = stride(from: from, to: to, by: 3 * Int(second)).map {
                        (start: $0, prices: LivePrices(open: price, high: price, low: price, close: price, volume: nil, trades: nil))
                    }
                    bench.bars.fill(from..<to, with: rows, heldAt: nil)
                } else {
                    bench.bars.giveUp(from..<to, heldAt: nil)
                }
                hole = nil
            default: break
            }
            let (before, through) = (bench.told.count, bench.bars.closedThrough)
            bench.close(observed: hole == nil || Bool.random(using: &random) ? bench.present : nil)
            for one in bench.told[before...] {
                if one.version == 0 {
                    #expect(closed.insert(one.start).inserted)
                    if let hole { #expect(one.end <= max(hole, through)) }
                } else {
                    #expect(one.version == versions[one.start, default: 0] + 1)
                    versions[one.start] = one.version
                }
            }
            if let hole { #expect(bench.bars.closedThrough <= max(hole, through)) }
        }
        #expect(closed.count > 200)
    }
}
