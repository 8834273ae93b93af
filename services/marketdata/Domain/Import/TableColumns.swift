import Bars

/// Which column of a table is what.
struct TableColumns: Equatable {
    /// The four prices of a bar and perhaps its volume.
    struct Prices: Equatable {
        var open: Int
        var high: Int
        var low: Int
        var close: Int
        var volume: Int?

        var all: [Int] { [open, high, low, close] }
    }

    /// What the rows of a table are.
    enum Content: Equatable {
        /// Bars, of one side or of bid and ask.
        case bars([PriceSide: Prices])
        case trades(price: Int, size: Int?)
        case quotes(bid: Int, ask: Int, bidSize: Int?, askSize: Int?)
    }

    /// How many columns there are.
    var count: Int
    /// Date and time, or the date where the time has a column of its own.
    var date: Int
    var time: Int?
    var symbol: Int?
    var content: Content
    /// Whether the column of times is named as the end of the bars.
    var namesTheEnd = false
    /// The zone that the name of the column of times says.
    var zone: String?

    // MARK: By name

    /// Reads a header; nothing where the names are not those of bars, trades or quotes.
    init?(header fields: [String]) {
        let names = fields.map(Self.normal)
        func first(_ wanted: [String]) -> Int? { wanted.lazy.compactMap { names.firstIndex(of: $0) }.first }
        func prices(_ prefixes: [String]) -> Prices? {
            func price(_ words: [String]) -> Int? {
                first(prefixes.flatMap { side in words.flatMap { side.isEmpty ? [$0] : ["\(side) \($0)", "\($0) \(side)", side + $0] } })
            }
            guard let open = price(Self.open), let high = price(Self.high), let low = price(Self.low), let close = price(Self.close) else {
                return nil
            }
            return Prices(open: open, high: high, low: low, close: close, volume: nil)
        }
        var sides: [PriceSide: Prices] = [:]
        if var trade = prices([""]) {
            trade.volume = Self.volume(names)
            sides[.trade] = trade
        } else {
            for (side, words) in [(PriceSide.bid, ["bid", "b"]), (.ask, ["ask", "offer", "a"])] {
                guard var found = prices(words) else { continue }
                found.volume = first(["size", "volume", "vol", "qty"].flatMap { ["\(words[0]) \($0)", words[0] + $0, "\($0) \(words[0])"] })
                sides[side] = found
            }
        }
        let bid = first(["bid", "bid price", "bidprice", "best bid", "bid px"])
        let ask = first(["ask", "ask price", "askprice", "best ask", "offer", "offer price", "ask px"])
        if !sides.isEmpty {
            content = .bars(sides)
        } else if let bid, let ask {
            content = .quotes(
                bid: bid,
                ask: ask,
                bidSize: first(["bid size", "bidsize", "bid volume", "bidvolume", "bid qty", "best bid qty"]),
                askSize: first(["ask size", "asksize", "ask volume", "askvolume", "ask qty", "best ask qty", "offer size"])
            )
        } else if let price = first(["price", "trade price", "last price", "last", "px"]) {
            content = .trades(price: price, size: first(["size", "amount", "qty", "quantity", "volume", "vol", "last size", "trade size"]))
        } else {
            return nil
        }
        count = fields.count
        symbol = first(["symbol", "ticker", "instrument", "pair"])
        let end = first(["end", "end time", "bar end", "close time"])
        let dates = first(["date", "datum", "day", "trade date", "trading date", "dtyyyymmdd"])
        let times = first(["time", "zeit", "uhrzeit", "time of day", "hour"])
        let both = first(Self.moments)
        if let both {
            date = both
        } else if let dates {
            date = dates
            time = times
        } else if let times {
            date = times
        } else if let end {
            date = end
            namesTheEnd = true
        } else {
            // A data frame's index has no name, and is the first column; other columns without a known name are none.
            guard names.first == "" || names.first?.contains("time") == true || names.first?.contains("date") == true else { return nil }
            date = 0
        }
        zone = Self.zone(in: fields[date]) ?? time.flatMap { Self.zone(in: fields[$0]) }
    }

