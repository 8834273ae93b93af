import FoundationEssentials
internal import Glibc

/// One setting of a service, as `--help` lists it.
public struct SettingDefinition: Sendable {
    /// The environment variable.
    public let key: String
    /// What it is for, its unit, and what is allowed.
    public let help: String
    /// What holds when it is not set; nil when it must be set.
    public let defaultValue: String?
    /// Whether the value must never be shown; such a setting also has a `_FILE` form.
    public let secret: Bool
    /// Whether the service can do without it.
    public let optional: Bool
}

/// What is wrong with the settings: one line for each.
public struct SettingsError: Error, Sendable, CustomStringConvertible {
    /// The lines; none holds a secret.
    public let problems: [String]

    /// The lines, joined.
    public var description: String { problems.joined(separator: "\n") }
}

/// Reads settings from `AUSPEX_…` variables, and remembers what was asked for and what was wrong.
///
/// A settings type reads all its keys in its initialiser; `finish()` then reports every problem at once. The same initialiser, run on an
/// empty environment, yields the list for `--help`.
public struct SettingsReader {
    /// What was asked for so far, in order.
    public private(set) var definitions: [SettingDefinition] = []
    private var problems: [String] = []
    private let environment: [String: String]

    /// A reader of the given environment.
    public init(environment: [String: String]) {
        self.environment = environment
    }

    /// Text that must be there unless there is a default.
    public mutating func string(_ key: String, help: String, default fallback: String? = nil, secret: Bool = false) -> String {
        define(key, help, fallback, secret: secret, optional: false)
        guard let value = value(of: key, secret: secret) ?? fallback else {
            problems.append("\(key) is not set: \(help)")
            return ""
        }
        return value
    }

    /// Text that may be absent.
    public mutating func optionalString(_ key: String, help: String, secret: Bool = false) -> String? {
        define(key, help, nil, secret: secret, optional: true)
        return value(of: key, secret: secret)
    }

