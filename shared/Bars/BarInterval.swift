/// A bar's length as people ask for it: so many seconds within a day, or so many days, weeks or months of the trading date.
public enum BarInterval: Sendable, Hashable {
    /// Less than a day.
    case seconds(Int)
    /// Trading days.
    case days(Int)
    /// Weeks that start on Monday.
    case weeks(Int)
    /// Months that start on the 1st.
    case months(Int)

    /// Reads `15s`, `1m`, `4h`, `1d`, `1w`, `1M` or plain seconds; whole days become days.
    public init(text: String) throws(BarsError) {
        let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard !digits.isEmpty, digits.count <= 9, let number = Int(Substring(digits)), number > 0 else { throw BarsError.badInterval(text) }
        switch text.dropFirst(digits.count) {
        case "", "s": self.init(seconds: number)
        case "m": self.init(seconds: number * 60)
        case "h": self.init(seconds: number * 3_600)
        case "d": self = .days(number)
        case "w": self = .weeks(number)
        case "M": self = .months(number)
        default: throw BarsError.badInterval(text)
        }
        guard self.seconds <= 366 * 86_400 else { throw BarsError.badInterval(text) }
    }

    /// From a number of seconds, as events carry it: whole weeks and days are those, 2,592,000 (30 days) is a month.
    public init(seconds: Int) {
        if seconds % 2_592_000 == 0 {
            self = .months(seconds / 2_592_000)
        } else if seconds % 604_800 == 0 {
            self = .weeks(seconds / 604_800)
        } else if seconds % 86_400 == 0 {
            self = .days(seconds / 86_400)
        } else {
            self = .seconds(seconds)
        }
    }

    /// The nominal length: a month counts 30 days.
    public var seconds: Int {
        switch self {
        case .seconds(let count): count
        case .days(let count): count * 86_400
        case .weeks(let count): count * 604_800
        case .months(let count): count * 2_592_000
        }
    }

    /// Whether bars cover whole trading days.
    public var isDaily: Bool {
        if case .seconds = self { return false }
        return true
    }

    /// The shortest spelling: `15s`, `1m`, `4h`, `1d`, `1w`, `1M`.
    public var text: String {
        switch self {
        case .seconds(let count): count % 3_600 == 0 ? "\(count / 3_600)h" : count % 60 == 0 ? "\(count / 60)m" : "\(count)s"
        case .days(let count): "\(count)d"
        case .weeks(let count): "\(count)w"
        case .months(let count): "\(count)M"
        }
    }

    /// Whether bars of this interval can be built of stored bars of so many seconds.
    public func isMultiple(ofSeconds stored: Int) -> Bool {
        switch self {
        case .seconds(let count): count % stored == 0
        // Seven stored days may be cut out of any week: only days and less build other numbers of days.
        case .days: stored <= 86_400 && 86_400 % stored == 0
        case .weeks: stored == 604_800 || (stored <= 86_400 && 86_400 % stored == 0)
        case .months: stored == 2_592_000 || (stored <= 86_400 && 86_400 % stored == 0)
        }
    }
}
