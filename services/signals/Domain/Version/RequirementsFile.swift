/// Basic checks of `requirements.txt`: what the build step would refuse or must never be asked to do is said at upload.
enum RequirementsFile {
    /// Faults by line. Allowed are `name`, extras, version ranges, markers and `--hash`; no paths, URLs, other indexes or other files.
    static func problems(in text: String) -> [UploadProblem] {
        var problems: [UploadProblem] = []
        var count = 0
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var line = raw
            // A comment begins at the line's start or after a blank.
            if line.first == "#" { continue }
            if let comment = line.firstRange(of: " #") { line = line[..<comment.lowerBound] }
            let content = trimmed(line)
            if content.isEmpty || content.hasPrefix("--hash=") { continue }
            count += 1
            if let fault = fault(in: content) {
                problems.append(UploadProblem(code: "bad_requirement", field: "requirements.txt:\(index + 1)", message: fault))
            }
        }
        if count > 200 {
            problems.append(UploadProblem(code: "bad_requirement", field: "requirements.txt", message: "at most 200 requirements"))
        }
        return problems
    }

    private static func fault(in line: Substring) -> String? {
        if line.hasPrefix("-") { return "options are not allowed here; only '--hash=' after a requirement" }
        if line.contains("://") || line.contains("@") { return "requirements come from the package index, not from an address" }
        let name = line.prefix { isNameCharacter($0) }
        guard let first = name.first, first.isLetter || first.isNumber else { return "a requirement begins with the name of a package" }
        let rest = line.dropFirst(name.count)
        if rest.hasPrefix("/") || rest.hasPrefix("\\") { return "a requirement is a package's name, not a path" }
        let tail = trimmed(rest)
        if let next = tail.first, !"[=<>!~;,(\\".contains(next), !tail.hasPrefix("--hash=") {
            return "after the name come extras in [], a version such as '==1.2.3', or a marker after ';'"
        }
        return nil
    }

    private static func isNameCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "._-".contains(character))
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0.isWhitespace }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}
