/// What kind of thing an instrument is; it decides calendar, anchor and volume unit where nobody says otherwise.
enum AssetClass: Sendable, Codable, CaseIterable {
    case equity, crypto, forex, commodity, future, index, cfd
}

extension AssetClass: RawRepresentable {
    /// Reads the class's word; foreign exchange was called `fx` once, and is read under both names.
    init?(rawValue: String) {
        let word = rawValue == Self.oldForex ? AssetClass.forex.rawValue : rawValue
        guard let known = Self.allCases.first(where: { $0.rawValue == word }) else { return nil }
        self = known
    }

    /// The word by which requests, answers and rows name the class.
    var rawValue: String {
        switch self {
        case .equity: "equity"
        case .crypto: "crypto"
        case .forex: "forex"
        case .commodity: "commodity"
        case .future: "future"
        case .index: "index"
        case .cfd: "cfd"
        }
    }

    private static let oldForex = "fx"

    /// Every word that is read.
    static let words = allCases.map(\.rawValue) + [oldForex]
    /// The words under which rows of the class may stand.
    var storedWords: [String] { self == .forex ? [rawValue, Self.oldForex] : [rawValue] }
}

extension AssetClass {
    /// The calendar that fits most instruments of the class.
    var usualCalendar: String {
        switch self {
        case .crypto: "always-open"
        case .equity: "us-equity"
        case .forex, .cfd, .commodity: "forex"
        case .index: "us-equity"
        case .future: "cme"
        }
    }

    /// The unit in which volumes of the class are usually counted.
    var usualVolumeUnit: VolumeUnit {
        switch self {
        case .crypto: .base
        case .equity: .shares
        case .future: .contracts
        case .forex, .cfd, .commodity, .index: .none
        }
    }

    /// Guesses from a symbol: two ISO currencies are forex, a coin's name is crypto, anything else is an equity.
    static func guess(symbol: String) -> AssetClass {
        if [".XCME", ".XCBT", ".XNYM", ".XEUR"].contains(where: { symbol.uppercased().hasSuffix($0) }) { return .future }
        let letters = symbol.uppercased().prefix { $0 != "." && $0 != "@" }.filter { $0 != "_" && $0 != "/" && $0 != "-" }
        let coins = ["BTC", "ETH", "XRP", "ADA", "LTC", "USDT", "BUSD", "USDC", "DOGE", "SOL", "BNB"]
        if coins.contains(where: { letters.hasPrefix($0) || letters.hasSuffix($0) }), letters.count >= 5 { return .crypto }
        let currencies = [
            "EUR", "USD", "GBP", "JPY", "CHF", "AUD", "NZD", "CAD", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "TRY", "ZAR", "MXN", "SGD", "HKD",
            "CNH",
        ]
        if letters.count == 6, currencies.contains(String(letters.prefix(3))), currencies.contains(String(letters.suffix(3))) { return .forex }
        return .equity
    }
}

/// What one unit of an instrument's volume is.
enum VolumeUnit: String, Sendable, Codable, CaseIterable {
    case shares, contracts, base, quote, ticks, none
}
