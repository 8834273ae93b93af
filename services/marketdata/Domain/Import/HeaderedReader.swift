import Bars

/// CSV files whose header names the columns, in any order, perhaps after a banner: bars (`open high low close`) and trades (`price amount`).
enum HeaderedReader {
    private struct Columns {
        var line: Int
        var count: Int
        var index: [String: Int] = [:]

        func first(_ names: String...) -> Int? { names.lazy.compactMap { index[$0] }.first }

        /// The volume in units of the instrument: of `volume_btc` and `volume`, or `volume btc` and `volume usd`, the one that is not money.
        var volume: Int? {
            let money = ["usd", "usdt", "eur", "gbp", "quote"]
            let named = index.filter { name, _ in name.hasPrefix("volume_") || name.hasPrefix("volume ") }
            let base = named.filter { name, _ in !money.contains { name.hasSuffix($0) } }
            return base.min { $0.value < $1.value }?.value ?? index["volume"] ?? named.min { $0.value < $1.value }?.value
        }
    }

    static func readBars(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        let text = DelimitedText(source.text, separator: 0x2C)
        let columns = header(text) { $0.isSuperset(of: ["open", "high", "low", "close"]) }
        guard let columns, let open = columns.first("open"), let high = columns.first("high"), let low = columns.first("low"),
            let close = columns.first("close")
        else { throw .unknownLayout("it has no header with open, high, low and close") }
        let time =
            columns.first("time", "date", "datetime", "timestamp", "timestamp_utc", "date time", "open time", "unix timestamp", "unix", "") ?? 0
        let volume = columns.volume
        let symbolColumn = columns.first("symbol", "ticker")
        var named: String?
        var problems = RowProblems()
        var raw = RawRows()
        var rows = 0
        var dateOnly = true
        let zone = try source.zone("UTC")
        let fields = PlainBarText.Fields(separator: 0x2C, count: columns.count, time: time, prices: [open, high, low, close], volume: volume)
        if symbolColumn == nil, let plain = PlainBarText(text.bytes, from: text.offset(ofLine: columns.line + 1), fields: fields) {
            raw = RawRows(plain, firstLine: columns.line + 1)
            rows = raw.count
            dateOnly = plain.isDateOnly
        } else {
            text.forEachRow(fromLine: columns.line + 1) { row in
                rows += 1
                guard let stamp = TimeText.parse(row.bytes(time)) else {
                    problems.add(line: row.line, column: "time", reason: "\(row.text(time).prefix(24)) is not a date or time that is read", day: nil)
                    return
                }
                dateOnly = dateOnly && stamp.isDateOnly
                if let symbolColumn, named == nil { named = row.text(symbolColumn) }
                let day = stamp.day(in: zone)
                guard row.count == columns.count else {
                    problems.add(line: row.line, column: "row", reason: "\(row.count) fields where \(columns.count) would be right", day: day)
                    return
                }
                let amount = volume.flatMap { row.number($0) }
                if amount == nil, let volume, !row.bytes(volume).isEmpty {
                    problems.add(line: row.line, column: "volume", reason: "a decimal number would be right", day: day)
                    return
                }
                raw.append(
                    line: row.line,
                    stamp: stamp.microseconds,
                    open: row.number(open),
                    high: row.number(high),
                    low: row.number(low),
                    close: row.number(close),
                    volume: amount,
                    day: day,
                    problems: &problems
                )
            }
        }
        guard rows > 0 else { throw .emptyFile }
        let (guessed, side) = nameParts(source.name.stem)
        let identity = try source.identity(symbol: named ?? guessed)
        let clock = try source.clock(identity.calendar)
        var notes: [String] = []
        var series: ImportedSeries
        if dateOnly {
            let given = try source.periodOption()
            series = try PeriodPlacement.place(raw, clock: clock, given: given, problems: &problems, notes: &notes)
        } else {
            let rhythm = try RowRhythm(raw, given: source.options.interval, problems: problems)
            series = try rhythm.series(of: raw, problems: &problems, zone: zone)
        }
        series.side = source.options.side ?? side ?? .trade
        return ImportedFile(
            layout: .csvBars,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [series],
            rows: rows,
            problems: problems,
            notes: notes
        )
    }

