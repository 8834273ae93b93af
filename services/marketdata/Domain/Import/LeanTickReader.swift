import Bars

/// Lean's tick files: trades (`ms,price,size[,exchange,condition,suspicious]`) and quotes (`ms,bid,ask`), put together into seconds.
enum LeanTickReader {
    /// Sale conditions (hex) of the trades that make Lean's own second bars; the others are sweeps, official prints and average prices.
    static let keptConditions: Set<String> = [
        "1", "2000", "4800", "42000", "102000", "2000000", "20000001", "20000002", "20002000", "20002008", "20002020", "20102000",
    ]

    static func read(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        guard let lean = source.name.lean, lean.date != nil else { throw .unknownLayout("it has no place in Lean's folders") }
        let market = try LeanMarket(lean, source)
        let midnight = try market.midnight(of: lean)
        var problems = RowProblems()
        var trades = TickCollector()
        var bids = TickCollector()
        var asks = TickCollector()
        var middleBids = TickCollector()
        var middleAsks = TickCollector()
        var order = TickOrder()
        var rows = 0
        let isQuote = lean.isQuote ?? false
        let isEquity = market.assetClass == .equity
        let fileDay = CivilDay(utcMicroseconds: market.zone.utc(fromLocal: midnight.seconds + 43_200) * 1_000_000)
        // A day's clock changes at most once; asking for each tick would dominate the reading.
        let noon = market.zone.utc(fromLocal: midnight.seconds + 43_200) - 43_200
        DelimitedText(source.text, separator: 0x2C).forEachRow { row in
            rows += 1
            guard let milliseconds = row.integer(0), milliseconds < 86_400_000 else {
                problems.add(line: row.line, column: "time", reason: "milliseconds since midnight would be right", day: fileDay)
                return
            }
            let local = midnight.seconds + milliseconds / 1_000
            let seconds = milliseconds < 14_400_000 ? market.zone.utc(fromLocal: local) : noon + milliseconds / 1_000
            let time = seconds * 1_000_000 + milliseconds % 1_000 * 1_000
            if isQuote {
                // Three fields are time, bid and ask; more are time, bid, its size, ask, its size.
                let hasSizes = row.count >= 5
                let (bid, ask) = (row.number(1), row.number(hasSizes ? 3 : 2))
                guard row.count == 3 || hasSizes, bid != nil || row.bytes(1).isEmpty, ask != nil || row.bytes(hasSizes ? 3 : 2).isEmpty else {
                    problems.add(line: row.line, column: "row", reason: "time, bid and ask, perhaps with sizes, would be right", day: fileDay)
                    return
                }
                // An empty side is skipped, never zero; without both there is no middle.
                let hasBid = bid.map { !$0.isZero } ?? false
                let hasAsk = ask.map { !$0.isZero } ?? false
                if hasBid || hasAsk { order.append(time: time, line: row.line) }
                if let bid, hasBid { bids.append(time: time, price: market.price(bid), size: hasSizes ? row.number(2) : nil) }
                if let ask, hasAsk { asks.append(time: time, price: market.price(ask), size: hasSizes ? row.number(4) : nil) }
                if let bid, let ask, hasBid, hasAsk {
                    middleBids.append(time: time, price: market.price(bid), size: nil)
                    middleAsks.append(time: time, price: market.price(ask), size: nil)
                }
                return
            }
            guard let price = market.price(row.number(1)), let size = row.number(2), size.double >= 0 else {
                problems.add(line: row.line, column: "price", reason: "price and size as decimal numbers would be right", day: fileDay)
                return
            }
            if isEquity, row.count > 4, !keptConditions.contains(row.text(4)) { return }
            order.append(time: time, line: row.line)
            trades.append(time: time, price: price, size: size)
        }
        guard rows > 0 else { throw .emptyFile }
        let coverage = market.zone.utc(fromLocal: midnight.seconds) * 1_000_000..<market.zone.utc(fromLocal: (midnight + 1).seconds) * 1_000_000
        var series: [ImportedSeries] = []
        func add(_ ticks: TickSeries, _ side: PriceSide) {
            let bars = ticks.bars(grid: EpochGrid(intervalMicroseconds: 1_000_000), volumeRule: side == .trade ? .sum : .last)
            series.append(ImportedSeries(intervalSeconds: 1, side: side, origin: .derived, bars: bars, coverage: coverage))
        }
        let verdict = order.verdict(&problems)
        if isQuote {
            if bids.count > 0 { add(try bids.finish(verdict), .bid) }
            if asks.count > 0 { add(try asks.finish(verdict), .ask) }
            let (bid, ask) = (try middleBids.finish(verdict), try middleAsks.finish(verdict))
            do {
                if !bid.times.isEmpty { add(try TickSeries(times: bid.times, prices: MidPrice.middle(bid.prices, ask.prices), sizes: nil), .mid) }
            } catch {
                throw .unknownLayout(error.description)
            }
        } else {
            add(try trades.finish(verdict), .trade)
        }
        return ImportedFile(
            layout: .leanTicks,
            symbol: market.symbol,
            assetClass: market.assetClass,
            calendar: market.calendar,
            series: series,
            rows: rows,
            problems: problems,
            notes: ["ticks are put together into bars of one second"]
        )
    }
}
