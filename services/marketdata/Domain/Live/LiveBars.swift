import Bars
import Contracts

/// Closes the bars of one instrument: what its source tells goes in, what is over comes out. It has no clock and asks nobody.
///
/// Time is cut into intervals of the base length, at whole multiples since 1970. `closedThrough` only ever rises: an interval that ends at it or before is
/// closed and never closes again; what is told of it later makes a new version. Behind it the closed intervals of some minutes are remembered, so that a
/// late trade can be sorted in; before it those that grow are held. So memory is bounded by the time that is looked back on and by `maximumOpen`.
struct LiveBars: Sendable {
    struct Rules: Sendable {
        /// The length of the intervals.
        var length: Int64 = 1_000_000
        /// How long after its end an interval closes.
        var lateness: Int64 = 250_000
        /// What is stamped further in the future than this is not believed.
        var ahead: Int64 = 5_000_000
        /// How long a bar of the source that was told as still growing is waited for after its end.
        var grace: Int64 = 5_000_000
        /// How far back a closed interval still takes late trades.
        var memory: Int64 = 600_000_000
        /// Intervals that may grow at once.
        var maximumOpen = 7_200
        /// Trades that are remembered to know them again.
        var maximumIdentities = 100_000
    }

    /// What became of something that the source told.
    enum Verdict: String, Sendable, CaseIterable {
        /// It is part of an interval that is not closed yet.
        case taken
        /// It changed a closed interval, which has a new version.
        case late
        /// It was told before.
        case duplicate
        /// It is of a kind that does not make prices.
        case unqualified
        /// It belongs to an interval of which nothing is remembered, or one before the beginning.
        case tooLate = "too_late"
        /// It is stamped in the future.
        case future
        /// Its interval was fetched as history, which has it.
        case covered
        /// It is no bar of this length, or too many intervals grow.
        case refused
    }

    /// An interval as it closed, or as it is now after it did.
    struct Closed: Sendable, Equatable {
        var start: Int64
        var end: Int64
        /// 0 as it closed, one more for each time that it changed since.
        var version: Int
        /// Nothing where nothing was traded.
        var prices: LivePrices?
    }

    fileprivate struct Interval: Sendable {
        var version = 0
        var prices: LivePrices?
        /// When the first and the last trade happened.
        var firstTime = Int64.max
        var lastTime = Int64.min
        var identities: [Int] = []
        /// The source says that it still grows.
        var grows = false
    }

    let rules: Rules
    private var sessions: LiveSessions
    /// Everything that ends by it is closed.
    private(set) var closedThrough: Int64
    /// Nothing that ends later closes while it is unknown what happened after it.
    private(set) var heldAt: Int64?
    /// The start of the last closed interval in which something was traded.
    private(set) var lastTraded = Int64.min
    private var open: [Int64: Interval] = [:]
    private var closed: [Int64: Interval] = [:]
    /// Starts of the remembered intervals as they closed, or changed for the first time.
    private var closedOrder: [Int64] = []
    private var revised: Set<Int64> = []
    private var identities: Set<Int> = []
    /// Nothing is remembered of intervals that start before.
    private var rememberedFrom: Int64
    /// The start of the latest interval that something was told of, which is when those before it are over.
    private var toldThrough: Int64
    /// Stretches that were fetched as history.
    private var covered: [Range<Int64>] = []
    /// Stretches of which nobody knows what happened.
    private var lost: [Range<Int64>] = []

    /// Begins after what is closed already.
    init(rules: Rules, sessions: LiveSessions, closedThrough: Int64) {
        self.rules = rules
        self.sessions = sessions
        self.closedThrough = Self.floor(closedThrough + rules.length - 1, rules.length)
        rememberedFrom = self.closedThrough
        toldThrough = self.closedThrough
    }

    /// How many intervals are held in memory.
    var remembered: (open: Int, closed: Int, identities: Int) { (open.count, closed.count, identities.count) }

    // MARK: In

    /// Takes a trade that came at `present`.
    mutating func take(_ trade: SourceTrade, present: Int64) -> Verdict {
        guard trade.qualifies, trade.price.isFinite else { return .unqualified }
        let time = trade.time?.microseconds ?? present
        guard time <= present + rules.ahead else { return .future }
        let start = Self.floor(time, rules.length)
        if let refusal = refusal(ofStart: start) { return refusal }
        let identity = Self.identity(of: trade)
        if let identity, identities.contains(identity) { return .duplicate }
        let isLate = start + rules.length <= closedThrough
        var interval = (isLate ? closed[start] : open[start]) ?? Interval()
        if !isLate, open[start] == nil, open.count >= rules.maximumOpen { return .refused }
        interval.add(trade, time: time)
        if let identity { remember(identity, in: &interval) }
        if isLate { revise(start, interval) } else { open[start] = interval }
        toldThrough = max(toldThrough, start)
        return isLate ? .late : .taken
    }

