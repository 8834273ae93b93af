public import Contracts

/// Reads what a client sends: everything that is not exactly right is a 400 that names the field by its path, such as `inputs[0].interval`.
///
/// Unlike events and answers between services, where unknown members are a newer sender's business, a public request with a member that nobody reads
/// is refused: it is a typing mistake that would otherwise be lost in silence.
public enum StrictJSON {
    /// The value, or a ``Problem``.
    public static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws -> T {
        guard !bytes.isEmpty else { throw Problem.badRequest(code: "invalid_json", detail: "The body is empty; it should be JSON.") }
        let value: JSONValue
        do {
            value = try WireJSON.parse(bytes)
        } catch {
            let code = error.reason.hasPrefix("nested") ? "too_deep" : error.reason.contains("twice") ? "duplicate_field" : "invalid_json"
            throw Problem.badRequest(code: code, detail: "The body is not the JSON that is needed: \(error).")
        }
        return try decode(type, from: value)
    }

    /// The same from JSON that is parsed already.
    public static func decode<T: Decodable>(_ type: T.Type, from value: JSONValue) throws -> T {
        let reads = FieldReads()
        let decoded: T
        do {
            decoded = try WireJSON.decode(type, from: value, telling: reads)
        } catch let error as DecodingError {
            throw problem(of: error)
        }
        if let unknown = reads.firstUnknown() {
            throw Problem.badRequest(
                code: "unknown_field",
                detail: "There is no such field here. Known: \(unknown.known.joined(separator: ", ")).",
                field: unknown.path
            )
        }
        return decoded
    }

    static func problem(of error: DecodingError) -> Problem {
        switch error {
        case .keyNotFound(let key, let context):
            let path = fieldPath(context.codingPath.last?.stringValue == key.stringValue ? context.codingPath : context.codingPath + [key])
            return .badRequest(code: "missing_field", detail: "This field is needed.", field: path)
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return .badRequest(code: "wrong_type", detail: sentence(context.debugDescription), field: fieldPath(context.codingPath))
        case .dataCorrupted(let context):
            return .badRequest(code: "invalid_value", detail: sentence(context.debugDescription), field: fieldPath(context.codingPath))
        @unknown default:
            return .badRequest(code: "invalid_value", detail: "The value cannot be used.")
        }
    }

    static func fieldPath(_ path: [any CodingKey]) -> String? {
        let text = WireJSON.text(ofPath: path)
        return text.isEmpty ? nil : String(text.prefix(200))
    }

    private static func sentence(_ text: String) -> String {
        guard let first = text.first else { return "The value cannot be used." }
        return first.uppercased() + text.dropFirst() + (text.hasSuffix(".") ? "" : ".")
    }
}
