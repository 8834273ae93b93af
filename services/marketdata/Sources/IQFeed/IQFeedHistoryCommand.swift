/// A history request of the lookup port. Rows are always asked for oldest first, intervals stamped at their start, without the period that still runs.
struct IQFeedHistoryCommand: Sendable, Equatable {
    enum Data: Sendable, Equatable {
        case ticks
        /// Bars of so many seconds.
        case intervals(seconds: Int)
        case days, weeks, months
    }

    enum Extent: Sendable, Equatable {
        /// So many rows, the last ones.
        case last(Int)
        /// So many days up to now.
        case recentDays(Int)
        /// From one time to another: `CCYYMMDD HHmmSS`, or `CCYYMMDD` for days; US Eastern.
        case between(String, String)
    }

    /// A part of each day, `HHmmSS` to `HHmmSS`, US Eastern.
    struct Filter: Sendable, Equatable {
        var begin: String
        var end: String
    }

    let symbol: String
    let data: Data
    let extent: Extent
    var maximumPoints: Int?
    var filter: Filter?

    /// Rows that the client groups before it sends them; the content is the same with any.
    private static let pointsPerSend = 100

    /// Refuses what IQFeed has no command for.
    init(symbol: String, data: Data, extent: Extent, maximumPoints: Int? = nil, filter: Filter? = nil) throws(SourceError) {
        try IQFeedSymbol.check(symbol)
        if case .intervals(let seconds) = data, !Self.takes(seconds: seconds) {
            throw .notSupported("bars of \(seconds) s: 1 to 300 s, whole minutes up to an hour, or two hours would be right")
        }
        switch (data, extent) {
        case (.ticks, _), (.intervals, _), (.days, .last), (.days, .between), (.weeks, .last), (.months, .last): break
        case (.days, _), (.weeks, _), (.months, _): throw .notSupported("days, weeks and months in that extent")
        }
        switch extent {
        case .last(let count): guard count > 0 else { throw .notSupported("no rows") }
        case .recentDays(let days): guard (1...32_767).contains(days) else { throw .notSupported("\(days) days") }
        case .between: break
        }
        self.symbol = symbol
        self.data = data
        self.extent = extent
        self.maximumPoints = maximumPoints
        self.filter = filter
    }

    /// Whether there are bars of so many seconds.
    static func takes(seconds: Int) -> Bool {
        (1...300).contains(seconds) || ((300...3_600).contains(seconds) && seconds % 60 == 0) || seconds == 7_200
    }

    /// The line to send; the answer's lines begin with the id.
    func line(id: String) -> String {
        let (most, begin, end) = (maximumPoints.map(String.init) ?? "", filter?.begin ?? "", filter?.end ?? "")
        let (oldestFirst, grouped, atStart, wholeOnly) = ("1", String(Self.pointsPerSend), "1", "0")
        let fields: [String]
        switch (data, extent) {
        case (.ticks, .last(let count)): fields = ["HTX", symbol, "\(count)", oldestFirst, id, grouped]
        case (.ticks, .recentDays(let days)): fields = ["HTD", symbol, "\(days)", most, begin, end, oldestFirst, id, grouped]
        case (.ticks, .between(let from, let to)): fields = ["HTT", symbol, from, to, most, begin, end, oldestFirst, id, grouped]
        case (.intervals(let seconds), .last(let count)):
            fields = ["HIX", symbol, "\(seconds)", "\(count)", oldestFirst, id, grouped, "s", atStart]
        case (.intervals(let seconds), .recentDays(let days)):
            fields = ["HID", symbol, "\(seconds)", "\(days)", most, begin, end, oldestFirst, id, grouped, "s", atStart]
        case (.intervals(let seconds), .between(let from, let to)):
            fields = ["HIT", symbol, "\(seconds)", from, to, most, begin, end, oldestFirst, id, grouped, "s", atStart]
        case (.days, .between(let from, let to)): fields = ["HDT", symbol, from, to, most, oldestFirst, id, grouped, wholeOnly]
        case (.days, .last(let count)): fields = ["HDX", symbol, "\(count)", oldestFirst, id, grouped, wholeOnly]
        case (.weeks, .last(let count)): fields = ["HWX", symbol, "\(count)", oldestFirst, id, grouped, wholeOnly]
        case (.months, .last(let count)): fields = ["HMX", symbol, "\(count)", oldestFirst, id, grouped, wholeOnly]
        case (.days, _), (.weeks, _), (.months, _): preconditionFailure("refused when it was made")
        }
        return fields.joined(separator: ",")
    }
}
