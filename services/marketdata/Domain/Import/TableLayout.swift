import Bars

/// A table as it was understood before its rows are read: separator, columns, where the rows begin, and how dates and numbers are written.
struct TableLayout {
    var text: TableText
    var columns: TableColumns
    /// The first line with data.
    var firstLine: Int
    /// What was found out by looking rather than being told, in plain words.
    var notes: [String]
    /// The zone that a line above the table says.
    var zone: String?

    /// Finds the table in a file; nothing where there is none.
    init?(_ bytes: [UInt8]) {
        // Nobody writes a table of text with zero bytes in it.
        guard !bytes.prefix(4_096).contains(0) else { return nil }
        for separator: UInt8 in [0x09, 0x3B, 0x7C, 0x2C] {
            let text = TableText(bytes, separator: separator)
            let rows = text.firstRows(60)
            guard let found = Self.named(rows) ?? Self.unnamed(rows) else { continue }
            self.text = text
            columns = found.columns
            firstLine = found.firstLine
            notes = found.note.map { [$0] } ?? []
            for row in rows where row.line < found.firstLine && row.line != found.headerLine {
                zone = zone ?? TableColumns.zone(in: row.fields.joined(separator: " "))
            }
            let sample = rows.filter { $0.line >= found.firstLine }.map(\.fields)
            if Self.hasDecimalComma(sample, columns, isUsual: separator == 0x3B) {
                self.text.hasDecimalComma = true
                notes.append("numbers are read with a decimal comma")
            }
            return
        }
        return nil
    }

    private struct Found {
        var columns: TableColumns
        var headerLine: Int?
        var firstLine: Int
        var note: String?
    }

    /// A header among the first lines, perhaps below a banner.
    private static func named(_ rows: [(line: Int, fields: [String])]) -> Found? {
        for row in rows.prefix(20) where row.fields.count >= 2 {
            guard var columns = TableColumns(header: row.fields) else { continue }
            if let first = rows.first(where: { $0.line > row.line }) { columns.settleTime(header: row.fields, first: first.fields) }
            return Found(columns: columns, headerLine: row.line, firstLine: row.line + 1)
        }
        return nil
    }

    /// No header: the rows have to speak for themselves, all with as many fields, after a few lines of another kind at most.
    private static func unnamed(_ rows: [(line: Int, fields: [String])]) -> Found? {
        guard let count = rows.last?.fields.count, count >= 3 else { return nil }
        let start = rows.lastIndex { $0.fields.count != count }.map { $0 + 1 } ?? 0
        guard start <= 5, rows.count - start >= 2 else { return nil }
        var table = Array(rows[start...])
        // A line of words above the numbers is a header that nobody here can read.
        if let first = table.first, !first.fields.contains(where: { DecimalNumber($0) != nil }) {
            guard first.fields.allSatisfy({ $0.hasPrefix("#") || $0.isEmpty }) else { return nil }
            table.removeFirst()
        }
        guard let columns = TableColumns(rows: table.map(\.fields)) else { return nil }
        return Found(columns: columns, firstLine: table[0].line, note: "there is no header: the columns are told by what stands in them")
    }

    /// Whether numbers have a comma before their decimals. Where semicolons part the fields a comma is nothing else; elsewhere `1,234` is a thousand.
    private static func hasDecimalComma(_ rows: [[String]], _ columns: TableColumns, isUsual: Bool) -> Bool {
        let numbers: [Int]
        switch columns.content {
        case .bars(let sides): numbers = sides.values.flatMap(\.all)
        case .trades(let price, let size): numbers = [price] + [size].compactMap { $0 }
        case .quotes(let bid, let ask, _, _): numbers = [bid, ask]
        }
        var hasDecimals = false
        for row in rows {
            for number in numbers where number < row.count {
                let parts = row[number].split(separator: ",", omittingEmptySubsequences: false)
                // A point behind the last comma, or without any, has the decimals.
                if parts.last?.contains(".") == true { return false }
                if parts.count == 2, isUsual || parts[1].count != 3 { hasDecimals = true }
            }
        }
        return hasDecimals
    }

    // MARK: Dates

    /// In which order the dates of the whole file stand; refused where every one of them could be read in two ways.
    func dateOrder(_ given: DateOrder?) throws(ImportError) -> DateOrder? {
        if let given { return given }
        var canBeDayFirst = true
        var canBeMonthFirst = true
        var example: String?
        text.forEachRow(fromLine: firstLine) { row in
            guard let pair = MomentText(row.bytes(columns.date))?.doubtful else { return example != nil || row.line < firstLine + 100 }
            if example == nil { example = row.text(columns.date) }
            if pair.first > 12 { canBeMonthFirst = false }
            if pair.second > 12 { canBeDayFirst = false }
            return canBeDayFirst && canBeMonthFirst
        }
        guard let example else { return nil }
        if canBeDayFirst, canBeMonthFirst {
            throw .ambiguousDates(
                "\(example.prefix(24)) is a day and a month or a month and a day, and no row has a number above 12: give date_order, dmy or mdy"
            )
        }
        return canBeDayFirst ? .dayMonthYear : .monthDayYear
    }
}
