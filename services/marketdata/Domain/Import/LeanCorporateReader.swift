import Bars
import Contracts

/// A factor file as it was understood: what happened between its rows.
struct LeanActionFile: Sendable, Equatable {
    struct Action: Sendable, Equatable {
        var day: CivilDay
        var ratio: AdjustmentRatio
        var referencePrice: DecimalText?
    }

    /// The file speaks for the time from this day on.
    var firstDay: CivilDay
    var actions: [Action]
}

/// A file about the instrument itself, not its prices.
struct LeanCorporateFile: Sendable, Equatable {
    enum Content: Sendable, Equatable {
        case factors(LeanActionFile)
        case names([InstrumentName])
    }

    /// The instrument that the file is named by: `FB.1` was called FB when others are called so now.
    var symbol: String
    var rows: Int
    var content: Content

    var layout: ImportLayout {
        switch content {
        case .factors: .leanFactors
        case .names: .leanMap
        }
    }
}

/// Lean's factor files (`date,price factor,split factor,reference price`) and map files (`date,ticker[,exchange]`): each row counts up to its date.
enum LeanCorporateReader {
    /// Rows of a file that are read at most: a dividend a month for eighty years.
    static let maximumRows = 1_000

    /// Nothing when the file is something else.
    static func read(_ bytes: [UInt8], path: String, options: ImportOptions) throws(ImportError) -> LeanCorporateFile? {
        guard bytes.count < 1 << 20, let kind = layout(of: bytes) else { return nil }
        var stem = String(path.split(separator: "/").last ?? "")
        if stem.lowercased().hasSuffix(".csv") { stem.removeLast(4) }
        let symbol = (options.symbol ?? stem).uppercased()
        guard !symbol.isEmpty else { throw .symbolRequired }
        guard InstrumentSymbol.isValid(symbol) else {
            throw .badOption(name: "symbol", reason: "1 to 40 of A-Z, 0-9, dot, dash and underscore would be right")
        }
        var problems = RowProblems()
        var rows = 0
        var factors: [FactorRow] = []
        var names: [InstrumentName] = []
        var listing: InstrumentName?
        var last: CivilDay?
        DelimitedText(bytes, separator: 0x2C).forEachRow { row in
            rows += 1
            guard let day = day(row.text(0)) else {
                problems.add(line: row.line, column: "date", reason: "YYYYMMDD would be right", day: nil)
                return
            }
            if let last, day < last || (day == last && kind == .leanFactors) {
                problems.add(line: row.line, column: "date", reason: "it is not after the date of the row before it", day: nil)
                return
            }
            let before = last
            last = day
            if kind == .leanFactors {
                guard row.count == 4, let price = row.number(1), let split = row.number(2), price.double > 0, split.double > 0 else {
                    problems.add(line: row.line, column: "row", reason: "date, two factors above zero and a price would be right", day: nil)
                    return
                }
                factors.append(FactorRow(day: day, line: row.line, price: price, split: split, reference: row.number(3)))
            } else {
                let ticker = row.text(1).uppercased()
                guard InstrumentSymbol.isValid(ticker) else {
                    problems.add(line: row.line, column: "ticker", reason: "a symbol would be right", day: nil)
                    return
                }
                // The first row is the day of the listing; each later one the last day of its name.
                guard let before else {
                    listing = InstrumentName(ticker: ticker, firstDay: day, lastDay: InstrumentName.open)
                    return
                }
                let from = names.isEmpty ? listing?.firstDay ?? day : before + 1
                guard from <= day else { return }
                let exchange = row.count > 2 && !row.bytes(2).isEmpty ? String(row.text(2).prefix(8)) : nil
                names.append(InstrumentName(ticker: ticker, firstDay: from, lastDay: day >= endless ? InstrumentName.open : day, exchange: exchange))
            }
        }
        guard rows > 0 else { throw .emptyFile }
        if names.isEmpty, let listing { names.append(listing) }
        guard rows <= maximumRows else { throw .unknownLayout("it has \(rows) rows, and \(maximumRows) are the most of such a file") }
        let content = kind == .leanFactors ? Content.factors(actions(factors, &problems)) : .names(joined(names))
        guard problems.isEmpty else { throw .badRows(problems) }
        return LeanCorporateFile(symbol: symbol, rows: rows, content: content)
    }

    /// Files in an order in which each finds what it needs: names, then actions, then bars.
    static func first(_ paths: [String]) -> [String] {
        let names = paths.filter { $0.contains("/map_files/") }
        let factors = paths.filter { $0.contains("/factor_files/") }
        return names + factors + paths.filter { !$0.contains("/map_files/") && !$0.contains("/factor_files/") }
    }

    private typealias Content = LeanCorporateFile.Content

    private struct FactorRow {
        var day: CivilDay
        var line: Int
        var price: DecimalNumber
        var split: DecimalNumber
        var reference: DecimalNumber?
    }

    /// The date of rows without an end.
    private static let endless = CivilDay(year: 2050, month: 12, day: 31)

    /// A row counts up to its date; what differs in the next one happened after it.
    private static func actions(_ rows: [FactorRow], _ problems: inout RowProblems) -> LeanActionFile {
        var actions: [LeanActionFile.Action] = []
        for (row, next) in zip(rows, rows.dropFirst()) where row.price != next.price || row.split != next.split {
            let ratio = AdjustmentRatio(priceBefore: row.price, priceAfter: next.price, splitBefore: row.split, splitAfter: next.split)
            guard let ratio else {
                problems.add(line: row.line, column: "row", reason: "the factors and those of the next row are no action", day: nil)
                continue
            }
            if ratio == .none { continue }
            let reference = row.reference.flatMap { $0.double > 0 ? DecimalText($0.text) : nil }
            actions.append(LeanActionFile.Action(day: row.day, ratio: ratio, referencePrice: reference))
        }
        return LeanActionFile(firstDay: rows.first?.day ?? endless, actions: actions)
    }

    /// Rows that only change the exchange are one name.
    private static func joined(_ names: [InstrumentName]) -> [InstrumentName] {
        var joined: [InstrumentName] = []
        for name in names {
            if let last = joined.last, last.ticker == name.ticker, last.lastDay + 1 == name.firstDay {
                joined[joined.count - 1].lastDay = name.lastDay
                joined[joined.count - 1].exchange = name.exchange ?? last.exchange
            } else {
                joined.append(name)
            }
        }
        return joined
    }

    /// The layout tells itself: a date of eight digits, then two factors and a price, or a ticker and perhaps an exchange.
    private static func layout(of bytes: [UInt8]) -> ImportLayout? {
        let fields = (DelimitedText(bytes, separator: 0x2C).firstLines(1).first ?? "").split(separator: ",", omittingEmptySubsequences: false)
            .map { $0.trimmedASCII }
        guard let first = fields.first, day(first) != nil else { return nil }
        if fields.count == 4, fields.dropFirst().allSatisfy({ DecimalNumber($0) != nil }) { return .leanFactors }
        return (fields.count == 2 || fields.count == 3) && fields[1].contains(where: \.isLetter) ? .leanMap : nil
    }

    private static func day(_ text: String) -> CivilDay? {
        let digits = Array(text.utf8).map { Int($0) - 0x30 }
        guard digits.count == 8, digits.allSatisfy({ (0...9).contains($0) }) else { return nil }
        return CivilDay(
            checkedYear: digits[0] * 1_000 + digits[1] * 100 + digits[2] * 10 + digits[3],
            month: digits[4] * 10 + digits[5],
            day: digits[6] * 10 + digits[7]
        )
    }
}
