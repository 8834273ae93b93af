internal import Contracts

/// Reads the parts of one requirement line from left to right.
struct RequirementScanner {
    /// What has not been read yet.
    private(set) var rest: Substring

    /// A scanner at the start of the text.
    init(_ text: Substring) {
        rest = text
        while let last = rest.last, last == " " || last == "\t" || last == "\r" { rest.removeLast() }
    }

    /// Whether everything has been read.
    var isAtEnd: Bool { rest.isEmpty }

    /// Passes blanks and tabs.
    mutating func skipBlanks() {
        rest = rest.drop { $0 == " " || $0 == "\t" }
    }

    private mutating func take(while belongs: (Character) -> Bool) -> Substring {
        let taken = rest.prefix(while: belongs)
        rest = rest.dropFirst(taken.count)
        return taken
    }

    private mutating func take(_ text: String) -> Bool {
        guard rest.hasPrefix(text) else { return false }
        rest = rest.dropFirst(text.count)
        return true
    }

    private static func isAlphanumeric(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber)
    }

    /// A package's or extra's name: letters and digits, with `-`, `_` and `.` between them.
    mutating func name() throws(RequirementError) -> Substring {
        let taken = take { Self.isAlphanumeric($0) || "-_.".contains($0) }
        guard let first = taken.first, let last = taken.last, Self.isAlphanumeric(first), Self.isAlphanumeric(last) else {
            throw RequirementError(reason: "'\(rest.isEmpty ? taken : taken + rest.prefix(utf8Bytes: 20))' does not begin with a package's name")
        }
        if taken.count > 100 { throw RequirementError(reason: "the name has \(taken.count) characters, but may have 100") }
        return taken
    }

    /// `[extra, extra]`, or nothing.
    mutating func extras() throws(RequirementError) -> [Substring] {
        skipBlanks()
        guard take("[") else { return [] }
        var extras: [Substring] = []
        repeat {
            skipBlanks()
            extras.append(try name())
            skipBlanks()
        } while take(",")
        guard take("]") else { throw RequirementError(reason: "the extras do not end with ']'") }
        return extras
    }

    /// `>=1.26, <3`, or nothing.
    mutating func specifiers() throws(RequirementError) -> [String] {
        skipBlanks()
        if isAtEnd || rest.hasPrefix(";") { return [] }
        var specifiers: [String] = []
        repeat {
            skipBlanks()
            specifiers.append(try specifier())
            skipBlanks()
        } while take(",")
        guard isAtEnd || rest.hasPrefix(";") else {
            throw RequirementError(
                reason: "'\(rest.prefix(utf8Bytes: 20))' follows the version; separate several versions by commas and a marker by ';'"
            )
        }
        return specifiers
    }

    private mutating func specifier() throws(RequirementError) -> String {
        let known = ["~=", "==", "!=", "<=", ">=", "<", ">"]
        guard let comparison = known.first(where: { rest.hasPrefix($0) }), !rest.hasPrefix("===") else {
            throw RequirementError(reason: "'\(rest.prefix(utf8Bytes: 20))' is no version condition; use ==, !=, <=, >=, <, > or ~= and a version")
        }
        rest = rest.dropFirst(comparison.count)
        skipBlanks()
        let version = take { Self.isAlphanumeric($0) || ".*+!_-".contains($0) }
        guard let first = version.first, first.isNumber || first == "v" else {
            throw RequirementError(reason: "'\(comparison)\(version)' has no version")
        }
        if let fault = VersionText.fault(in: version, after: comparison) {
            throw RequirementError(reason: "'\(comparison)\(version)': \(fault)")
        }
        if let star = version.firstIndex(of: "*") {
            let right = version[star...] == "*" && version[..<star].hasSuffix(".") && ["==", "!="].contains(comparison)
            if !right { throw RequirementError(reason: "'\(comparison)\(version)': a '*' may only end a version after == or !=") }
        }
        return comparison + version
    }

    /// `; marker`, or nothing: words, comparisons, quoted texts and brackets in single blanks.
    mutating func marker() throws(RequirementError) -> String {
        skipBlanks()
        guard take(";") else { return "" }
        var words: [String] = []
        var depth = 0
        while true {
            skipBlanks()
            if isAtEnd { break }
            words.append(try markerWord(&depth))
        }
        guard !words.isEmpty, depth == 0 else { throw RequirementError(reason: "the marker after ';' is not complete") }
        guard MarkerGrammar.accepts(words) else {
            throw RequirementError(
                reason: "the marker after ';' is no condition; comparisons such as python_version >= '3.11', joined by and and or, would be right"
            )
        }
        return words.joined(separator: " ")
    }

    private mutating func markerWord(_ depth: inout Int) throws(RequirementError) -> String {
        let names: Set<Substring> = [
            "python_version", "python_full_version", "os_name", "sys_platform", "platform_release", "platform_system", "platform_version",
            "platform_machine", "platform_python_implementation", "implementation_name", "implementation_version", "and", "or", "not", "in",
        ]
        for comparison in ["===", "~=", "==", "!=", "<=", ">=", "<", ">"] where take(comparison) { return comparison }
        if take("(") {
            depth += 1
            return "("
        }
        if take(")") {
            depth -= 1
            if depth < 0 { throw RequirementError(reason: "the marker has a ')' without a '('") }
            return ")"
        }
        if let quote = rest.first, quote == "'" || quote == "\"" {
            rest = rest.dropFirst()
            let inside = take { Self.isAlphanumeric($0) || " .*+!_-,".contains($0) }
            guard take(String(quote)) else { throw RequirementError(reason: "a quoted text in the marker does not end, or holds something unusual") }
            return "'\(inside)'"
        }
        let word = take { Self.isAlphanumeric($0) || $0 == "_" }
        guard names.contains(word) else {
            throw RequirementError(
                reason: "'\((word.isEmpty ? rest : word[...]).prefix(utf8Bytes: 40))' is not a word of markers, such as python_version"
            )
        }
        return String(word)
    }
}
