import Bars

/// Tables of any sensible layout: bars, trades or quotes, by the names of their columns in any order or by what stands in them.
enum TableReader {
    static func read(_ layout: TableLayout, _ source: ImportSource) throws(ImportError) -> ImportedFile {
        switch layout.columns.content {
        case .bars(let sides): return try readBars(layout, sides, source)
        case .trades, .quotes: return try readTicks(layout, source)
        }
    }

    /// What the rows of a table are.
    static func layout(of table: TableLayout) -> ImportLayout {
        switch table.columns.content {
        case .bars: .csvBars
        case .trades: .csvTrades
        case .quotes: .csvQuotes
        }
    }

    // MARK: Rows

    /// Reads the times of a file's rows, and tells which of the rows are meant.
    private struct Times {
        let columns: TableColumns
        let order: DateOrder?
        /// The zone of the clock that the rows show, and whether anybody said so.
        let zone: ZoneRules
        let zoneIsTold: Bool
        /// Whether rows say their own zone, as the first one does; they are kept as UTC.
        let carryZones: Bool
        /// The instrument that was asked for, where rows name theirs.
        let wanted: String?
        private(set) var named: String?
        private(set) var others = 0
        private(set) var isDateOnly = true

        init(_ layout: TableLayout, _ source: ImportSource) throws(ImportError) {
            columns = layout.columns
            order = try layout.dateOrder(source.options.dateOrder)
            let symbol = source.options.symbol?.uppercased()
            var carryZones = false
            var isNamed = false
            var isFirst = true
            layout.text.forEachRow(fromLine: layout.firstLine) { row in
                if isFirst { carryZones = MomentText(row.bytes(layout.columns.date))?.offset != nil }
                isFirst = false
                guard let column = layout.columns.symbol, let symbol else { return false }
                isNamed = TableColumns.symbol(row.text(column)) == symbol
                return !isNamed
            }
            self.carryZones = carryZones
            // A file of one instrument may call it otherwise.
            wanted = isNamed ? symbol : nil
            let said = layout.columns.zone ?? layout.zone ?? source.name.vendorZone
            zoneIsTold = source.options.timeZone != nil || said != nil
            zone = carryZones ? .utc : try source.zone(said ?? "UTC")
        }

        /// What a row says of its time.
        enum Reading {
            /// Microseconds since 1970 on the clock of the file's zone.
            case local(Int64)
            case unreadable
            /// Of another instrument than the one asked for.
            case passedOver
        }

        mutating func read(_ row: TableText.Row) throws(ImportError) -> Reading {
            if let column = columns.symbol {
                let name = row.text(column)
                if let wanted, TableColumns.symbol(name) != wanted {
                    others += 1
                    return .passedOver
                }
                if let named, named != name, wanted == nil {
                    throw .badOption(
                        name: "symbol",
                        reason: "the file holds several instruments, such as \(named.prefix(40)) and \(name.prefix(40)): one of them would be right"
                    )
                }
                if named == nil { named = name }
            }
            guard let moment = MomentText(row.bytes(columns.date)), let written = moment.microseconds(order) else { return .unreadable }
            var local = written
            if let column = columns.time {
                guard local % 86_400_000_000 == 0, moment.offset == nil, let time = MomentText.timeOfDay(row.bytes(column)) else {
                    return .unreadable
                }
                local += time
            } else if moment.isDateOnly {
                return .local(local)
            }
            isDateOnly = false
            guard (moment.offset != nil) == carryZones else { return .unreadable }
            return .local(local - Int64(moment.offset ?? 0) * 1_000_000)
        }

        /// The instant of a time on the clock of the file's zone.
        func instant(_ local: Int64) -> Int64 {
            let seconds = floorDivide(local, 1_000_000)
            return zone.utc(fromLocal: seconds) * 1_000_000 + (local - seconds * 1_000_000)
        }
    }

    private static func notes(_ layout: TableLayout, _ times: Times) -> [String] {
        var notes = layout.notes
        if let order = times.order { notes.append("dates are read as \(order == .monthDayYear ? "month, day, year" : "day, month, year")") }
        if !times.isDateOnly {
            if times.carryZones {
                notes.append("times say their own zone")
            } else if !times.zoneIsTold {
                notes.append("times are read as UTC: nothing says otherwise")
            } else if times.zone.identifier != "UTC" {
                notes.append("times are read in \(times.zone.identifier)")
            }
        }
        if times.others > 0 { notes.append("\(times.others) rows of other instruments are passed over") }
        return notes
    }

