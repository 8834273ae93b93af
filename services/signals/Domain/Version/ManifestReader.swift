import Contracts

/// Takes one table of a manifest apart and remembers every fault on the way, so that an author sees them all at once.
struct ManifestReader {
    private(set) var problems: [UploadProblem] = []
    private let members: [String: JSONValue]
    private let path: String
    private var known: Set<String> = []

    init(_ members: [String: JSONValue], path: String = "") {
        self.members = members
        self.path = path
    }

    mutating func report(_ key: String, _ message: String) {
        problems.append(UploadProblem(code: "bad_manifest", field: "\(ProjectFile.manifest): \(path)\(key)", message: message))
    }

    mutating func take(_ other: ManifestReader) { problems += other.problems }

    /// The value of a key; nil is reported unless `optional`.
    mutating func value(_ key: String, optional: Bool = false, expected: String) -> JSONValue? {
        known.insert(key)
        if let value = members[key] { return value }
        if !optional { report(key, "is missing: \(expected)") }
        return nil
    }

    mutating func string(_ key: String, default fallback: String? = nil, expected: String, where isValid: (String) -> Bool) -> String {
        guard let value = value(key, optional: fallback != nil, expected: expected) else { return fallback ?? "" }
        guard let text = value.string, isValid(text) else {
            report(key, "must be \(expected)")
            return fallback ?? ""
        }
        return text
    }

    mutating func integer(_ key: String, default fallback: Int? = nil, range: ClosedRange<Int>, expected: String) -> Int {
        let expected = "\(expected), a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = value(key, optional: fallback != nil, expected: expected) else { return fallback ?? range.lowerBound }
        guard let number = value.integer, let whole = Int(exactly: number), range.contains(whole) else {
            report(key, "must be \(expected)")
            return fallback ?? range.lowerBound
        }
        return whole
    }

    mutating func word<Word: RawRepresentable>(_ key: String, default fallback: Word? = nil, among words: [Word]) -> Word?
    where Word.RawValue == String {
        let expected = "one of " + words.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        guard let value = value(key, optional: fallback != nil, expected: expected) else { return fallback }
        guard let word = words.first(where: { $0.rawValue == value.string }) else {
            report(key, "must be \(expected)")
            return fallback
        }
        return word
    }

    /// Reads a table with `body`; its faults are added to these.
    mutating func table<Value>(_ key: String, expected: String, _ body: (inout ManifestReader) -> Value?) -> Value? {
        guard let value = value(key, expected: expected) else { return nil }
        guard let object = value.object else {
            report(key, "must be a table: \(expected)")
            return nil
        }
        return nested(object, path: "\(path)\(key).", body)
    }

    /// Reads each table of a list of tables with `body`.
    mutating func tables<Value>(_ key: String, maximum: Int, expected: String, _ body: (inout ManifestReader) -> Value?) -> [Value] {
        guard let value = value(key, optional: true, expected: expected) else { return [] }
        guard let array = value.array, array.allSatisfy({ $0.object != nil }), array.count <= maximum else {
            report(key, "must be a list of at most \(maximum) tables: \(expected)")
            return []
        }
        return array.enumerated().compactMap { index, element in
            nested(element.object ?? [:], path: "\(path)\(key)[\(index)].", body)
        }
    }

    private mutating func nested<Value>(_ members: [String: JSONValue], path: String, _ body: (inout ManifestReader) -> Value?) -> Value? {
        var reader = ManifestReader(members, path: path)
        let result = body(&reader)
        reader.refuseUnknownKeys()
        take(reader)
        return result
    }

    /// A key that nobody asked for is most likely misspelt.
    mutating func refuseUnknownKeys() {
        for key in members.keys.sorted() where !known.contains(key) {
            report(key, "is not a key that is known here; known are \(known.sorted().joined(separator: ", "))")
        }
    }
}
