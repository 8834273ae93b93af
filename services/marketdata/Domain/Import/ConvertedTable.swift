import Bars
import Contracts

/// The text that a file of a foreign format was converted to: read like any table, but with its rows counted as the file has them, and with what the file's
/// name and the conversion say of it.
enum ConvertedTable {
    static func read(_ bytes: [UInt8], path: String, options: ImportOptions) throws(ImportError) -> ImportedFile {
        var options = options
        if let freqtrade = FreqtradeName(SourceName(path: path).stem) {
            options.symbol = options.symbol ?? freqtrade.symbol
            options.assetClass = options.assetClass ?? .crypto
            options.interval = options.interval ?? freqtrade.interval
        }
        do throws(ImportError) {
            var file = try FileImporter.readText(bytes, path: path, options: options)
            file.problems.countRows()
            return file
        } catch .badRows(var problems) {
            problems.countRows()
            throw .badRows(problems)
        } catch {
            throw error
        }
    }

    /// What is imported of a converted file: its options with what the conversion found, and the name that says what it is of.
    static func options(_ given: ImportOptions, of item: TableConversionResult.Item?) -> ImportOptions {
        var options = given
        options.isConverted = true
        guard let item else { return options }
        // An item of PyStore is called like its instrument; our own exports note the true name.
        let symbol = (item.symbol ?? (item.pystore == true ? item.name : "")).uppercased()
        if options.symbol == nil, InstrumentSymbol.isValid(symbol) { options.symbol = symbol }
        if options.interval == nil, let text = item.interval { options.interval = try? BarInterval(text: text) }
        return options
    }
}

/// freqtrade's file names: `XRP_ETH-1m`, `XRP_ETH-trades`.
struct FreqtradeName: Equatable {
    var symbol: String
    /// Nothing for trades.
    var interval: BarInterval?

    init?(_ stem: String) {
        let words = stem.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard words.count == 2, words[0].contains("_"), InstrumentSymbol.isValid(words[0]) else { return nil }
        symbol = words[0]
        guard words[1] != "trades" else { return }
        guard let interval = try? BarInterval(text: words[1]) else { return nil }
        self.interval = interval
    }
}
