public import Contracts

/// JSON text on its way to or from a `jsonb` column, kept as bytes so that nothing is parsed that need not be.
public struct PostgresJSON: PostgresEncodable, PostgresDecodable, PostgresArrayElement, Hashable {
    /// The JSON text in UTF-8.
    public let bytes: [UInt8]

    /// JSON that is there already.
    public init(bytes: [UInt8]) { self.bytes = bytes }

    /// A value written as JSON with the keys of the wire.
    public init(encoding value: some Encodable) throws { bytes = try WireJSON.encode(value) }

    /// The value that the JSON says.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value { try WireJSON.decode(type, from: bytes) }

    /// `jsonb`
    public static var postgresType: PostgresType { .binaryJSON }

    /// A version byte and the text.
    public func encode(into buffer: inout PostgresBuffer) {
        buffer.append(UInt8(1))
        buffer.append(contentsOf: bytes)
    }

    /// `jsonb` or `json`
    public init(postgres value: PostgresValue) throws(PostgresError) {
        switch value.type {
        case .binaryJSON where value.bytes.first == 1: bytes = [UInt8](value.bytes.dropFirst())
        case .json: bytes = [UInt8](value.bytes)
        default: throw value.mismatch(PostgresJSON.self)
        }
    }
}

extension JSONValue: PostgresEncodable, PostgresDecodable {
    /// `jsonb`
    public static var postgresType: PostgresType { .binaryJSON }

    /// A version byte and the text.
    public func encode(into buffer: inout PostgresBuffer) {
        PostgresJSON(bytes: WireJSON.encode(self)).encode(into: &buffer)
    }

    /// `jsonb` or `json`
    public init(postgres value: PostgresValue) throws(PostgresError) {
        let json = try PostgresJSON(postgres: value)
        do { self = try json.decode() } catch { throw value.mismatch(JSONValue.self) }
    }
}
