public import Contracts

/// The parameters after the question mark, decoded. Everything that is read is checked; what nobody knows can be refused.
public struct Query: Sendable {
    /// Names and values in order.
    public let entries: [(name: String, value: String)]

    /// No parameters.
    public init() { entries = [] }

    /// Decodes the text after the question mark; nil when it is malformed.
    public init?(_ text: some StringProtocol) {
        self.init(bytes: Array(text.utf8)[...])
    }

    init?(bytes: ArraySlice<UInt8>) {
        var found: [(name: String, value: String)] = []
        for pair in bytes.split(separator: 0x26, omittingEmptySubsequences: true) {
            let parts = pair.split(separator: 0x3D, maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentCoding.decode(parts[0], plusIsSpace: true),
                let value = parts.count == 2 ? PercentCoding.decode(parts[1], plusIsSpace: true) : ""
            else { return nil }
            found.append((name, value))
            if found.count > 100 { return nil }
        }
        entries = found
    }

    /// The value of a parameter; nil when it is missing.
    public func string(_ name: String) -> String? {
        for entry in entries where entry.name == name { return entry.value }
        return nil
    }

    /// The value of a parameter that has to be there.
    public func required(_ name: String) throws -> String {
        guard let value = string(name), !value.isEmpty else {
            throw Problem.badRequest(code: "missing_parameter", detail: "The parameter \(name) is needed.", field: name)
        }
        return value
    }

    /// Every value of a parameter that may repeat.
    public func all(_ name: String) -> [String] {
        entries.filter { $0.name == name }.map(\.value)
    }

    /// A whole number within `range`, or `default` when it is missing.
    public func integer(_ name: String, range: ClosedRange<Int> = 0...Int.max, default: Int) throws -> Int {
        try integer(name, range: range) ?? `default`
    }

    /// A whole number within `range`; nil when it is missing.
    public func integer(_ name: String, range: ClosedRange<Int> = 0...Int.max) throws -> Int? {
        guard let text = string(name) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            let bounds = range.upperBound == .max ? "of at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is a whole number \(bounds).", field: name)
        }
        return value
    }

    /// `true` or `false`; `default` when it is missing.
    public func boolean(_ name: String, default: Bool = false) throws -> Bool {
        switch string(name) {
        case nil: return `default`
        case "true", "1": return true
        case "false", "0": return false
        default: throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is true or false.", field: name)
        }
    }

    /// A moment such as `2016-10-08T12:01:00Z`; nil when it is missing.
    public func timestamp(_ name: String) throws -> Timestamp? {
        guard let text = string(name) else { return nil }
        guard let value = Timestamp(iso8601: text) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is a UTC time such as 2016-10-08T12:01:00Z.", field: name)
        }
        return value
    }

    /// A value of any type that can be read from text, such as an id; nil when it is missing.
    public func value<T: LosslessStringConvertible>(_ name: String, as type: T.Type) throws -> T? {
        guard let text = string(name) else { return nil }
        guard let value = T(text) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) has not the form that it should have.", field: name)
        }
        return value
    }

    /// One of several words; nil when it is missing.
    public func choice(_ name: String, of words: [String]) throws -> String? {
        guard let text = string(name) else { return nil }
        guard words.contains(text) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is one of: \(words.joined(separator: ", ")).", field: name)
        }
        return text
    }

    /// Refuses parameters that the route does not know, and those that are given twice though they are not `repeatable`.
    public func reject(unknownExcept known: [String], repeatable: [String] = []) throws {
        guard !entries.isEmpty else { return }
        var seen: Set<String> = []
        for entry in entries {
            guard known.contains(entry.name) else {
                let hint = known.isEmpty ? "This takes no parameters." : "This takes: \(known.joined(separator: ", "))."
                throw Problem.badRequest(code: "unknown_parameter", detail: hint, field: String(entry.name.prefix(64)))
            }
            guard seen.insert(entry.name).inserted || repeatable.contains(entry.name) else {
                throw Problem.badRequest(code: "duplicate_parameter", detail: "\(entry.name) is given twice.", field: entry.name)
            }
        }
    }
}