    private static func unreadable(_ row: TableText.Row, _ columns: TableColumns) -> String {
        let seen = [columns.date, columns.time].compactMap { $0 }.map { String(row.text($0).prefix(24)) }.joined(separator: " ")
        return "\(seen) is not a date or time that is read, or is on another clock than the other rows"
    }

    /// A row's time, the row counted; nothing where the row is passed over or its time cannot be read, which is a problem.
    private static func stamp(
        of row: TableText.Row,
        _ times: inout Times,
        _ columns: TableColumns,
        _ rows: inout Int,
        _ problems: inout RowProblems
    ) throws(ImportError) -> Int64? {
        switch try times.read(row) {
        case .passedOver: return nil
        case .local(let stamp):
            rows += 1
            return stamp
        case .unreadable:
            rows += 1
            problems.add(line: row.line, column: "time", reason: unreadable(row, columns), day: nil)
            return nil
        }
    }

    // MARK: Bars

    private static func readBars(
        _ layout: TableLayout,
        _ sides: [PriceSide: TableColumns.Prices],
        _ source: ImportSource
    ) throws(ImportError) -> ImportedFile {
        var times = try Times(layout, source)
        var problems = RowProblems()
        var raws: [PriceSide: RawRows] = [:]
        // Where a bar begins is known once it is known how long bars are: until then a row's place among the rows stands for its day.
        var stamps: [Int64] = []
        var rows = 0
        let columns = layout.columns
        try layout.text.forEachRow(fromLine: layout.firstLine) { (row) throws(ImportError) in
            guard let stamp = try stamp(of: row, &times, columns, &rows, &problems) else { return true }
            let place = CivilDay(number: stamps.count)
            stamps.append(stamp)
            guard columns.fit(row) else {
                problems.add(line: row.line, column: "row", reason: "\(row.count) fields where \(columns.count) would be right", day: place)
                return true
            }
            for (side, prices) in sides {
                // An empty side of a quote is skipped, never zero.
                if side != .trade, prices.all.allSatisfy({ row.bytes($0).isEmpty || row.number($0)?.isZero == true }) { continue }
                let amount = prices.volume.flatMap { row.number($0) }
                if amount == nil, let volume = prices.volume, !Self.saysNothing(row.bytes(volume)) {
                    problems.add(line: row.line, column: "volume", reason: "a decimal number would be right", day: place)
                    continue
                }
                raws[side, default: RawRows()].append(
                    line: row.line,
                    stamp: stamp,
                    open: row.number(prices.open),
                    high: row.number(prices.high),
                    low: row.number(prices.low),
                    close: row.number(prices.close),
                    volume: amount,
                    day: place,
                    problems: &problems
                )
            }
            return true
        }
        guard rows > 0 else { throw .emptyFile }
        let (guessed, namedSide) = HeaderedReader.nameParts(source.name.stem)
        let identity = try source.identity(symbol: times.named.map(TableColumns.symbol) ?? guessed)
        let clock = try source.clock(identity.calendar)
        var notes = notes(layout, times)
        var series: [ImportedSeries] = []
        let present = [PriceSide.trade, .bid, .ask].compactMap { side in raws[side].map { (side, $0) } }
        if times.isDateOnly {
            problems.moveDays { CivilDay(utcMicroseconds: stamps[$0.number]) }
            let given = try source.periodOption()
            for (side, raw) in present {
                var said = notes
                var one = try PeriodPlacement.place(raw, clock: clock, given: given, problems: &problems, notes: &said)
                one.side = side
                series.append(one)
                if series.count == present.count { notes = said }
            }
        } else {
            // Both sides of a quote have one rhythm: that of the side with more rows.
            guard let longest = present.max(by: { $0.1.count < $1.1.count }) else { throw .badRows(problems) }
            let rhythm = try RowRhythm(longest.1, given: source.options.interval, problems: problems)
            let interval = rhythm.interval
            let stampsTheEnd = source.options.stamps.map { $0 == .end } ?? columns.namesTheEnd
            func span(_ stamp: Int64) -> Range<Int64> {
                let instant = times.instant(stamp)
                return stampsTheEnd ? instant - interval..<instant : instant..<instant + interval
            }
            problems.moveDays { CivilDay(utcMicroseconds: span(stamps[$0.number]).lowerBound) }
            if stampsTheEnd { notes.append("rows were stamped at the end of their bar and are shifted to its start") }
            for (side, raw) in present {
                let seconds = Int(interval / 1_000_000)
                let strays = side == longest.0 ? rhythm.strays : try RowRhythm(raw, given: BarInterval(seconds: seconds), problems: problems).strays
                let bars = try raw.series(volumesAreKnown: true, strays: strays, problems: &problems, span: span)
                let coverage = (bars.starts.first ?? 0)..<(bars.ends.last ?? 1)
                series.append(ImportedSeries(intervalSeconds: seconds, side: side, origin: .imported, bars: bars, coverage: coverage))
            }
        }
        if series.count == 1, sides[.trade] != nil { series[0].side = source.options.side ?? namedSide ?? source.name.vendorSide ?? .trade }
        return ImportedFile(
            layout: .csvBars,
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: series,
            rows: rows,
            problems: problems,
            notes: notes
        )
    }

