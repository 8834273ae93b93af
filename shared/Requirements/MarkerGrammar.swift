/// The grammar of markers, over words that were read one by one: comparisons, joined by `and` and `or`, in brackets where wanted.
struct MarkerGrammar {
    private let words: [String]
    private var at = 0

    private static let comparisons: Set<String> = ["===", "~=", "==", "!=", "<=", ">=", "<", ">", "in"]

    /// Whether the words are one whole condition.
    static func accepts(_ words: [String]) -> Bool {
        var grammar = MarkerGrammar(words: words)
        return grammar.condition() && grammar.at == words.count
    }

    private init(words: [String]) {
        self.words = words
    }

    private mutating func take(_ word: String) -> Bool {
        guard at < words.count, words[at] == word else { return false }
        at += 1
        return true
    }

    // As deep as there are brackets: a line is too short for many.
    private mutating func condition() -> Bool {
        repeat {
            if take("(") {
                guard condition(), take(")") else { return false }
            } else {
                guard comparison() else { return false }
            }
        } while take("and") || take("or")
        return true
    }

    private mutating func comparison() -> Bool {
        guard operand() else { return false }
        if take("not") {
            guard take("in") else { return false }
        } else {
            guard at < words.count, Self.comparisons.contains(words[at]) else { return false }
            at += 1
        }
        return operand()
    }

    private mutating func operand() -> Bool {
        let isWord = at < words.count && !Self.comparisons.contains(words[at]) && !["(", ")", "and", "or", "not"].contains(words[at])
        if isWord { at += 1 }
        return isWord
    }
}