    private static let open = ["open", "o", "open price", "opening price", "first", "eroffnung", "eröffnung", "eroeffnung"]
    private static let high = ["high", "h", "high price", "max", "hoch"]
    private static let low = ["low", "l", "low price", "min", "tief"]
    private static let close = ["close", "c", "close price", "closing price", "close last", "last", "schluss", "schlusskurs", "price"]
    private static let moments = [
        "datetime", "timestamp", "date time", "time stamp", "open time", "opentime", "start", "start time", "bar start", "unix timestamp", "unix",
        "epoch", "ts",
        "gmt time", "local time", "time utc", "date utc", "timestamp utc", "timestamp ms", "time ms", "time us", "time ns", "datetime utc",
    ]

    /// The volume in units of the instrument: of `volume_btc` and `volume`, or `volume btc` and `volume usd`, the one that is not money.
    private static func volume(_ names: [String]) -> Int? {
        let money = ["usd", "usdt", "eur", "gbp", "quote"]
        let named = names.indices.filter { names[$0].hasPrefix("volume ") }
        let base = named.first { index in !money.contains { names[index].hasSuffix($0) } }
        let words = ["volume", "vol", "v", "volumen", "qty", "quantity", "base volume", "tickvol", "tick volume"]
        return base ?? words.lazy.compactMap { names.firstIndex(of: $0) }.first ?? named.first
    }

    /// A name without case, quotes, brackets and the marks between its words; what stands in parentheses goes except for a currency.
    private static func normal(_ name: String) -> String {
        var words: [String] = []
        var word = ""
        for character in name.lowercased() {
            if character.isLetter || character.isNumber {
                word.append(character)
            } else if !word.isEmpty {
                words.append(word)
                word = ""
            }
        }
        if !word.isEmpty { words.append(word) }
        return words.joined(separator: " ")
    }

    /// The zone that a name or a line above the table says: `UTC`, `GMT` or an IANA name.
    static func zone(in text: String) -> String? {
        for word in text.split(whereSeparator: { !($0.isLetter || $0.isNumber || $0 == "/" || $0 == "_" || $0 == "-" || $0 == "+") }) {
            if word.contains("/"), !word.contains("//"), word.first?.isUppercase == true, (try? ZoneRules(identifier: String(word))) != nil {
                return String(word)
            }
            // Snake case as well: timestamp_utc.
            for part in word.lowercased().split(whereSeparator: { $0 == "_" || $0 == "-" }) {
                if part == "utc" || part == "gmt" { return "UTC" }
                if part == "est" || part == "edt" || part == "et" { return "America/New_York" }
            }
        }
        return nil
    }

    /// A date in one column and a time of day in another, whatever they are called: `Date,Timestamp` is such a pair in some files, and not in others.
    mutating func settleTime(header fields: [String], first row: [String]) {
        guard time == nil, date >= row.count || Self.moment(row[date])?.isDateOnly != false else { return }
        func place(_ words: [String], _ fits: (String) -> Bool) -> Int? {
            fields.indices.first { index in
                let name = Self.normal(fields[index])
                return index < row.count && words.contains { name.contains($0) } && fits(row[index])
            }
        }
        let day = place(["date", "datum", "day"]) { Self.moment($0)?.isDateOnly == true }
        let clock = place(["time", "stamp", "zeit", "hour"], Self.isTimeOfDay)
        guard let day, let clock, day != clock else { return }
        (date, time) = (day, clock)
    }

    // MARK: By content

