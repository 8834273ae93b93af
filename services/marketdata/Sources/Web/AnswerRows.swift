import Bars
import Contracts

/// One bar of an answer.
struct AnswerRow: Sendable {
    var start: Timestamp
    var end: Timestamp
    var open: DecimalNumber?
    var high: DecimalNumber?
    var low: DecimalNumber?
    var close: DecimalNumber?
    var volume: DecimalNumber?
    var trades: Int64?

    /// The row, if it can be true: its four prices are there, the highest is the highest and the lowest the lowest, and its volume is told where the source
    /// always tells it.
    func checked(hasVolume: Bool = true) throws(SourceError) -> AnswerRow {
        guard let open, let high, let low, let close else { throw .broken("a bar without its four prices") }
        guard volume != nil || !hasVolume else { throw .broken("a bar at \(start) without a volume that can be read") }
        guard high.double >= max(open.double, close.double), low.double <= min(open.double, close.double) else {
            throw .broken("a bar at \(start) whose high or low is none")
        }
        guard volume.map({ $0.double >= 0 }) ?? true else { throw .broken("a bar at \(start) with a negative volume") }
        return self
    }
}

/// One trade of an answer, or several that were put together into one.
struct AnswerTrade: Sendable {
    var id: Int64
    var time: Timestamp
    var price: DecimalNumber
    var size: DecimalNumber
    var trades: Int64 = 1
}

/// Collects the bars of a source's answers, and makes of them what an import of a file would give.
struct AnswerRows: Sendable {
    /// What ended so short a time ago may still get a trade.
    static let settling = Duration.seconds(5)

    private var raw = RawRows()
    private var ends: [Int64: Int64] = [:]
    private var trades: [Int64: Int64] = [:]
    private var problems = RowProblems()
    private(set) var count = 0

    /// Adds a bar; one without any trade is none, as intervals without trades have no bar.
    mutating func append(_ row: AnswerRow) {
        count += 1
        if row.trades == 0 { return }
        let stamp = row.start.microseconds
        ends[stamp] = row.end.microseconds
        if let number = row.trades { trades[stamp] = number }
        raw.append(
            line: count,
            stamp: stamp,
            open: row.open,
            high: row.high,
            low: row.low,
            close: row.close,
            volume: row.volume,
            day: CivilDay(utcMicroseconds: stamp),
            problems: &problems
        )
    }

    /// The bars that start in the range and were over when they were asked for; nothing where there are none. An answer with one bad row is broken.
    func file(
        of request: HistoryRequest,
        interval: BarInterval,
        assetClass: AssetClass,
        askedAt: Timestamp,
        notes: [String]
    ) throws(SourceError) -> ImportedFile? {
        var problems = problems
        let bars: BarSeries
        do {
            bars = try raw.series(volumesAreKnown: true, problems: &problems) { stamp in stamp..<(ends[stamp] ?? stamp) }
        } catch { throw .broken(error.detail) }
        guard problems.isEmpty else { throw .broken(problems.summary) }
        var counted = bars
        if !trades.isEmpty, trades.count == bars.count { counted.trades = bars.starts.map { trades[$0] ?? 0 } }
        let series = ImportedSeries(intervalSeconds: interval.seconds, side: .trade, origin: .imported, bars: counted, coverage: 0..<1)
        return try Self.file(series, rows: count, of: request, assetClass: assetClass, askedAt: askedAt, notes: notes)
    }

    /// A series as an import of a file would give it, cut to what was asked for and was over.
    ///
    /// It speaks for bars that start so early that the longest of them were over: the one that was not, which may not even be in the answer yet, is asked
    /// for again.
    static func file(
        _ series: ImportedSeries,
        rows: Int,
        of request: HistoryRequest,
        assetClass: AssetClass,
        askedAt: Timestamp,
        notes: [String]
    ) throws(SourceError) -> ImportedFile? {
        let over = (askedAt - settling).microseconds
        let known = min(request.range.upperBound.microseconds, over - Int64(request.kind.longestSeconds) * 1_000_000)
        let (bars, from) = (series.bars, request.range.lowerBound.microseconds)
        let first = bars.firstRow(startingFrom: from)
        var last = bars.firstRow(startingFrom: request.range.upperBound.microseconds)
        while last > first, bars.ends[last - 1] > over { last -= 1 }
        guard first < last else { return nil }
        var kept = series
        kept.bars = bars.slice(first..<last)
        kept.coverage = min(from, kept.bars.starts[0])..<max(known, kept.bars.ends[last - first - 1])
        let identity: (symbol: String, assetClass: AssetClass, calendar: ExchangeCalendar)
        do {
            let options = ImportOptions(symbol: request.instrument, assetClass: request.assetClass, calendar: request.calendar)
            identity = try ImportSource(name: SourceName(path: "source"), text: [], options: options).identity(symbol: nil, assetClass: assetClass)
        } catch { throw .notSupported(error.detail) }
        return ImportedFile(
            layout: .sourceAnswer,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [kept],
            rows: rows,
            problems: RowProblems(),
            notes: notes
        )
    }
}

/// Collects trades of the past, and puts them together into bars of one second.
struct AnswerTrades: Sendable {
    private var ticks = TickCollector()
    private var order = TickOrder()
    private var counts: [Int64: Int64] = [:]
    private(set) var count = 0

    /// Adds a trade that is not earlier than the one before.
    mutating func append(_ trade: AnswerTrade) {
        count += 1
        ticks.append(time: trade.time.microseconds, price: trade.price, size: trade.size)
        order.append(time: trade.time.microseconds, line: count)
        counts[floorDivide(trade.time.microseconds, 1_000_000) * 1_000_000, default: 0] += trade.trades
    }

    /// The bars of one second as an import of a file would give them.
    func file(of request: HistoryRequest, assetClass: AssetClass, askedAt: Timestamp, notes: [String]) throws(SourceError) -> ImportedFile? {
        guard count > 0 else { return nil }
        var problems = RowProblems()
        var series: ImportedSeries
        do { series = try TradeSeconds.series(ticks, order, &problems) } catch { throw .broken(error.detail) }
        guard problems.isEmpty else { throw .broken(problems.summary) }
        series.bars.trades = series.bars.starts.map { counts[$0] ?? 0 }
        let all = notes + ["trades are put together into bars of one second"]
        return try AnswerRows.file(series, rows: count, of: request, assetClass: assetClass, askedAt: askedAt, notes: all)
    }
}
