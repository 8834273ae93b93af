import Bars

/// Turns the bytes of a vendor's file into bars: unpacks it, finds out its layout and reads it. No I/O.
enum FileImporter {
    /// Reads a file; `path` may be a bare name, and more of the path tells more.
    static func read(_ bytes: [UInt8], path: String, options: ImportOptions = ImportOptions()) throws(ImportError) -> ImportedFile {
        guard !bytes.isEmpty else { throw .emptyFile }
        if let format = ForeignFormat(bytes) { throw .unsupportedLayout(format.name) }
        guard !options.isConverted else { return try ConvertedTable.read(bytes, path: path, options: options) }
        return try readText(bytes, path: path, options: options)
    }

    /// Reads what is text, perhaps packed.
    static func readText(_ bytes: [UInt8], path: String, options: ImportOptions) throws(ImportError) -> ImportedFile {
        let entry = try Archive.open(bytes, fileName: path)
        guard !entry.bytes.isEmpty else { throw .emptyFile }
        let name = SourceName(path: path, entryName: entry.name)
        var source = ImportSource(name: name, text: Self.plainText(entry.bytes), options: options)
        if source.name.lean == nil { source.name.lean = leanWithoutFolders(source) }
        let layout = try layout(of: source)
        let isTable = [.csvBars, .csvTrades, .csvQuotes].contains(layout)
        if !isTable, options.stamps != nil { throw .badOption(name: "stamps", reason: "\(layout.rawValue) files say it themselves") }
        if !isTable, options.dateOrder != nil { throw .badOption(name: "date_order", reason: "\(layout.rawValue) files say it themselves") }
        switch layout {
        case .leanTicks: return try LeanTickReader.read(source)
        case .leanBars: return try LeanBarReader.read(source)
        case .iqfeedTicks: return try IQFeedReader.readTicks(source)
        case .iqfeedBars: return try IQFeedReader.readBars(source)
        case .histData: return try SemicolonReader.read(source, layout: .histData)
        case .ninjaTrader: return try SemicolonReader.read(source, layout: .ninjaTrader)
        case .csvBars, .csvTrades, .csvQuotes:
            if !PlainTable.suits(source), let table = TableLayout(source.text) { return try TableReader.read(table, source) }
            return layout == .csvBars ? try HeaderedReader.readBars(source) : try HeaderedReader.readTrades(source)
        case .freqtradeBars: return try FreqtradeReader.readBars(source)
        case .freqtradeTrades: return try FreqtradeReader.readTrades(source)
        case .leanFactors, .leanMap, .sourceAnswer: throw .unknownLayout("it is about an instrument, and holds no bars")
        }
    }