    /// Tells by the rows themselves what they are; nothing where that is not plain. Each row is the fields of a line.
    init?(rows: [[String]]) {
        guard let first = rows.first, rows.count >= 2 else { return nil }
        count = first.count
        func isMoment(_ column: Int) -> Bool {
            rows.allSatisfy { row in Self.moment(row[column]).map { $0.microseconds(nil) != nil || $0.doubtful != nil } ?? false }
        }
        func isNumber(_ column: Int) -> Bool { rows.allSatisfy { Self.number($0[column]) != nil || $0[column].isEmpty } }
        let width = first.count
        // Numbers of trades look like seconds since 1970, and large volumes too: a date goes before digits, and more digits before fewer.
        func rank(_ column: Int) -> Int {
            let digits = rows[0][column].prefix { $0.isNumber }.count
            return Self.moment(rows[0][column])?.offset == 0 && digits >= 9 ? digits : 99
        }
        guard let moments = (0..<width).filter(isMoment).max(by: { rank($0) < rank($1) || (rank($0) == rank($1) && $0 > $1) }), moments < 4 else {
            return nil
        }
        let isDateOnly = rows.allSatisfy { Self.moment($0[moments])?.isDateOnly == true }
        var next = moments + 1
        if isDateOnly, next < width, rows.allSatisfy({ Self.isTimeOfDay($0[next]) }) {
            time = next
            next += 1
        }
        // A word before the numbers names the instrument.
        symbol = (0..<moments).first { column in
            rows.allSatisfy { InstrumentSymbol.isValid(Self.symbol($0[column])) } && !rows.allSatisfy { Self.number($0[column]) != nil }
        }
        date = moments
        let numbers = (next..<width).filter(isNumber)
        // The columns side by side that follow the time.
        var run: [Int] = []
        for column in numbers { if column == next + run.count { run.append(column) } }
        if run.count >= 4 {
            let cells = rows.map { row in run.prefix(4).map { Self.number(row[$0])?.double ?? .nan } }
            guard let prices = Self.order(cells) else { return nil }
            let volume = run.count > 4 ? run[4] : nil
            content = .bars([
                .trade: Prices(open: run[prices.open], high: run[prices.high], low: run[prices.low], close: run[prices.close], volume: volume)
            ])
        } else if run.count == 2 || run.count == 3, !isDateOnly || time != nil {
            let pairs = rows.map { row in run.prefix(2).map { Self.number(row[$0])?.double ?? .nan } }
            // A bid and an ask are close to one another in every row, and the ask is never below; sizes keep no such company.
            let areQuotes = pairs.count >= 2 && pairs.allSatisfy { $0[1] >= $0[0] && $0[1] < $0[0] * 1.02 } && pairs.contains { $0[1] > $0[0] }
            content = areQuotes ? .quotes(bid: run[0], ask: run[1], bidSize: nil, askSize: nil) : .trades(price: run[0], size: run[1])
        } else {
            return nil
        }
    }

    /// In which order four prices stand, told by which can be the highest and which the lowest; open, high, low, close where nothing speaks against it.
    private static func order(_ rows: [[Double]]) -> Prices? {
        let orders = [
            Prices(open: 0, high: 1, low: 2, close: 3), Prices(open: 0, high: 2, low: 3, close: 1), Prices(open: 2, high: 0, low: 1, close: 3),
            Prices(open: 3, high: 0, low: 1, close: 2), Prices(open: 0, high: 3, low: 2, close: 1), Prices(open: 1, high: 3, low: 2, close: 0),
        ]
        func fitting(_ order: Prices) -> Int {
            rows.count { row in row[order.high] >= row.max() ?? .nan && row[order.low] <= row.min() ?? .nan && row[order.low] > 0 }
        }
        // A bad row or two is named later; a table of something else fits nowhere.
        guard let best = orders.max(by: { fitting($0) < fitting($1) }) else { return nil }
        let most = fitting(best)
        guard most * 10 >= rows.count * 9 else { return nil }
        return fitting(orders[0]) == most ? orders[0] : best
    }

    /// `BTC/USD` and `EUR USD` as symbols are spelt here.
    static func symbol(_ name: String) -> String {
        let name = name.uppercased()
        return InstrumentSymbol.isValid(name) ? name : String(name.filter { !"/ :$^#".contains($0) })
    }

    static func moment(_ text: String) -> MomentText? {
        var copy = text
        return copy.withUTF8 { MomentText($0) }
    }

    private static func isTimeOfDay(_ text: String) -> Bool {
        var copy = text
        return copy.withUTF8 { MomentText.timeOfDay($0) } != nil
    }

    private static func number(_ text: String) -> DecimalNumber? { DecimalNumber(text) ?? DecimalNumber(text.replacing(",", with: ".")) }
}
