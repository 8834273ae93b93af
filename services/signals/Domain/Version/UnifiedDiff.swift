/// The difference of two texts, line by line, in the form that `diff -u` prints.
enum UnifiedDiff {
    /// Longer texts are compared by hash only: the work grows with lines times changes.
    static let maximumLines = 5_000

    /// The hunks with three lines around each change; empty when nothing differs, nil when a text is too long.
    static func text(from old: String, to new: String, context: Int = 3) -> String? {
        let before = lines(old)
        let after = lines(new)
        guard before.count <= maximumLines, after.count <= maximumLines else { return nil }
        let steps = steps(before, after)
        var output = ""
        var index = 0
        while let firstChange = steps[index...].firstIndex(where: { $0.kind != .same }) {
            let start = max(index, firstChange - context)
            var end = firstChange
            var quiet = 0
            while end < steps.count, quiet <= context * 2 {
                quiet = steps[end].kind == .same ? quiet + 1 : 0
                end += 1
            }
            if quiet > context { end -= quiet - context }
            output += hunk(steps[start..<end])
            index = end
        }
        return output
    }

    private struct Step {
        enum Kind: String { case same = " ", removed = "-", added = "+" }
        var kind: Kind
        var line: Substring
        /// Numbers from 1 of the lines that this step stands at in both texts.
        var oldNumber: Int
        var newNumber: Int
    }

    private static func steps(_ before: [Substring], _ after: [Substring]) -> [Step] {
        let difference = after.difference(from: before)
        var removed: Set<Int> = []
        var added: Set<Int> = []
        for change in difference {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, _, _): added.insert(offset)
            }
        }
        var steps: [Step] = []
        var (old, new) = (0, 0)
        while old < before.count || new < after.count {
            if old < before.count, removed.contains(old) {
                steps.append(Step(kind: .removed, line: before[old], oldNumber: old + 1, newNumber: new + 1))
                old += 1
            } else if new < after.count, added.contains(new) {
                steps.append(Step(kind: .added, line: after[new], oldNumber: old + 1, newNumber: new + 1))
                new += 1
            } else {
                steps.append(Step(kind: .same, line: before[old], oldNumber: old + 1, newNumber: new + 1))
                old += 1
                new += 1
            }
        }
        return steps
    }

    private static func hunk(_ steps: ArraySlice<Step>) -> String {
        guard let first = steps.first else { return "" }
        let oldCount = steps.count { $0.kind != .added }
        let newCount = steps.count { $0.kind != .removed }
        // An empty side is numbered by the line before it, as diff does.
        let oldStart = oldCount == 0 ? first.oldNumber - 1 : first.oldNumber
        let newStart = newCount == 0 ? first.newNumber - 1 : first.newNumber
        var text = "@@ -\(oldStart),\(oldCount) +\(newStart),\(newCount) @@\n"
        for step in steps { text += "\(step.kind.rawValue)\(step.line)\n" }
        return text
    }

    private static func lines(_ text: String) -> [Substring] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }
}
