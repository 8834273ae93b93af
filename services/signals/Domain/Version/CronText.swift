/// Checks the form of a cron expression at upload; when it fires is the scheduler's business.
enum CronText {
    private static let fields: [(name: String, range: ClosedRange<Int>, words: [String])] = [
        ("minute", 0...59, []),
        ("hour", 0...23, []),
        ("day of month", 1...31, []),
        ("month", 1...12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
        ("day of week", 0...7, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
    ]

    /// Why the expression cannot be meant; nil when its form is right.
    static func fault(in expression: String) -> String? {
        let parts = expression.split(separator: " ")
        guard parts.count == fields.count else { return "a cron expression has 5 fields: minute hour day month weekday" }
        for (part, field) in zip(parts, fields) {
            for item in part.split(separator: ",", omittingEmptySubsequences: false) where !isValid(item, field.range, field.words) {
                return "'\(part)' is no \(field.name): use *, a number from \(field.range.lowerBound) to \(field.range.upperBound), a range or a step"
            }
        }
        return nil
    }

    private static func isValid(_ item: Substring, _ range: ClosedRange<Int>, _ words: [String]) -> Bool {
        let step = item.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        if step.count == 2 {
            guard let value = Int(step[1]), value > 0, value <= range.upperBound else { return false }
        }
        if step[0] == "*" { return true }
        let ends = step[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { number($0, range, words) }
        guard let low = ends.first ?? nil, let high = ends.last ?? nil else { return false }
        return low <= high
    }

    private static func number(_ text: Substring, _ range: ClosedRange<Int>, _ words: [String]) -> Int? {
        if let index = words.firstIndex(of: text.lowercased()) { return index + range.lowerBound }
        guard text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let value = Int(text), range.contains(value) else { return nil }
        return value
    }
}