    /// Takes a bar that the source built, as it came at `present`.
    mutating func take(_ bar: SourceBar, present: Int64) -> Verdict {
        let start = bar.start.microseconds
        guard Int64(bar.seconds) * 1_000_000 == rules.length, Self.floor(start, rules.length) == start,
            [bar.open, bar.high, bar.low, bar.close].allSatisfy(\.isFinite)
        else { return .refused }
        let end = start + rules.length
        guard (bar.state == .running ? start : end) <= present + rules.ahead else { return .future }
        if let refusal = refusal(ofStart: start) { return refusal }
        let prices = LivePrices(open: bar.open, high: bar.high, low: bar.low, close: bar.close, volume: bar.volume, trades: bar.trades)
        if end <= closedThrough {
            // What the source says of a running bar after its end is older than what closed.
            guard bar.state != .running else { return .tooLate }
            var interval = closed[start] ?? Interval()
            guard interval.prices != prices else { return .duplicate }
            interval.prices = prices
            revise(start, interval)
            return .late
        }
        var interval = open[start] ?? Interval()
        if open[start] == nil, open.count >= rules.maximumOpen { return .refused }
        if bar.state == .running, interval.prices != nil, !interval.grows { return .duplicate }
        if bar.state != .running, !interval.grows, interval.prices == prices { return .duplicate }
        interval.prices = prices
        interval.grows = bar.state == .running
        open[start] = interval
        toldThrough = max(toldThrough, bar.state == .running ? start : end)
        return .taken
    }

    // MARK: Out

    /// Up to where it may close: intervals that ended `lateness` ago, and those before the latest that something was told of.
    ///
    /// - Parameter observed: up to when it is known that the source would have told; nothing while it would not.
    func reach(present: Int64, observed: Int64?) -> Int64 {
        var reach = min(toldThrough, Self.floor(present + rules.ahead, rules.length))
        if let observed, observed > closedThrough { reach = max(reach, Self.floor(min(present - rules.lateness, observed), rules.length)) }
        if let heldAt { reach = min(reach, heldAt) }
        for (start, interval) in open where interval.grows && start < reach && present < start + rules.length + rules.grace { reach = start }
        return max(reach, closedThrough)
    }

    /// Closes everything that ends by an instant, in order; at most six hours in one go, so that the caller comes again if `closedThrough` is not there yet.
    mutating func close(through instant: Int64) -> [Closed] {
        let to = min(Self.floor(instant, rules.length), closedThrough + 21_600_000_000, heldAt ?? .max)
        guard to > closedThrough else { return [] }
        let from = closedThrough
        var ends = sessions.markers(after: from, through: to, length: rules.length).filter { end in !lost.contains { $0.contains(end - 1) } }
        let told = open.keys.filter { $0 + rules.length <= to }
        if !told.isEmpty { ends = Set(ends).union(told.map { $0 + rules.length }).sorted() }
        var closes: [Closed] = []
        closes.reserveCapacity(ends.count)
        for end in ends {
            let start = end - rules.length
            let interval = open.removeValue(forKey: start) ?? Interval()
            closes.append(Closed(start: start, end: end, version: 0, prices: interval.prices))
            if interval.prices != nil {
                closed[start] = interval
                closedOrder.append(start)
                lastTraded = max(lastTraded, start)
            }
        }
        closedThrough = to
        forget()
        return closes
    }

    /// The closed intervals that changed since this was asked last.
    mutating func revisions() -> [Closed] {
        guard !revised.isEmpty else { return [] }
        defer { revised = [] }
        return revised.sorted().compactMap { start in
            guard closed[start] != nil else { return nil }
            closed[start]?.version += 1
            return Closed(start: start, end: start + rules.length, version: closed[start]?.version ?? 1, prices: closed[start]?.prices)
        }
    }

    /// Whether bars that end at an instant, and begin at another, are told of: a session is open, or something was traded all the same.
    mutating func tells(of bar: Range<Int64>) -> Bool { lastTraded >= bar.lowerBound || sessions.isOpen(in: bar) }

    // MARK: Holes

    /// What happened from an instant on is not known: nothing that ends after it closes until it is.
    mutating func hold(from instant: Int64) { heldAt = min(heldAt ?? .max, Self.floor(instant, rules.length)) }

