/// Versions as PEP 440 writes them: what an installer would not understand is said at once, and not when the environment is built.
enum VersionText {
    /// What is wrong with a version after a comparison; nil for a good one. A `*` at its end is somebody else's matter.
    static func fault(in version: Substring, after comparison: String) -> String? {
        var text = version.lowercased()[...]
        if text.hasSuffix(".*") { text = text.dropLast(2) }
        if text.contains("*") { return nil }
        let plain = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
        if plain.count == 2, !["==", "!="].contains(comparison) { return "a local version ('+') may only stand after == or !=" }
        guard plain.count == 1 || isLocal(plain[1]), let numbers = numbers(of: plain[0]) else { return "this is no version, such as 1.26.4" }
        if comparison == "~=", numbers < 2 { return "'~=' needs a version of two numbers or more" }
        return nil
    }

    private static func isLocal(_ text: Substring) -> Bool {
        text.split(omittingEmptySubsequences: false) { ".-_".contains($0) }.allSatisfy { !$0.isEmpty && $0.allSatisfy { $0.isLetter || $0.isNumber } }
    }

    /// How many numbers the release has, such as 3 in `1.26.4rc1`; nil for what is no version.
    private static func numbers(of version: Substring) -> Int? {
        var rest = version.hasPrefix("v") ? version.dropFirst() : version
        if let mark = rest.firstIndex(of: "!") {
            guard mark != rest.startIndex, rest[..<mark].allSatisfy(\.isNumber) else { return nil }
            rest = rest[rest.index(after: mark)...]
        }
        var count = 0
        repeat {
            let digits = rest.prefix(while: \.isNumber)
            guard !digits.isEmpty else { return nil }
            count += 1
            rest = rest.dropFirst(digits.count)
            // A point before a word belongs to the word: 1.0.post1
        } while rest.first == "." && rest.dropFirst().first?.isNumber == true
            && {
                rest = rest.dropFirst(); return true
            }()
        for words in [["alpha", "beta", "preview", "pre", "rc", "a", "b", "c"], ["post", "rev", "r"], ["dev"]] { pass(words, &rest) }
        return rest.isEmpty ? count : nil
    }

    /// Passes one of the words with its number, if it is there.
    private static func pass(_ words: [String], _ rest: inout Substring) {
        let bare = rest.first.map { ".-_".contains($0) } == true ? rest.dropFirst() : rest
        if let word = words.first(where: { bare.hasPrefix($0) }) {
            rest = bare.dropFirst(word.count)
            let number = rest.first.map { ".-_".contains($0) } == true ? rest.dropFirst() : rest
            if number.first?.isNumber == true { rest = number.drop(while: \.isNumber) }
        } else if words.contains("post"), rest.first == "-", rest.dropFirst().first?.isNumber == true {
            // 1.0-1 is 1.0.post1
            rest = rest.dropFirst().drop(while: \.isNumber)
        }
    }
}
