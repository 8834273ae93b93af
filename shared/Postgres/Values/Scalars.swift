extension Bool: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `boolean`
    public static var postgresType: PostgresType { .boolean }
    /// One byte.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(UInt8(self ? 1 : 0)) }
    /// One byte.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        guard value.type == .boolean else { throw value.mismatch(Bool.self) }
        self = try value.integer(UInt8.self) != 0
    }
}

extension Int16: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `smallint`
    public static var postgresType: PostgresType { .integer16 }
    /// Two bytes.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(self) }
    /// Any integer column whose value fits.
    public init(postgres value: PostgresValue) throws(PostgresError) { self = try decodeInteger(value) }
}

extension Int32: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `integer`
    public static var postgresType: PostgresType { .integer32 }
    /// Four bytes.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(self) }
    /// Any integer column whose value fits.
    public init(postgres value: PostgresValue) throws(PostgresError) { self = try decodeInteger(value) }
}

extension Int64: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `bigint`
    public static var postgresType: PostgresType { .integer64 }
    /// Eight bytes.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(self) }
    /// Any integer column.
    public init(postgres value: PostgresValue) throws(PostgresError) { self = try decodeInteger(value) }
}

extension Int: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `bigint`
    public static var postgresType: PostgresType { .integer64 }
    /// Eight bytes.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(Int64(self)) }
    /// Any integer column.
    public init(postgres value: PostgresValue) throws(PostgresError) { self = try decodeInteger(value) }
}

extension Double: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `double precision`
    public static var postgresType: PostgresType { .double }
    /// The bit pattern.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(bitPattern) }
    /// `double precision` or `real`
    public init(postgres value: PostgresValue) throws(PostgresError) {
        switch value.type {
        case .double: self = Double(bitPattern: try value.integer(UInt64.self))
        case .float: self = Double(Float(bitPattern: try value.integer(UInt32.self)))
        default: throw value.mismatch(Double.self)
        }
    }
}

extension Float: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `real`
    public static var postgresType: PostgresType { .float }
    /// The bit pattern.
    public func encode(into buffer: inout PostgresBuffer) { buffer.append(bitPattern) }
    /// `real`
    public init(postgres value: PostgresValue) throws(PostgresError) {
        guard value.type == .float else { throw value.mismatch(Float.self) }
        self = Float(bitPattern: try value.integer(UInt32.self))
    }
}

extension String: PostgresEncodable, PostgresDecodable, PostgresArrayElement {
    /// `text`
    public static var postgresType: PostgresType { .text }
    /// UTF-8; the server knows no NUL in text, so it is left out.
    public func encode(into buffer: inout PostgresBuffer) {
        if utf8.contains(0) { buffer.append(contentsOf: utf8.lazy.filter { $0 != 0 }) } else { buffer.append(contentsOf: utf8) }
    }
    /// Any column that holds text.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        switch value.type {
        case .text, .variableText, .paddedText, .name, .json, .inferred, PostgresType(rawValue: 705), PostgresType(rawValue: 18):
            self = String(decoding: value.bytes, as: UTF8.self)
        case .binaryJSON where !value.bytes.isEmpty: self = String(decoding: value.bytes.dropFirst(), as: UTF8.self)
        case let type where type.rawValue >= 16_384: self = String(decoding: value.bytes, as: UTF8.self)  // an enum of the schema
        default: throw value.mismatch(String.self)
        }
    }
}

private func decodeInteger<Integer: FixedWidthInteger>(_ value: PostgresValue) throws(PostgresError) -> Integer {
    let wide: Int64 =
        switch value.type {
        case .integer64: try value.integer(Int64.self)
        case .integer32: Int64(try value.integer(Int32.self))
        case .integer16: Int64(try value.integer(Int16.self))
        case .objectID: Int64(try value.integer(UInt32.self))
        default: throw value.mismatch(Integer.self)
        }
    guard let fitting = Integer(exactly: wide) else {
        throw PostgresError(.decoding, message: "\(wide) does not fit \(Integer.self)")
    }
    return fitting
}
