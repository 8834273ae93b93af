/// One field of a cron expression: which of its values match.
struct CronField: Sendable, Hashable {
    /// Bit n stands for the value n; every field has fewer than 64 values.
    let bits: UInt64
    /// Whether the author wrote `*` or `*/n`: such hours follow the clock through a change of offset.
    let isWildcard: Bool

    func matches(_ value: Int) -> Bool { bits & (1 << UInt64(value)) != 0 }

    /// The least matching value that is not below `value`.
    func next(from value: Int) -> Int? {
        guard value < 64 else { return nil }
        let rest = (bits >> UInt64(value)) << UInt64(value)
        return rest == 0 ? nil : rest.trailingZeroBitCount
    }

    var first: Int { bits.trailingZeroBitCount }

    /// Reads lists, ranges, steps and names, such as `1,5-10/2,*/15` or `mon-fri`.
    init(_ text: Substring, name: String, range: ClosedRange<Int>, names: [String: Int] = [:]) throws(CronError) {
        var bits: UInt64 = 0
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count <= 2, let body = parts.first, !body.isEmpty else { throw CronError(field: name, reason: "'\(item)' is not a value") }
            var step = 1
            if parts.count == 2 {
                guard let number = Int(parts[1]), number > 0, number <= range.upperBound else {
                    throw CronError(field: name, reason: "'\(parts[1])' is not a step from 1 to \(range.upperBound)")
                }
                step = number
            }
            let bounds = try Self.bounds(body, name: name, range: range, names: names, open: parts.count == 2)
            for value in stride(from: bounds.lowerBound, through: bounds.upperBound, by: step) { bits |= 1 << UInt64(value) }
        }
        self.bits = bits
        isWildcard = text.hasPrefix("*")
    }

    private static func bounds(
        _ body: Substring,
        name: String,
        range: ClosedRange<Int>,
        names: [String: Int],
        open: Bool
    ) throws(CronError) -> ClosedRange<Int> {
        if body == "*" || body == "?" { return range }
        let ends = body.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count <= 2 else { throw CronError(field: name, reason: "'\(body)' is not a range") }
        var values: [Int] = []
        for end in ends {
            guard let value = names[end.lowercased()] ?? Int(end), range.contains(value) else {
                throw CronError(field: name, reason: "'\(end)' is not a value from \(range.lowerBound) to \(range.upperBound)")
            }
            values.append(value)
        }
        guard values.count == 2 else { return values[0]...(open ? range.upperBound : values[0]) }
        guard values[0] <= values[1] else { throw CronError(field: name, reason: "'\(body)' runs backwards") }
        return values[0]...values[1]
    }
}

/// What is wrong with a cron expression.
struct CronError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The field's name: second, minute, hour, day, month, weekday or expression.
    let field: String
    /// What was met, and what would be right.
    let reason: String

    var description: String { "cron \(field): \(reason)" }
}