    /// Text of two bytes a letter, as some Windows programs write it, in the usual form.
    private static func plainText(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.starts(with: [0xFF, 0xFE]) else { return bytes }
        let letters = stride(from: 2, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        return Array(String(decoding: letters, as: UTF16.self).utf8)
    }

    /// Lean's hour and day files say neither what nor how long they are once their folders are lost: the rows and the name tell.
    private static func leanWithoutFolders(_ source: ImportSource) -> SourceName.Lean? {
        let lines = DelimitedText(source.text, separator: 0x2C).firstLines(3).filter { !$0.isEmpty }
        let isLean =
            !lines.isEmpty
            && lines.allSatisfy { line in
                let fields = line.split(separator: ",", omittingEmptySubsequences: false)
                let stamp = Array(fields[0].utf8)
                return (fields.count == 6 || fields.count == 11) && stamp.count == 14 && stamp[8] == 0x20 && stamp[11] == 0x3A
            }
        guard isLean else { return nil }
        let words = source.name.stem.lowercased().split(separator: "_").map(String.init)
        let isDaily = lines.allSatisfy { $0.dropFirst(9).hasPrefix("00:00") }
        return SourceName.Lean(asset: "", market: "", resolution: isDaily ? "daily" : "hour", ticker: words.first ?? "", isQuote: nil, date: nil)
    }

    /// Finds the layout by what stands in the first lines, and by the name where that leaves a doubt.
    static func layout(of source: ImportSource) throws(ImportError) -> ImportLayout {
        let lines = DelimitedText(source.text, separator: 0x2C).firstLines(3)
        let first = lines.first ?? ""
        let fields = first.split(separator: ",", omittingEmptySubsequences: false)
        let tail = String(decoding: source.text.suffix(40), as: UTF8.self)
        if tail.contains("!ENDMSG!") { return fields.count >= 12 ? .iqfeedTicks : .iqfeedBars }
        if first.hasPrefix("[") {
            let isTrades = first.prefix(200).contains("\"")
            return isTrades ? .freqtradeTrades : .freqtradeBars
        }
        if let lean = source.name.lean { return lean.resolution == "tick" ? .leanTicks : .leanBars }
        let semicolons = first.split(separator: ";", omittingEmptySubsequences: false)
        if semicolons.count == 6, semicolons[0].count == 15, !first.contains(",") {
            if source.name.fileName.uppercased().hasPrefix("DAT_ASCII") { return .histData }
            guard source.options.stamps == nil else { return .csvBars }
            return semicolons[5] == "0" && lines.dropFirst().allSatisfy({ $0.isEmpty || $0.hasSuffix(";0") }) ? .histData : .ninjaTrader
        }
        for line in lines {
            let names = Set(line.lowercased().split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmedASCII })
            if names.isSuperset(of: ["open", "high", "low", "close"]) { return .csvBars }
            if names.contains("price"), names.contains("amount") || names.contains("size") { return .csvTrades }
        }
        if let table = TableLayout(source.text) { return TableReader.layout(of: table) }
        throw .unknownLayout("it begins with \(fields.count) fields, none of the known headers, and rows that do not tell what they are")
    }
}

/// A file with everything that is known about it before reading.
struct ImportSource {
    var name: SourceName
    var text: [UInt8]
    var options: ImportOptions

    /// Symbol, class and calendar: what the caller said, else what the file or its name says.
    func identity(symbol guessed: String?, assetClass: AssetClass? = nil, calendar: String? = nil) throws(ImportError) -> (
        symbol: String, assetClass: AssetClass, calendar: ExchangeCalendar
    ) {
        guard let symbol = (options.symbol ?? guessed)?.uppercased(), !symbol.isEmpty else { throw .symbolRequired }
        guard InstrumentSymbol.isValid(symbol) else {
            throw .badOption(name: "symbol", reason: "1 to 40 of A-Z, 0-9, dot, dash and underscore would be right")
        }
        let kind = options.assetClass ?? assetClass ?? AssetClass.guess(symbol: symbol)
        let known =
            CalendarCatalogue.all[options.assetClass == nil ? calendar ?? kind.usualCalendar : kind.usualCalendar] ?? CalendarCatalogue.alwaysOpen
        return (symbol, kind, options.calendar ?? known)
    }

    /// The zone of the file's clock: what the caller said, else what the layout says.
    func zone(_ usual: String) throws(ImportError) -> ZoneRules {
        do { return try ZoneRules(identifier: options.timeZone ?? usual) } catch {
            throw .badOption(name: "time_zone", reason: "an IANA name such as America/New_York would be right")
        }
    }

    /// The interval that the caller gave for rows that carry a date only: a day, a week or a month.
    func periodOption() throws(ImportError) -> BarInterval? {
        guard let interval = options.interval else { return nil }
        guard [.days(1), .weeks(1), .months(1)].contains(interval) else {
            throw .badOption(name: "interval", reason: "rows without a time of day are 1d, 1w or 1M")
        }
        return interval
    }

    func clock(_ calendar: ExchangeCalendar) throws(ImportError) -> TradingClock {
        do { return try TradingClock(calendar) } catch { throw .badOption(name: "calendar", reason: error.description) }
    }
}

extension StringProtocol {
    /// The text without blanks and quotes around it.
    var trimmedASCII: String {
        var part = Substring(self)
        while let character = part.first, character == " " || character == "\"" { part.removeFirst() }
        while let character = part.last, character == " " || character == "\"" || character == "\r" { part.removeLast() }
        return String(part)
    }
}
