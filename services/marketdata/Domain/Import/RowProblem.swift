import Bars

/// One row that cannot be true, named by its line.
struct RowProblem: Sendable, Equatable {
    /// 1 for the first line of the file (for JSON files, the first row).
    var line: Int
    /// The field at fault, by name.
    var column: String
    /// What is wrong and what would be right.
    var reason: String
    /// The UTC date on which the row's bar would begin; nothing when its time cannot be read.
    var day: CivilDay?
}

/// What an import saw of a day, besides its bars: kept, so that a report on the instrument can tell.
struct RowFinding: Sendable, Equatable {
    enum Kind: String, Sendable, CaseIterable {
        /// A second row of the same time.
        case duplicate
        /// A row that is earlier than one before it.
        case outOfOrder = "out_of_order"
        /// A row that cannot be true.
        case refused
    }

    var kind: Kind
    var day: CivilDay
    var rows: Int
    /// The first such line of the file.
    var firstLine: Int
}

/// The bad rows of a file: all are counted, the first hundred are kept.
struct RowProblems: Sendable, Equatable {
    private(set) var kept: [RowProblem] = []
    private(set) var total = 0
    private(set) var days: Set<CivilDay> = []
    /// Whether some row has no readable time, so that no day of the file is safe.
    private(set) var hasUnreadableTime = false
    private var seen: [CivilDay: [RowFinding.Kind: RowFinding]] = [:]

    /// What was seen, by day.
    var findings: [RowFinding] {
        seen.keys.sorted().flatMap { day in RowFinding.Kind.allCases.compactMap { seen[day]?[$0] } }
    }

    /// Remembers a row that is worth a word, bad or not.
    mutating func note(_ kind: RowFinding.Kind, line: Int, day: CivilDay) {
        var finding = seen[day]?[kind] ?? RowFinding(kind: kind, day: day, rows: 0, firstLine: line)
        finding.rows += 1
        finding.firstLine = min(finding.firstLine, line)
        seen[day, default: [:]][kind] = finding
    }

    mutating func add(line: Int, column: String, reason: String, day: CivilDay?, kind: RowFinding.Kind = .refused) {
        if let day { note(kind, line: line, day: day) }
        total += 1
        if kept.count < 100 { kept.append(RowProblem(line: line, column: column, reason: reason, day: day)) }
        if let day { days.insert(day) } else { hasUnreadableTime = true }
    }

    /// Says on which days the problems are, once it is known where the dates of the file lie.
    mutating func moveDays(_ move: (CivilDay) -> CivilDay) {
        for index in kept.indices { kept[index].day = kept[index].day.map(move) }
        days = Set(days.map(move))
        let findings = findings
        seen = [:]
        for var finding in findings {
            finding.day = move(finding.day)
            if let other = seen[finding.day]?[finding.kind] {
                finding.rows += other.rows
                finding.firstLine = min(finding.firstLine, other.firstLine)
            }
            seen[finding.day, default: [:]][finding.kind] = finding
        }
    }

    /// Counts rows instead of lines, for a text whose first line is a header that no file of the sender has.
    mutating func countRows() {
        for index in kept.indices {
            kept[index].line -= 1
            kept[index].reason = Self.countingRows(kept[index].reason)
        }
        for day in seen.keys { for kind in RowFinding.Kind.allCases { seen[day]?[kind]?.firstLine -= 1 } }
    }

    /// "the tick of line 7" becomes "the tick of row 6".
    private static func countingRows(_ reason: String) -> String {
        let words = reason.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        var counted = words
        for (index, word) in words.enumerated().dropLast() where word == "line" {
            guard let line = Int(words[index + 1]) else { continue }
            (counted[index], counted[index + 1]) = ("row", "\(line - 1)")
        }
        return counted.joined(separator: " ")
    }

    var isEmpty: Bool { total == 0 }

    /// The first few problems in one line.
    var summary: String {
        let first = kept.prefix(3).map { "line \($0.line): \($0.column): \($0.reason)" }.joined(separator: "; ")
        return total > 3 ? "\(first); and \(total - 3) more bad rows" : first
    }
}