    static func readTrades(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        let text = DelimitedText(source.text, separator: 0x2C)
        let columns = header(text) { $0.contains("price") && ($0.contains("amount") || $0.contains("size")) }
        guard let columns, let price = columns.first("price"), let amount = columns.first("amount", "size") else {
            throw .unknownLayout("it has no header with price and amount")
        }
        let time = columns.first("time", "timestamp", "date", "id") ?? 0
        let isMtGox = ["mtgox", "mgtox"].contains { source.name.stem.lowercased().contains($0) }
        let identity = try source.identity(symbol: isMtGox ? "BTCUSD.MTGOX" : nil)
        let zone = try source.zone("UTC")
        var problems = RowProblems()
        var ticks = TickCollector()
        var order = TickOrder()
        var rows = 0
        text.forEachRow(fromLine: columns.line + 1) { row in
            rows += 1
            guard let stamp = TimeText.parse(row.bytes(time)) else {
                problems.add(
                    line: row.line,
                    column: "time",
                    reason: "an epoch in seconds to microseconds or a date with time would be right",
                    day: nil
                )
                return
            }
            let seconds = floorDivide(stamp.microseconds, 1_000_000)
            let instant = zone.utc(fromLocal: seconds) * 1_000_000 + (stamp.microseconds - seconds * 1_000_000)
            let day = CivilDay(utcMicroseconds: instant)
            guard row.count == columns.count, let value = row.number(price), let size = row.number(amount), size.double >= 0 else {
                problems.add(line: row.line, column: "price", reason: "price and amount as decimal numbers would be right", day: day)
                return
            }
            ticks.append(time: instant, price: value, size: size)
            order.append(time: instant, line: row.line)
        }
        guard rows > 0 else { throw .emptyFile }
        let series = try TradeSeconds.series(ticks, order, &problems)
        return ImportedFile(
            layout: .csvTrades,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [series],
            rows: rows,
            problems: problems,
            notes: ["trades are put together into bars of one second"]
        )
    }

    private static func header(_ text: DelimitedText, where isHeader: (Set<String>) -> Bool) -> Columns? {
        for (number, line) in text.firstLines(3).enumerated() {
            let names = line.lowercased().split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmedASCII }
            guard isHeader(Set(names)) else { continue }
            var columns = Columns(line: number + 1, count: names.count)
            for (index, name) in names.enumerated() where columns.index[name] == nil { columns.index[name] = index }
            return columns
        }
        return nil
    }

    /// `FOREX_EURUSD_1H_ASK` says EURUSD and ask, `Coinbase_BTCUSD_1h` and `STOCKS_GOOGL` their last symbol-like word, `GOOG` itself.
    private static func nameParts(_ stem: String) -> (symbol: String?, side: PriceSide?) {
        let words = stem.split { $0 == "_" || $0 == "-" }.map { $0.uppercased() }
        let side: PriceSide? = words.contains("ASK") ? .ask : words.contains("BID") ? .bid : nil
        let noise: Set<String> = [
            "FOREX", "STOCKS", "STOCK", "COINBASE", "BINANCE", "KRAKEN", "ASK", "BID", "SHARPE", "RATIO", "TEST", "DATA", "CSV",
        ]
        let candidates = words.filter { word in
            !noise.contains(word) && word.first?.isLetter == true && word.allSatisfy { $0.isASCII } || word.contains(".")
        }
        return (candidates.last { !["BARS", "MIN"].contains($0) } ?? candidates.first, side)
    }
}

/// Trades put together into bars of one second.
enum TradeSeconds {
    static func series(_ ticks: TickCollector, _ order: TickOrder, _ problems: inout RowProblems) throws(ImportError) -> ImportedSeries {
        let trades = try ticks.finish(order.verdict(&problems))
        let bars = trades.bars(grid: EpochGrid(intervalMicroseconds: 1_000_000))
        return ImportedSeries(
            intervalSeconds: 1,
            side: .trade,
            origin: .derived,
            bars: bars,
            coverage: (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
        )
    }
}
