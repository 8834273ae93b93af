import Bars

/// What Lean's folders imply: asset class, calendar, time zone and whether prices are whole ten-thousandths.
struct LeanMarket {
    let symbol: String
    let assetClass: AssetClass
    let calendar: ExchangeCalendar
    let zone: ZoneRules
    private let clock: TradingClock
    private let pricesAreScaled: Bool

    init(_ lean: SourceName.Lean, _ source: ImportSource) throws(ImportError) {
        let usual: [String: (AssetClass, calendar: String, zone: String)] = [
            "crypto": (.crypto, "always-open", "UTC"), "cryptofuture": (.crypto, "always-open", "UTC"), "forex": (.forex, "forex", "UTC"),
            "fx": (.forex, "forex", "UTC"), "cfd": (.cfd, "forex", "UTC"), "commodity": (.commodity, "forex", "UTC"),
            "future": (.future, "cme", "UTC"),
            "equity": (.equity, "us-equity", "America/New_York"), "index": (.index, "us-equity", "America/New_York"),
        ]
        // Exchanges whose files are on a clock of their own.
        let exchanges: [String: (calendar: String?, zone: String)] = [
            "india": ("india", "Asia/Kolkata"), "eurex": ("eurex", "Europe/Berlin"), "hkfe": ("always-open", "Asia/Hong_Kong"),
            "krx": ("always-open", "Asia/Seoul"), "ose": ("always-open", "Asia/Tokyo"), "ice": (nil, "America/New_York"),
            "fxcm": (nil, "Etc/GMT+5"),
        ]
        // Without a folder only the ticker speaks: two currencies are forex, a coin is crypto.
        let asset = lean.asset.isEmpty ? (source.options.assetClass ?? AssetClass.guess(symbol: lean.ticker)).rawValue : lean.asset
        var (kind, calendarName, zoneName) = usual[asset] ?? (.equity, "us-equity", "America/New_York")
        if let exchange = exchanges[lean.market] {
            calendarName = exchange.calendar ?? calendarName
            zoneName = exchange.zone
        }
        let mainMarkets = ["", "usa", "coinbase", "oanda", "india", "eurex", "cme"]
        let ticker = lean.ticker.uppercased()
        let guessed = mainMarkets.contains(lean.market) ? ticker : "\(ticker).\(lean.market.uppercased())"
        let identity = try source.identity(symbol: guessed, assetClass: kind, calendar: calendarName)
        kind = identity.assetClass
        symbol = identity.symbol
        assetClass = kind
        calendar = identity.calendar
        zone = try source.zone(zoneName)
        clock = try source.clock(identity.calendar)
        pricesAreScaled = asset == "equity"
    }

    func price(_ number: DecimalNumber?) -> DecimalNumber? { pricesAreScaled ? number?.shifted(byPowersOfTen: 4) : number }

    /// The local date of a file that holds one day.
    func midnight(of lean: SourceName.Lean) throws(ImportError) -> CivilDay {
        guard let date = lean.date else { return CivilDay(number: 0) }
        let digits = Array(date.utf8).map { Int($0) - 0x30 }
        guard digits.count == 8,
            let day = CivilDay(
                checkedYear: digits[0] * 1_000 + digits[1] * 100 + digits[2] * 10 + digits[3],
                month: digits[4] * 10 + digits[5],
                day: digits[6] * 10 + digits[7]
            )
        else { throw .unknownLayout("its name does not begin with a date YYYYMMDD") }
        return day
    }

    /// Start and end of a bar stamped with its local start; hour and day bars of equities and indices hold the regular session only and are cut to it.
    func span(local: Int64, length: Int64) -> Range<Int64>? {
        let seconds = floorDivide(local, 1_000_000)
        let start = zone.utc(fromLocal: seconds) * 1_000_000 + (local - seconds * 1_000_000)
        var end = start + length * 1_000_000
        if length == 86_400 { end = zone.utc(fromLocal: seconds + 86_400) * 1_000_000 }
        guard assetClass == .equity || assetClass == .index, length >= 3_600 else { return start..<end }
        let day = CivilDay(number: Int(floorDivide(seconds, 86_400)))
        guard let session = clock.session(on: day, kind: .regular) else { return start..<end }
        if length == 86_400 { return session }
        return session.overlaps(start..<end) ? session.clamped(to: start..<end) : start..<end
    }
}
