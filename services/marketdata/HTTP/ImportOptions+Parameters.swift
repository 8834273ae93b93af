import Bars

extension ImportOptions {
    /// The names of the parameters of an import.
    static let parameters = ["symbol", "time_zone", "asset_class", "price", "interval", "date_order", "stamps"]

    /// Reads the parameters of an import; refuses a word that is none of those that are known, by name.
    init(_ value: (String) -> String?) throws {
        func choice<Word>(_ name: String, _ words: [String], _ read: (String) -> Word?) throws -> Word? {
            guard let text = value(name) else { return nil }
            guard words.contains(text), let word = read(text) else {
                throw MarketdataError.invalid(field: name, code: "invalid_parameter", detail: "\(name) is one of: \(words.joined(separator: ", ")).")
            }
            return word
        }
        self.init(symbol: value("symbol"), timeZone: value("time_zone"))
        assetClass = try choice("asset_class", AssetClass.words) { AssetClass(rawValue: $0) }
        side = try choice("price", ["trade", "bid", "ask"]) { PriceSide(rawValue: $0) }
        dateOrder = try choice("date_order", DateOrder.allCases.map(\.rawValue)) { DateOrder(rawValue: $0) }
        stamps = try choice("stamps", Stamps.allCases.map(\.rawValue)) { Stamps(rawValue: $0) }
        if let text = value("interval") {
            guard let interval = try? BarInterval(text: text) else {
                throw MarketdataError.invalid(
                    field: "interval",
                    code: "invalid_parameter",
                    detail: "A number followed by s, m, h, d, w or M would be right."
                )
            }
            self.interval = interval
        }
    }

    /// Whether a text may be a file's name, or the path to it: it is only read, never opened.
    static func isFileName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name.unicodeScalars.allSatisfy { $0.value >= 32 }
    }
}
