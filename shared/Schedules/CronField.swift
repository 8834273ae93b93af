/// One field of a cron expression as the set of its values.
struct CronField: Sendable, Hashable {
    private(set) var bits: UInt64 = 0
    /// Whether the field says nothing: `*` or `?`.
    private(set) var isWildcard = false

    func contains(_ value: Int) -> Bool { bits & (1 << UInt64(value)) != 0 }

    var count: Int { bits.nonzeroBitCount }

    /// The least value from `start` on.
    func next(from start: Int) -> Int? {
        guard start < 64 else { return nil }
        let rest = bits >> UInt64(start)
        return rest == 0 ? nil : start + rest.trailingZeroBitCount
    }

    /// No value at all.
    init() {}

    /// Lists, ranges and steps: `1,5`, `1-5`, `*/15`, `10-40/5`, `mon-fri`, `sat-sun`.
    init(_ text: Substring, range: ClosedRange<Int>, names: [String] = [], field: String) throws(ScheduleError) {
        func fail() -> ScheduleError { .badCron(field: field, text: String(text)) }
        func value(_ part: Substring) throws(ScheduleError) -> Int {
            if let index = names.firstIndex(of: part.lowercased()) { return index + (range.lowerBound == 1 ? 1 : 0) }
            guard !part.isEmpty, part.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(part), range.contains(number)
            else { throw fail() }
            return number
        }
        guard !text.isEmpty else { throw fail() }
        isWildcard = text == "*" || text == "?"
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard pieces.count <= 2, let span = pieces.first else { throw fail() }
            var step = 1
            if pieces.count == 2 {
                guard let number = Int(pieces[1]), number >= 1, number <= range.upperBound, pieces[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 })
                else {
                    throw fail()
                }
                step = number
            }
            let low: Int
            let high: Int
            if span == "*" || span == "?" {
                (low, high) = (range.lowerBound, range.upperBound)
            } else if span.contains("-") {
                let ends = span.split(separator: "-", omittingEmptySubsequences: false)
                guard ends.count == 2 else { throw fail() }
                let (first, last) = (try value(ends[0]), try value(ends[1]))
                // Sunday is 7 as well as 0, so it can end a range.
                (low, high) = (first, last == 0 && range.upperBound == 7 && first > 0 ? 7 : last)
            } else {
                low = try value(span)
                high = pieces.count == 2 ? range.upperBound : low
            }
            guard low <= high else { throw fail() }
            for number in stride(from: low, through: high, by: step) { bits |= 1 << UInt64(number) }
        }
    }
}
