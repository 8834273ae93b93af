import Bars

/// freqtrade's JSON: bars `[epoch ms, open, high, low, close, volume]` and trades `[ms, id, type, side, price, amount, cost]`, one array of rows.
enum FreqtradeReader {
    static func readBars(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        let words = source.name.stem.split(separator: "-").map(String.init)
        let identity = try source.identity(symbol: words.first, assetClass: .crypto)
        var problems = RowProblems()
        var raw = RawRows()
        var rows = 0
        try JSONRows(source.text).readRows { row in
            rows += 1
            guard let milliseconds = row.integer(0) else {
                problems.add(line: row.line, column: "time", reason: "milliseconds since 1970 would be right", day: nil)
                return
            }
            let day = CivilDay(utcMicroseconds: milliseconds * 1_000)
            guard row.count == 6, let volume = row.number(5) else {
                problems.add(line: row.line, column: "volume", reason: "six numbers would be right", day: day)
                return
            }
            raw.append(
                line: row.line,
                stamp: milliseconds * 1_000,
                open: row.number(1),
                high: row.number(2),
                low: row.number(3),
                close: row.number(4),
                volume: volume,
                day: day,
                problems: &problems
            )
        }
        guard rows > 0 else { throw .emptyFile }
        let named = words.dropFirst().first.flatMap { try? BarInterval(text: $0) }
        let series = try RowRhythm(raw, given: source.options.interval ?? named, problems: problems).series(of: raw, problems: &problems)
        return ImportedFile(
            layout: .freqtradeBars,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [series],
            rows: rows,
            problems: problems,
            notes: []
        )
    }

    static func readTrades(_ source: ImportSource) throws(ImportError) -> ImportedFile {
        let identity = try source.identity(symbol: source.name.stem.split(separator: "-").first.map(String.init), assetClass: .crypto)
        var problems = RowProblems()
        var ticks = TickCollector()
        var order = TickOrder()
        var rows = 0
        try JSONRows(source.text).readRows { row in
            rows += 1
            guard let milliseconds = row.integer(0) else {
                problems.add(line: row.line, column: "time", reason: "milliseconds since 1970 would be right", day: nil)
                return
            }
            guard row.count == 7, let price = row.number(4), let amount = row.number(5), amount.double >= 0 else {
                let day = CivilDay(utcMicroseconds: milliseconds * 1_000)
                problems.add(line: row.line, column: "price", reason: "price and amount as numbers would be right", day: day)
                return
            }
            ticks.append(time: milliseconds * 1_000, price: price, size: amount)
            order.append(time: milliseconds * 1_000, line: row.line)
        }
        guard rows > 0 else { throw .emptyFile }
        let series = try TradeSeconds.series(ticks, order, &problems)
        return ImportedFile(
            layout: .freqtradeTrades,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: [series],
            rows: rows,
            problems: problems,
            notes: ["trades are put together into bars of one second"]
        )
    }
}

/// The rows of a JSON array of arrays of plain values; the text of each number is kept as it stands.
struct JSONRows {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func readRows(_ body: (DelimitedText.Row) -> Void) throws(ImportError) {
        var at = 0
        var line = 0
        var edges: [Int] = []
        func skipBlanks() { while at < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[at]) { at += 1 } }
        func take(_ byte: UInt8) -> Bool {
            skipBlanks()
            guard at < bytes.count, bytes[at] == byte else { return false }
            at += 1
            return true
        }
        func field() -> Range<Int>? {
            skipBlanks()
            guard at < bytes.count else { return nil }
            if bytes[at] == 0x22 {
                let start = at + 1
                at += 1
                while at < bytes.count, bytes[at] != 0x22 { at += bytes[at] == 0x5C ? 2 : 1 }
                guard at < bytes.count else { return nil }
                at += 1
                return start..<(at - 1)
            }
            let start = at
            while at < bytes.count, ![0x2C, 0x5D, 0x20, 0x0A, 0x0D, 0x5B, 0x7B].contains(bytes[at]) { at += 1 }
            return at > start ? start..<at : nil
        }
        guard take(0x5B) else { throw .unknownLayout("it is not a JSON array") }
        if take(0x5D) { return }
        repeat {
            line += 1
            guard take(0x5B) else { throw .unknownLayout("row \(line) is not an array of plain values") }
            edges.removeAll(keepingCapacity: true)
            if !take(0x5D) {
                repeat {
                    guard let range = field() else { throw .unknownLayout("row \(line) is not an array of plain values") }
                    edges.append(range.lowerBound)
                    edges.append(range.upperBound)
                } while take(0x2C)
                guard take(0x5D) else { throw .unknownLayout("row \(line) does not end") }
            }
            bytes.withUnsafeBufferPointer { body(DelimitedText.Row(line: line, buffer: $0, edges: edges)) }
        } while take(0x2C)
        guard take(0x5D) else { throw .unknownLayout("the array does not end after row \(line)") }
        skipBlanks()
        guard at == bytes.count else { throw .unknownLayout("something follows the array") }
    }
}
