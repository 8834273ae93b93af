import Bars

/// Collects quotes row by row: each side for itself, and the middle where both are there.
struct QuoteCollector {
    private var bids = TickCollector()
    private var asks = TickCollector()
    private var middleBids = TickCollector()
    private var middleAsks = TickCollector()

    /// Takes a quote; an empty side or one of zero is skipped. Says whether anything was left.
    mutating func append(time: Int64, bid: DecimalNumber?, bidSize: DecimalNumber?, ask: DecimalNumber?, askSize: DecimalNumber?) -> Bool {
        let bid = bid.flatMap { $0.isZero ? nil : $0 }
        let ask = ask.flatMap { $0.isZero ? nil : $0 }
        if let bid { bids.append(time: time, price: bid, size: bidSize) }
        if let ask { asks.append(time: time, price: ask, size: askSize) }
        if let bid, let ask {
            middleBids.append(time: time, price: bid, size: nil)
            middleAsks.append(time: time, price: ask, size: nil)
        }
        return bid != nil || ask != nil
    }

    /// Bars of one second of each side, and of the exact middle.
    func series(_ verdict: TickOrder.Verdict) throws(ImportError) -> [ImportedSeries] {
        var made: [ImportedSeries] = []
        func add(_ ticks: TickSeries, _ side: PriceSide) {
            let bars = ticks.bars(grid: EpochGrid(intervalMicroseconds: 1_000_000), volumeRule: .last)
            let coverage = (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
            made.append(ImportedSeries(intervalSeconds: 1, side: side, origin: .derived, bars: bars, coverage: coverage))
        }
        if bids.count > 0 { add(try bids.finish(verdict), .bid) }
        if asks.count > 0 { add(try asks.finish(verdict), .ask) }
        let (bid, ask) = (try middleBids.finish(verdict), try middleAsks.finish(verdict))
        do {
            if !bid.times.isEmpty { add(try TickSeries(times: bid.times, prices: MidPrice.middle(bid.prices, ask.prices), sizes: nil), .mid) }
        } catch {
            throw .unknownLayout(error.description)
        }
        return made
    }
}
