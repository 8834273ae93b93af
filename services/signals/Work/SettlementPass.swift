import Contracts

/// One look at a signal's predictions: what it has asked of marketdata once, it does not ask again.
struct SettlementPass {
    /// Windows with more base bars than this are measured by the signal's own, coarser bars.
    static let maximumBars = 20_000

    private struct Series: Hashable {
        var symbol: String
        var seconds: Int
    }

    /// Windows of a replay that are alike but for their moment.
    private struct Distance: Hashable {
        var series: Series
        /// From `as_of` to the window's end.
        var duration: Duration
    }

    private struct Window {
        /// Bars that start later than this count.
        var opensAfter: Timestamp
        var closesBy: Timestamp
    }

    private let market: any MarketData
    private let signalSeconds: Int
    private let now: Timestamp
    private var known: [String: InstrumentFacts?] = [:]
    /// Where the newest bars end that are known now.
    private var newest: [Series: Timestamp?] = [:]
    /// The first `as_of` whose window of a replay is not over.
    private var firstOpen: [Distance: Timestamp] = [:]

    init(market: any MarketData, signalSeconds: Int, now: Timestamp) {
        self.market = market
        self.signalSeconds = signalSeconds
        self.now = now
    }

    /// The outcome, or nil when it is too early to tell.
    mutating func outcome(of item: PendingOutcome) async throws -> RealisedOutcome? {
        let stored = item.prediction
        let isOver = now >= item.giveUpAt
        // Whether the prediction counts depends on its seal, so the seal comes first.
        guard stored.seal != nil || isOver else { return nil }
        guard let facts = try await facts(of: stored.statement.row.instrument) else {
            return isOver ? .unresolved("the instrument is not known any more") : nil
        }
        let base = max(1, facts.baseIntervalSeconds)
        // Which bars an instrument has can change with every import: where its finest cannot be had, the signal's own will do. Not so on a replay: part of
        // a coarser bar may have been released when the prediction was made.
        let intervals = stored.statement.feed == .live && signalSeconds != base ? [base, signalSeconds] : [base]
        for seconds in intervals {
            do {
                if let measured = try await measure(stored, baseSeconds: seconds) { return measured }
                return isOver ? .unresolved("the bars of the window did not come in time") : nil
            } catch is BarsRefused {
                continue
            }
        }
        return isOver ? .unresolved("there are no bars to measure the window by") : nil
    }

    /// What the bars say, or nil while bars of the window may still come.
    private mutating func measure(_ stored: StoredPrediction, baseSeconds: Int) async throws -> RealisedOutcome? {
        let row = stored.statement.row
        let isLive = stored.statement.feed == .live
        guard
            let window = isLive
                ? try await liveWindow(stored, baseSeconds: baseSeconds) : try await replayWindow(stored, baseSeconds: baseSeconds)
        else { return nil }
        let length = max(0, (window.closesBy - window.opensAfter).components.seconds)
        let seconds = length / Int64(baseSeconds) > Self.maximumBars ? max(baseSeconds, signalSeconds) : baseSeconds
        let bars = try await market.bars(row.instrument, intervalSeconds: seconds, asOf: now, start: window.opensAfter, end: window.closesBy)
        let isEmpty = !bars.contains { $0.start > window.opensAfter && $0.end <= window.closesBy }
        // Days can be imported in any order: bars after the window do not say that those of the window are not coming. A window in which no bar finds
        // room has none to wait for.
        if isLive, isEmpty, length >= Int64(baseSeconds) { return nil }
        return Settlement.outcome(value: row.value, kind: row.kind, opensAfter: window.opensAfter, closesBy: window.closesBy, bars: bars)
    }

    /// Live bars open by the clock on the wall: the first that opens after the prediction was made, and not before its window.
    ///
    /// An outcome is for ever, and bars may come late or in parts: the window is over when bars are known through its end.
    private mutating func liveWindow(_ stored: StoredPrediction, baseSeconds: Int) async throws -> Window? {
        let row = stored.statement.row
        guard now >= row.targetTo, let newest = try await newestEnd(row.instrument, seconds: baseSeconds), newest >= row.targetTo else { return nil }
        return Window(opensAfter: max(stored.entry.madeAt, row.targetFrom - .microseconds(1)), closesBy: row.targetTo)
    }

    /// Bars of a replay keep their old times; nothing of one is known before it is released. Measured on the knowledge clock, a bar therefore opens after
    /// the prediction if nothing of it had been released when that was made. A window that is told in today's time is moved to the bars' time.
    ///
    /// What had been released is looked up in the finest bars: of a coarser one, part may have been known.
    ///
    /// The windows of later moments are over later, so that behind one that is not over yet nothing is asked: a signal of each second on a replay of hours
    /// has thousands of them.
    private mutating func replayWindow(_ stored: StoredPrediction, baseSeconds: Int) async throws -> Window? {
        let (row, asOf) = (stored.statement.row, stored.statement.asOf)
        let distance = Distance(series: Series(symbol: row.instrument, seconds: baseSeconds), duration: row.targetTo - asOf)
        if let first = firstOpen[distance], first <= asOf { return nil }
        guard let newest = try await newestEnd(row.instrument, seconds: baseSeconds),
            let atStart = try await market.lastBar(row.instrument, intervalSeconds: baseSeconds, asOf: asOf)?.end
        else { return nil }
        let shift = ReplayClock.shift(targetFrom: row.targetFrom, asOf: asOf, knownAtAsOf: atStart)
        let closesBy = row.targetTo + shift
        guard newest >= closesBy else {
            firstOpen[distance] = asOf
            return nil
        }
        let madeAt = stored.entry.madeAt
        guard let whenMade = try await market.lastBar(row.instrument, intervalSeconds: baseSeconds, asOf: madeAt)?.end else { return nil }
        return Window(opensAfter: max(whenMade, row.targetFrom + shift) - .microseconds(1), closesBy: closesBy)
    }

    private mutating func facts(of symbol: String) async throws -> InstrumentFacts? {
        if let known = known[symbol] { return known }
        let found = try await market.instrument(symbol)
        known[symbol] = .some(found)
        return found
    }

    private mutating func newestEnd(_ symbol: String, seconds: Int) async throws -> Timestamp? {
        let series = Series(symbol: symbol, seconds: seconds)
        if let known = newest[series] { return known }
        let found = try await market.lastBar(symbol, intervalSeconds: seconds, asOf: now)?.end
        newest[series] = .some(found)
        return found
    }
}
