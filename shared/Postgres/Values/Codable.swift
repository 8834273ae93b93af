/// What can be bound to a statement.
public protocol PostgresEncodable: Sendable {
    /// The type that the server is told.
    static var postgresType: PostgresType { get }
    /// Writes the value in the server's binary format.
    func encode(into buffer: inout PostgresBuffer)
}

/// What can be read from a column.
public protocol PostgresDecodable: Sendable {
    /// Reads the value from the server's binary format.
    init(postgres value: PostgresValue) throws(PostgresError)
    /// What a null becomes; throws unless the type has room for it.
    static func fromNull() throws(PostgresError) -> Self
}

/// One column of one row, valid only while it is being decoded.
public struct PostgresValue {
    /// The column's type.
    public let type: PostgresType
    /// The value in the server's binary format.
    public let bytes: UnsafeRawBufferPointer

    /// The whole value as one big-endian integer of this width.
    func integer<Integer: FixedWidthInteger>(_: Integer.Type) throws(PostgresError) -> Integer {
        guard bytes.count == MemoryLayout<Integer>.size else { throw mismatch(Integer.self) }
        return Integer(bigEndian: bytes.loadUnaligned(as: Integer.self))
    }

    /// The error of a column that does not hold what was asked for.
    public func mismatch(_ wanted: Any.Type) -> PostgresError {
        PostgresError(.decoding, message: "a column of type \(type.rawValue) with \(bytes.count) bytes is not a \(wanted)")
    }
}

extension PostgresDecodable {
    /// Refuses null.
    public static func fromNull() throws(PostgresError) -> Self {
        throw PostgresError(.decoding, message: "a null where a \(Self.self) was expected")
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    /// Reads the value that is there.
    public init(postgres value: PostgresValue) throws(PostgresError) { self = .some(try Wrapped(postgres: value)) }
    /// Null is `nil`.
    public static func fromNull() throws(PostgresError) -> Wrapped? { nil }
}

extension PostgresEncodable where Self: RawRepresentable, RawValue: PostgresEncodable {
    /// The type of the raw value.
    public static var postgresType: PostgresType { RawValue.postgresType }
    /// Writes the raw value.
    public func encode(into buffer: inout PostgresBuffer) { rawValue.encode(into: &buffer) }
}

extension PostgresDecodable where Self: RawRepresentable, RawValue: PostgresDecodable {
    /// Reads the raw value and refuses one that has no case.
    public init(postgres value: PostgresValue) throws(PostgresError) {
        let raw = try RawValue(postgres: value)
        guard let known = Self(rawValue: raw) else {
            throw PostgresError(.decoding, message: "\(raw) is no \(Self.self)")
        }
        self = known
    }
}
