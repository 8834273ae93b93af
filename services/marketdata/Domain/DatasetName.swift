import Bars

/// The name of a dataset, a promise to everybody who wrote it down: `bars.<class>.<symbol>.<interval>.<price>`, with `.derived` behind it where we made
/// the bars out of ticks. Symbols may hold dots, but no small letters: the name is read from both ends.
struct DatasetName: Hashable, Sendable {
    var assetClass: AssetClass
    var symbol: String
    var series: SeriesKey

    init(_ instrument: Instrument, _ series: SeriesKey) {
        assetClass = instrument.assetClass
        symbol = instrument.symbol
        self.series = series
    }

    /// Reads a name; nothing for what is none.
    init?(_ text: String) {
        guard text.utf8.count <= 120 else { return nil }
        var words = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        var origin = SeriesOrigin.imported
        if words.last == SeriesOrigin.derived.rawValue {
            origin = .derived
            words.removeLast()
        }
        guard words.count >= 5, words[0] == "bars", let assetClass = AssetClass(rawValue: words[1]),
            let side = PriceSide(rawValue: words.removeLast()),
            let spelling = words.popLast(), let interval = try? BarInterval(text: spelling), interval.text == spelling
        else { return nil }
        let symbol = words[2...].joined(separator: ".")
        guard InstrumentSymbol.canExist(symbol) else { return nil }
        self.assetClass = assetClass
        self.symbol = symbol
        series = SeriesKey(intervalSeconds: interval.seconds, side: side, origin: origin)
    }

    var interval: BarInterval { BarInterval(seconds: series.intervalSeconds) }

    var text: String {
        let name = "bars.\(assetClass.rawValue).\(symbol).\(interval.text).\(series.side.rawValue)"
        return series.origin == .derived ? "\(name).\(SeriesOrigin.derived.rawValue)" : name
    }
}
