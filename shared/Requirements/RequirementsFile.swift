internal import Contracts

/// The lines of a `requirements.txt`, read strictly: names, extras, versions and markers, nothing else.
///
/// Installers accept far more in that file (options, URLs, paths), some of which reads files of the machine that installs. So the file is
/// never handed on: it is parsed here, and a canonical text is written from what was understood.
public struct RequirementsFile: Sendable, Hashable {
    /// What is required, sorted by name.
    public let requirements: [Requirement]

    /// What is wrong with a line, and what would be right.
    public struct Problem: Error, Sendable, Hashable, CustomStringConvertible {
        /// The line, from 1; nil when it is about the file.
        public var line: Int?
        /// What is wrong.
        public var reason: String

        /// A problem of a line, or of the file.
        public init(line: Int? = nil, reason: String) {
            self.line = line
            self.reason = reason
        }

        /// In a line.
        public var description: String { "requirements.txt\(line.map { " line \($0)" } ?? ""): \(reason)" }
    }

    /// The longest file.
    public static let maximumBytes = 65_536
    /// The most requirements.
    public static let maximumRequirements = 200
    static let maximumLineBytes = 500

    /// No requirements: the plain interpreter.
    public static let none = RequirementsFile(requirements: [])

    private init(requirements: [Requirement]) {
        self.requirements = requirements
    }

    /// Reads the file's text; throws at the first line that is not a plain requirement.
    public init(parsing text: String) throws(Problem) {
        let (found, problems) = Self.read(text)
        if let first = problems.first { throw first }
        var unique: [Requirement] = []
        for requirement in found.sorted(by: { $0.text < $1.text }) where requirement != unique.last { unique.append(requirement) }
        requirements = unique
    }

    /// Everything that is wrong with the file, in the order of its lines: for an author who is to hear it at once.
    public static func problems(in text: String) -> [Problem] { read(text).problems }

    private static func read(_ text: String) -> (requirements: [Requirement], problems: [Problem]) {
        if text.utf8.count > maximumBytes {
            return ([], [Problem(reason: "it has \(text.utf8.count) bytes, but may have \(maximumBytes)")])
        }
        var found: [Requirement] = []
        var problems: [Problem] = []
        let text = text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            do throws(RequirementError) {
                if let requirement = try Requirement(line: raw) { found.append(requirement) }
            } catch {
                problems.append(Problem(line: index + 1, reason: error.reason))
            }
        }
        if found.count > maximumRequirements {
            problems.append(Problem(reason: "it has \(found.count) requirements, but may have \(maximumRequirements)"))
        }
        return (found, problems)
    }

    /// One requirement a line, sorted: equal for files that ask for the same.
    public var text: String { requirements.map { $0.text + "\n" }.joined() }
}

/// Why a line is no plain requirement.
struct RequirementError: Error, Sendable, Hashable {
    /// What is wrong and what would be right.
    var reason: String
}

/// One line: `name[extras] specifiers ; marker`.
public struct Requirement: Sendable, Hashable {
    /// The canonical text of the line.
    public let text: String

    /// Reads a line; nil when it is blank or a comment.
    init?(line raw: Substring) throws(RequirementError) {
        if raw.utf8.count > RequirementsFile.maximumLineBytes {
            throw RequirementError(reason: "the line has \(raw.utf8.count) bytes, but may have \(RequirementsFile.maximumLineBytes)")
        }
        for scalar in raw.unicodeScalars where !scalar.isASCII || (scalar.value < 32 && scalar != "\t") || scalar.value == 127 {
            // A comment may be in any language.
            if scalar.isASCII || !Self.isInComment(scalar, raw) { throw RequirementError(reason: "it holds a character that is not plain ASCII") }
        }
        var scanner = RequirementScanner(Self.withoutComment(raw))
        scanner.skipBlanks()
        if scanner.isAtEnd { return nil }
        try Self.refuseForeignForms(scanner.rest)
        let name = try scanner.name()
        let extras = try scanner.extras()
        let specifiers = try scanner.specifiers()
        let marker = try scanner.marker()
        var text = Self.normalized(name)
        if !extras.isEmpty { text += "[" + Set(extras.map(Self.normalized)).sorted().joined(separator: ",") + "]" }
        text += Set(specifiers).sorted().joined(separator: ",")
        if !marker.isEmpty { text += " ; " + marker }
        self.text = text
    }

    private static func withoutComment(_ line: Substring) -> Substring {
        var previous: Character = " "
        for index in line.indices {
            if line[index] == "#", previous == " " || previous == "\t" { return line[..<index] }
            previous = line[index]
        }
        return line
    }

    private static func isInComment(_ scalar: Unicode.Scalar, _ line: Substring) -> Bool {
        guard let at = line.unicodeScalars.firstIndex(of: scalar) else { return false }
        return at >= withoutComment(line).endIndex
    }

    private static func refuseForeignForms(_ line: Substring) throws(RequirementError) {
        let right = "write one package a line, such as 'numpy>=1.26,<3'"
        if line.hasPrefix("-") {
            let option = line.prefix { $0 != " " && $0 != "=" && $0 != "\t" }.prefix(utf8Bytes: 40)
            throw RequirementError(reason: "'\(option)' is an option, and options are not accepted; \(right)")
        }
        if line.hasSuffix("\\") { throw RequirementError(reason: "continued lines are not accepted; \(right)") }
        let start = line.prefix { $0 != ";" }
        if start.contains("@") { throw RequirementError(reason: "a package from an address ('@') is not accepted; \(right)") }
        if start.contains("://") || start.hasPrefix("git+") || start.hasPrefix("file:") {
            throw RequirementError(reason: "an address is not accepted; \(right)")
        }
        if start.contains("$") || start.contains("%") { throw RequirementError(reason: "variables are not accepted; \(right)") }
        if start.contains("/") || start.hasPrefix(".") || start.hasPrefix("~") {
            throw RequirementError(reason: "a path is not accepted; \(right)")
        }
        if line.contains(" --") { throw RequirementError(reason: "options after a package (hashes, settings) are not accepted; \(right)") }
    }

    private static func normalized(_ name: some StringProtocol) -> String {
        name.lowercased().split(whereSeparator: { "-_.".contains($0) }).joined(separator: "-")
    }
}