    /// What happened in a stretch is known now: these bars, beside what was seen oneself. Gives how many of them lie in it. Of closed intervals that differ
    /// there are new versions. `next` is where the next hole begins.
    @discardableResult
    mutating func fill(_ stretch: Range<Int64>, with bars: [(start: Int64, prices: LivePrices)], heldAt next: Int64?) -> Int {
        var count = 0
        for (start, prices) in bars where stretch.contains(start) && Self.floor(start, rules.length) == start {
            count += 1
            if start + rules.length > closedThrough {
                let identities = open[start]?.identities ?? []
                open[start] = Interval(prices: prices, identities: identities)
            } else if start >= rememberedFrom, closed[start]?.prices != prices {
                var interval = closed[start] ?? Interval()
                interval.prices = prices
                revise(start, interval)
            }
        }
        // What the stream still tells of it, history has told.
        covered.append(stretch)
        heldAt = next
        return count
    }

    /// What happened in a stretch will never be known: what was seen of it closes, and nothing is said of the rest.
    mutating func giveUp(_ stretch: Range<Int64>, heldAt next: Int64?) {
        lost.append(stretch)
        heldAt = next
    }

    /// Whether an interval can be said to have closed at an instant: what happened just before it is known.
    func knowsClose(at instant: Int64) -> Bool { !lost.contains { $0.contains(instant - 1) } }

    // MARK: -

    /// Why nothing is taken of an interval.
    private func refusal(ofStart start: Int64) -> Verdict? {
        if covered.contains(where: { $0.contains(start) }) { return .covered }
        if start < rememberedFrom || start < closedThrough - rules.memory { return .tooLate }
        return nil
    }

    private mutating func revise(_ start: Int64, _ interval: Interval) {
        if closed[start] == nil { closedOrder.append(start) }
        closed[start] = interval
        revised.insert(start)
    }

    private mutating func remember(_ identity: Int, in interval: inout Interval) {
        // A busy instrument forgets those of its oldest intervals first; what is still remembered stays counted once.
        var at = 0
        while identities.count >= rules.maximumIdentities, at < closedOrder.count {
            for old in closed[closedOrder[at]]?.identities ?? [] { identities.remove(old) }
            closed[closedOrder[at]]?.identities = []
            at += 1
        }
        guard identities.count < rules.maximumIdentities else { return }
        identities.insert(identity)
        interval.identities.append(identity)
    }

    /// Forgets what is too long ago for a late trade.
    private mutating func forget() {
        let limit = closedThrough - rules.memory
        guard limit > rememberedFrom else { return }
        rememberedFrom = limit
        var kept = closedOrder[...]
        while let start = kept.first, start < limit {
            kept.removeFirst()
            if revised.contains(start) {
                // It is told first.
                closedOrder = Array(kept)
                closedOrder.append(start)
                return
            }
            for old in closed.removeValue(forKey: start)?.identities ?? [] { identities.remove(old) }
        }
        closedOrder = Array(kept)
        covered.removeAll { $0.upperBound <= limit }
        lost.removeAll { $0.upperBound <= limit }
    }

    private static func floor(_ instant: Int64, _ length: Int64) -> Int64 { floorDivide(instant, length) * length }

    /// What tells a trade from others; nothing where the source tells too little of it.
    private static func identity(of trade: SourceTrade) -> Int? {
        var hasher = Hasher()
        if let id = trade.id {
            hasher.combine(id)
            return hasher.finalize()
        }
        guard trade.totalVolume != nil else { return nil }
        hasher.combine(trade.time?.microseconds)
        for number in [trade.price, trade.size, trade.totalVolume] {
            switch number {
            case .exact(let mantissa, let scale):
                hasher.combine(mantissa)
                hasher.combine(scale)
            case .float(let value): hasher.combine(value)
            case nil: hasher.combine(0)
            }
        }
        return hasher.finalize()
    }
}

extension LiveBars.Interval {
    /// Sorts a trade in by its time; of the same time the one that came first is the first.
    fileprivate mutating func add(_ trade: SourceTrade, time: Int64) {
        defer {
            firstTime = min(firstTime, time)
            lastTime = max(lastTime, time)
        }
        guard var known = prices else {
            prices = LivePrices(open: trade.price, high: trade.price, low: trade.price, close: trade.price, volume: trade.size, trades: 1)
            return
        }
        if time < firstTime { known.open = trade.price }
        if time >= lastTime { known.close = trade.price }
        if known.high.isLess(than: trade.price) { known.high = trade.price }
        if trade.price.isLess(than: known.low) { known.low = trade.price }
        known.volume = known.volume?.adding(trade.size)
        known.trades = known.trades.map { $0 + 1 }
        prices = known
    }
}
