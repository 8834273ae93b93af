/// The parameters of a manifest: plain values, and declarations with a type, a default and bounds, whose values may differ from run to run.
///
/// A declaration is a table with `type` (`integer`, `number`, `text` or `boolean`) and `default`; beside them may stand `minimum`, `maximum`, `choices` and
/// `description`. `sdk/python/auspex/_parameters.py` says the same in Python; `sdk/golden/parameters.json` holds both to it.
public enum DeclaredParameters {
    /// What is wrong with a parameter.
    public struct Fault: Error, Sendable, Hashable {
        /// The parameter's name, with the key of its declaration that is at fault, such as `threshold.default`.
        public var field: String
        /// What is wrong, and what would be right.
        public var reason: String
    }

    private static let types: Set = ["integer", "number", "text", "boolean"]
    private static let keys: Set = ["type", "default", "minimum", "maximum", "choices", "description"]

    /// The declaration of a parameter; nil for a plain value.
    private static func declaration(_ value: JSONValue) -> [String: JSONValue]? {
        guard let members = value.object, let type = members["type"]?.string, types.contains(type), members["default"] != nil else { return nil }
        return members
    }

    /// Everything that is wrong with declarations, in the order of the names.
    public static func faults(in parameters: JSONValue) -> [Fault] {
        var faults: [Fault] = []
        for (name, value) in (parameters.object ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let declared = declaration(value) else { continue }
            for key in declared.keys.sorted() where !keys.contains(key) {
                faults.append(
                    Fault(field: "\(name).\(key)", reason: "is not a key of declarations; known are \(keys.sorted().joined(separator: ", "))")
                )
            }
            let isNumeric = ["integer", "number"].contains(declared["type"]?.string)
            for key in ["minimum", "maximum"] {
                guard let bound = declared[key] else { continue }
                if !isNumeric {
                    faults.append(Fault(field: "\(name).\(key)", reason: "is for numbers only"))
                } else if bound.decimal == nil {
                    faults.append(Fault(field: "\(name).\(key)", reason: "must be a number"))
                }
            }
            if let choices = declared["choices"] {
                if choices.array?.isEmpty != false {
                    faults.append(Fault(field: "\(name).choices", reason: "must be a list of values"))
                } else if let wrong = choices.array?.first(where: { typeFault($0, declared) != nil }) {
                    faults.append(Fault(field: "\(name).choices", reason: typeFault(wrong, declared) ?? ""))
                }
            }
            if let reason = fault(of: declared["default"] ?? .null, declared) { faults.append(Fault(field: "\(name).default", reason: reason)) }
        }
        return faults
    }

    /// The values of a run: defaults where nothing else is given. Only declared parameters may be given.
    public static func values(of parameters: JSONValue, given: [String: JSONValue] = [:]) throws(Fault) -> JSONValue {
        guard var values = parameters.object else { return parameters }
        for (name, value) in values {
            if let declared = declaration(value) { values[name] = declared["default"] ?? .null }
        }
        for (name, value) in given.sorted(by: { $0.key < $1.key }) {
            guard let declared = parameters[name].flatMap(declaration) else {
                throw Fault(field: name, reason: "is not a parameter that the manifest declares")
            }
            if let reason = fault(of: value, declared) { throw Fault(field: name, reason: reason) }
            values[name] = value
        }
        return .object(values)
    }

    private static func fault(of value: JSONValue, _ declared: [String: JSONValue]) -> String? {
        if let reason = typeFault(value, declared) { return reason }
        if let number = value.decimal, value.string == nil {
            if let minimum = declared["minimum"]?.decimal, number < minimum { return "must be at least \(minimum)" }
            if let maximum = declared["maximum"]?.decimal, number > maximum { return "must be at most \(maximum)" }
        }
        if let choices = declared["choices"]?.array, !choices.contains(where: { $0 == value || ($0.decimal != nil && $0.decimal == value.decimal) }) {
            return "must be one of \(choices.map { String(decoding: WireJSON.encode($0), as: UTF8.self) }.joined(separator: ", "))"
        }
        return nil
    }

    private static func typeFault(_ value: JSONValue, _ declared: [String: JSONValue]) -> String? {
        switch declared["type"]?.string {
        case "integer": value.integer == nil ? "must be a whole number" : nil
        case "number": value.decimal == nil ? "must be a number" : nil
        case "text": value.string == nil ? "must be text" : nil
        default: if case .bool = value { nil } else { "must be true or false" }
        }
    }
}