    // MARK: Trades and quotes

    private static func readTicks(_ layout: TableLayout, _ source: ImportSource) throws(ImportError) -> ImportedFile {
        if source.options.stamps == .end { throw .badOption(name: "stamps", reason: "trades and quotes have no end") }
        var times = try Times(layout, source)
        var problems = RowProblems()
        var trades = TickCollector()
        var quotes = QuoteCollector()
        var order = TickOrder()
        var rows = 0
        let columns = layout.columns
        try layout.text.forEachRow(fromLine: layout.firstLine) { (row) throws(ImportError) in
            guard let stamp = try stamp(of: row, &times, columns, &rows, &problems) else { return true }
            let time = times.instant(stamp)
            let day = CivilDay(utcMicroseconds: time)
            guard columns.fit(row) else {
                problems.add(line: row.line, column: "row", reason: "\(row.count) fields where \(columns.count) would be right", day: day)
                return true
            }
            switch columns.content {
            case .bars: break
            case .trades(let price, let size):
                let amount = size.flatMap { row.number($0) }
                guard let value = row.number(price), size == nil || amount.map({ $0.double >= 0 }) == true else {
                    problems.add(line: row.line, column: "price", reason: "price and size as decimal numbers would be right", day: day)
                    return true
                }
                trades.append(time: time, price: value, size: amount)
                order.append(time: time, line: row.line)
            case .quotes(let bid, let ask, let bidSize, let askSize):
                func isReadable(_ column: Int) -> Bool { row.number(column) != nil || Self.saysNothing(row.bytes(column)) }
                guard isReadable(bid), isReadable(ask) else {
                    problems.add(line: row.line, column: "bid", reason: "bid and ask as decimal numbers would be right", day: day)
                    return true
                }
                let took = quotes.append(
                    time: time,
                    bid: row.number(bid),
                    bidSize: bidSize.flatMap { row.number($0) },
                    ask: row.number(ask),
                    askSize: askSize.flatMap { row.number($0) }
                )
                if took { order.append(time: time, line: row.line) }
            }
            return true
        }
        guard rows > 0 else { throw .emptyFile }
        if problems.hasUnreadableTime { throw .badRows(problems) }
        guard times.isDateOnly == false else { throw .unknownLayout("its trades have no time of day") }
        let identity = try source.identity(symbol: times.named.map(TableColumns.symbol) ?? HeaderedReader.nameParts(source.name.stem).symbol)
        let series: [ImportedSeries]
        if case .quotes = columns.content {
            series = try quotes.series(order.verdict(&problems))
        } else {
            series = [try TradeSeconds.series(trades, order, &problems)]
        }
        var notes = notes(layout, times)
        notes.append("\(layout.columns.isOfQuotes ? "quotes" : "trades") are put together into bars of one second")
        return ImportedFile(
            layout: Self.layout(of: layout),
            symbol: identity.symbol,
            assetClass: identity.assetClass,
            calendar: identity.calendar,
            series: series,
            rows: rows,
            problems: problems,
            notes: notes
        )
    }

    /// What programs write where they know nothing.
    private static func saysNothing(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        if bytes.isEmpty { return true }
        guard bytes.count <= 4 else { return false }
        return ["-", "--", "null", "nan", "n/a", "na", "none"].contains(String(decoding: bytes, as: UTF8.self).lowercased())
    }
}

extension TableColumns {
    /// Whether a row has as many fields as the table; some programs end their rows with a separator, but not their header.
    fileprivate func fit(_ row: TableText.Row) -> Bool { row.count == count || (row.count == count + 1 && row.bytes(count).isEmpty) }

    fileprivate var isOfQuotes: Bool { if case .quotes = content { true } else { false } }
}
