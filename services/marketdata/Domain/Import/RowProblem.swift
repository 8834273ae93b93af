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

/// The bad rows of a file: all are counted, the first hundred are kept.
struct RowProblems: Sendable, Equatable {
    private(set) var kept: [RowProblem] = []
    private(set) var total = 0
    private(set) var days: Set<CivilDay> = []
    /// Whether some row has no readable time, so that no day of the file is safe.
    private(set) var hasUnreadableTime = false

    mutating func add(line: Int, column: String, reason: String, day: CivilDay?) {
        total += 1
        if kept.count < 100 { kept.append(RowProblem(line: line, column: column, reason: reason, day: day)) }
        if let day { days.insert(day) } else { hasUnreadableTime = true }
    }

    /// Says on which days the problems are, once it is known where the dates of the file lie.
    mutating func moveDays(_ move: (CivilDay) -> CivilDay) {
        for index in kept.indices { kept[index].day = kept[index].day.map(move) }
        days = Set(days.map(move))
    }

    var isEmpty: Bool { total == 0 }

    /// The first few problems in one line.
    var summary: String {
        let first = kept.prefix(3).map { "line \($0.line): \($0.column): \($0.reason)" }.joined(separator: "; ")
        return total > 3 ? "\(first); and \(total - 3) more bad rows" : first
    }
}
