import Bars

/// Which headed CSV files `HeaderedReader` takes as they are: commas, no quotes, one column of times in the usual spellings, one instrument.
enum PlainTable {
    static func suits(_ source: ImportSource) -> Bool {
        guard source.options.stamps == nil, source.options.dateOrder == nil else { return false }
        let text = DelimitedText(source.text, separator: 0x2C)
        let lines = text.firstLines(5)
        guard !lines.contains(where: { $0.contains("\"") || $0.contains("\t") || $0.contains(", ") }) else { return false }
        for (number, line) in lines.prefix(3).enumerated() {
            let written = line.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmedASCII }
            let names = written.map { $0.lowercased() }
            let isBars = Set(names).isSuperset(of: ["open", "high", "low", "close"])
            guard isBars || (names.contains("price") && (names.contains("amount") || names.contains("size"))) else { continue }
            // Its own reader knows these names of the column of times, in this order; a second column with the time of day it does not know.
            let usual =
                isBars
                ? ["time", "date", "datetime", "timestamp", "timestamp_utc", "date time", "open time", "unix timestamp", "unix", ""]
                : ["time", "timestamp", "date", "id"]
            if names.contains("date"), names.contains("time") || names.contains("timestamp") { return false }
            let time = usual.lazy.compactMap { names.firstIndex(of: $0) }.first ?? 0
            if TableColumns(header: names)?.namesTheEnd == true || TableColumns.zone(in: written[time]).map({ $0 != "UTC" }) == true { return false }
            let first = lines.dropFirst(number + 1).first { !$0.isEmpty }?.split(separator: ",", omittingEmptySubsequences: false) ?? []
            // Some programs end their rows with a comma, but not their header.
            if first.count == names.count + 1, first.last?.trimmedASCII.isEmpty == true { return false }
            guard time >= first.count || isUsual(String(first[time])) else { return false }
            // Currencies, thousands and the like are for the other reader.
            let numbers = ["open", "high", "low", "close", "volume", "price", "amount", "size"].compactMap { names.firstIndex(of: $0) }
            guard numbers.allSatisfy({ $0 >= first.count || first[$0].isEmpty || DecimalNumber(String(first[$0])) != nil }) else { return false }
            if source.name.vendorZone != nil { return false }
            guard let symbol = ["symbol", "ticker"].lazy.compactMap({ names.firstIndex(of: $0) }).first else { return true }
            return hasOneName(text, from: number + 2, column: symbol)
        }
        return false
    }

    /// Whether a row's time is one that is read without looking at the others.
    private static func isUsual(_ time: String) -> Bool {
        var time = time
        return time.withUTF8 { bytes in
            let (moment, stamp) = (MomentText(bytes), TimeText.parse(bytes))
            // A file without a readable time is refused by either reader in the same words.
            guard stamp != nil else { return moment == nil }
            // Twelve or fourteen digits may be a date and time without anything between them.
            let isCompact = bytes.count == 12 || bytes.count == 14
            return !isCompact || moment?.offset != nil || moment?.isDateOnly == true
        }
    }

    private static func hasOneName(_ text: DelimitedText, from line: Int, column: Int) -> Bool {
        var name: [UInt8]?
        var isOne = true
        text.forEachRow(fromLine: line) { row in
            let bytes = row.bytes(column)
            if let name {
                isOne = isOne && bytes.elementsEqual(name)
            } else {
                name = Array(bytes)
                // BTC/USD is no symbol yet.
                isOne = InstrumentSymbol.isValid(row.text(column).uppercased())
            }
        }
        return isOne
    }
}