    /// A whole number in a range.
    public mutating func integer(_ key: String, help: String, default fallback: Int? = nil, range: ClosedRange<Int>) -> Int {
        define(key, "\(help) (\(range.lowerBound)…\(range.upperBound))", fallback.map(String.init), secret: false, optional: false)
        guard let text = value(of: key, secret: false) else {
            if let fallback { return fallback }
            problems.append("\(key) is not set: \(help)")
            return range.lowerBound
        }
        guard let number = Int(text), range.contains(number) else {
            problems.append("\(key) is '\(text)', but must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return range.lowerBound
        }
        return number
    }

    /// `true` or `false`.
    public mutating func boolean(_ key: String, help: String, default fallback: Bool) -> Bool {
        define(key, help, fallback ? "true" : "false", secret: false, optional: false)
        switch value(of: key, secret: false) {
        case nil: return fallback
        case "true": return true
        case "false": return false
        case .some(let text):
            problems.append("\(key) is '\(text)', but must be true or false")
            return fallback
        }
    }

    /// A length of time, given in seconds, with a fraction if need be.
    public mutating func seconds(_ key: String, help: String, default fallback: Double, range: ClosedRange<Double>) -> Duration {
        define(key, "\(help) (seconds, \(range.lowerBound)…\(range.upperBound))", "\(fallback)", secret: false, optional: false)
        guard let text = value(of: key, secret: false) else { return .seconds(fallback) }
        guard let number = Double(text), range.contains(number) else {
            problems.append("\(key) is '\(text)', but must be seconds from \(range.lowerBound) to \(range.upperBound)")
            return .seconds(fallback)
        }
        return .seconds(number)
    }

    /// One of a few words.
    public mutating func choice<T: RawRepresentable & CaseIterable>(_ key: String, help: String, default fallback: T) -> T
    where T.RawValue == String {
        let words = T.allCases.map(\.rawValue).joined(separator: ", ")
        define(key, "\(help) (\(words))", fallback.rawValue, secret: false, optional: false)
        guard let text = value(of: key, secret: false) else { return fallback }
        guard let value = T(rawValue: text) else {
            problems.append("\(key) is '\(text)', but must be one of: \(words)")
            return fallback
        }
        return value
    }

    /// A URL with one of the given schemes.
    public mutating func url(_ key: String, help: String, default fallback: String? = nil, schemes: [String], secret: Bool = false) -> String {
        let text = string(key, help: help, default: fallback, secret: secret)
        check(key, url: text, schemes: schemes)
        return text
    }

    /// One URL or several with commas between them: replicas of the same thing.
    public mutating func urls(_ key: String, help: String, default fallback: String? = nil, schemes: [String]) -> [String] {
        let list = string(key, help: help, default: fallback).split(separator: ",").map { Self.trimmed(String($0)) }
        for text in list { check(key, url: text, schemes: schemes) }
        return list
    }

    /// The path of a file that must be readable.
    public mutating func path(_ key: String, help: String) -> String {
        let path = string(key, help: help)
        if !path.isEmpty && access(path, R_OK) != 0 { problems.append("\(key) names '\(path)', which cannot be read") }
        return path
    }

    /// Adds a problem that a settings type found in the combination of its values.
    public mutating func report(_ problem: String) {
        problems.append(problem)
    }

    /// Throws when anything was missing or malformed.
    public func finish() throws(SettingsError) {
        if !problems.isEmpty { throw SettingsError(problems: problems) }
    }

    private mutating func define(_ key: String, _ help: String, _ fallback: String?, secret: Bool, optional: Bool) {
        precondition(!definitions.contains { $0.key == key }, "setting \(key) is read twice")
        definitions.append(SettingDefinition(key: key, help: help, defaultValue: fallback, secret: secret, optional: optional))
    }

    private mutating func value(of key: String, secret: Bool) -> String? {
        let plain = environment[key].flatMap { $0.isEmpty ? nil : $0 }
        guard secret, let path = environment[key + "_FILE"], !path.isEmpty else { return plain }
        if plain != nil {
            problems.append("both \(key) and \(key)_FILE are set: keep one")
            return plain
        }
        guard let data = try? Data(contentsOf: URL(filePath: path)) else {
            problems.append("\(key)_FILE names '\(path)', which cannot be read")
            return ""
        }
        return Self.trimmed(String(decoding: data, as: UTF8.self))
    }

    private static func trimmed(_ text: String) -> String {
        let kept = text.drop { $0.isWhitespace }
        return String(kept.prefix(kept.lastIndex { !$0.isWhitespace }.map { kept.distance(from: kept.startIndex, to: $0) + 1 } ?? 0))
    }

    private mutating func check(_ key: String, url text: String, schemes: [String]) {
        guard !text.isEmpty else { return }
        guard let url = URL(string: text), let scheme = url.scheme, schemes.contains(scheme), url.host() != nil else {
            // The value may hold a password: it is not repeated.
            problems.append("\(key) must be a URL that begins with \(schemes.map { $0 + "://" }.joined(separator: " or "))")
            return
        }
        for part in text.split(separator: "%", omittingEmptySubsequences: false).dropFirst() where part.prefix(2).count(where: \.isHexDigit) < 2 {
            problems.append("\(key) has a % that no two hexadecimal digits follow: a % itself is written %25")
            return
        }
    }
}

/// The settings of a service: a plain value read once at start.
public protocol ServiceSettings: Sendable {
    /// Reads every key, also when some are missing; the caller then asks the reader to `finish()`.
    init(from reader: inout SettingsReader)
    /// What all services have.
    var common: CommonSettings { get }
    /// How long a stop may take before the process leaves without waiting on.
    var drainTimeout: Duration { get }
}

extension ServiceSettings {
    /// What holds for services that finish what they serve in a moment.
    public var drainTimeout: Duration { .seconds(10) }
}
