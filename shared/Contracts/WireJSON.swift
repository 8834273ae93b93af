/// JSON as all services speak it: names in snake_case, members sorted, nothing rounded.
///
/// A property `attemptID` or `versionSHA256` travels as `attempt_id`, `version_sha256` without any `CodingKeys`: the conversion starts from the Swift
/// name in both directions, so capitals in acronyms need no list. A coding key that is snake_case already stays as it is, and so do the keys of a
/// `[String: …]` dictionary and of a `JSONValue`. Unknown members are ignored; who must refuse them learns of them by `FieldReads`.
public enum WireJSON {
    /// The bytes of a value; throws `EncodingError` for NaN and infinities.
    public static func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        JSONWriter.write(try WireEncoder.piece(of: value))
    }

    /// The bytes of parsed JSON.
    public static func encode(_ value: JSONValue) -> [UInt8] {
        JSONWriter.write(value)
    }

    /// Reads a value; throws `JSONSyntaxError` for bytes that are not JSON and `DecodingError` (with the path of the field) for the wrong JSON.
    public static func decode<Value: Decodable>(_ type: Value.Type = Value.self, from bytes: [UInt8]) throws -> Value {
        try decode(type, from: try parse(bytes))
    }

    /// Reads a value from JSON that is parsed already; throws `DecodingError` with the path of the field in wire names.
    public static func decode<Value: Decodable>(_ type: Value.Type = Value.self, from value: JSONValue) throws -> Value {
        try WireDecoder.decode(type, from: value, reads: nil)
    }

    /// The same, telling `reads` of all members that are asked for: a strict reader refuses a value with others.
    public static func decode<Value: Decodable>(_ type: Value.Type = Value.self, from value: JSONValue, telling reads: FieldReads) throws -> Value {
        try WireDecoder.decode(type, from: value, reads: reads)
    }

    /// A place in a JSON text, such as `inputs[0].interval`; empty for the whole.
    public static func text(ofPath path: [any CodingKey]) -> String {
        var text = ""
        for key in path {
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += (text.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return text
    }

    /// Parses any JSON.
    public static func parse(_ bytes: [UInt8]) throws(JSONSyntaxError) -> JSONValue {
        try JSONParser.parse(bytes)
    }

    /// What `encode` would write, as a value.
    public static func value<Value: Encodable>(of value: Value) throws -> JSONValue {
        try WireEncoder.piece(of: value).finished
    }

    /// `attemptID` → `attempt_id`, `URLPath` → `url_path`, `attempt_id` → itself.
    public static func wireName(_ name: String) -> String {
        func isUpper(_ byte: UInt8) -> Bool { byte >= 65 && byte <= 90 }
        var name = name
        let converted = name.withUTF8 { source -> String? in
            let capitals = source.count(where: isUpper)
            if capitals == 0 { return nil }
            return String(unsafeUninitializedCapacity: source.count + capitals) { out in
                var length = 0
                func append(_ byte: UInt8) {
                    out[length] = byte
                    length += 1
                }
                for (index, byte) in source.enumerated() {
                    guard isUpper(byte) else {
                        append(byte)
                        continue
                    }
                    if index > 0, source[index - 1] != UInt8(ascii: "_") {
                        let startsRun = !isUpper(source[index - 1])
                        let endsRun = index + 1 < source.count && source[index + 1] >= 97 && source[index + 1] <= 122
                        if startsRun || endsRun { append(UInt8(ascii: "_")) }
                    }
                    append(byte + 32)
                }
                return length
            }
        }
        return converted ?? name
    }
}

/// Marks dictionaries whose keys are data and not property names.
protocol StringKeyed {}
extension Dictionary: StringKeyed where Key == String {}

/// A coding key in its wire spelling.
struct WireKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = String(intValue)
        self.intValue = intValue
    }

    static let superKey = WireKey(stringValue: "super")
}
