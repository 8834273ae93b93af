/// What can stand in an array that is bound or read.
public protocol PostgresArrayElement: Sendable {
    /// The type of the whole array.
    static var postgresArrayType: PostgresType { get }
    /// Writes the array in the server's binary format.
    static func encode(array: [Self], into buffer: inout PostgresBuffer)
    /// Reads the array from the server's binary format.
    static func decode(array value: PostgresValue) throws(PostgresError) -> [Self]
}

extension Array: PostgresEncodable where Element: PostgresArrayElement {
    /// The array's type.
    public static var postgresType: PostgresType { Element.postgresArrayType }
    /// Writes all elements.
    public func encode(into buffer: inout PostgresBuffer) { Element.encode(array: self, into: &buffer) }
}

extension Array: PostgresDecodable where Element: PostgresArrayElement {
    /// Reads all elements.
    public init(postgres value: PostgresValue) throws(PostgresError) { self = try Element.decode(array: value) }
}

/// Bytes are no array to the server but one value, `bytea`.
extension UInt8: PostgresArrayElement {
    /// `bytea`
    public static var postgresArrayType: PostgresType { .bytes }
    /// The bytes as they are.
    public static func encode(array: [UInt8], into buffer: inout PostgresBuffer) { buffer.append(contentsOf: array) }
    /// The bytes as they are.
    public static func decode(array value: PostgresValue) throws(PostgresError) -> [UInt8] {
        guard value.type == .bytes else { throw value.mismatch([UInt8].self) }
        return [UInt8](value.bytes)
    }
}

/// An array of byte strings is `bytea[]`.
extension Array: PostgresArrayElement where Element == UInt8 {}

extension PostgresArrayElement where Self: PostgresEncodable & PostgresDecodable {
    /// The array of the element's type.
    public static var postgresArrayType: PostgresType { postgresType.array }
    /// One dimension, counted from 1.
    public static func encode(array: [Self], into buffer: inout PostgresBuffer) {
        encodeArray(array, of: postgresType, into: &buffer) { element, buffer in
            buffer.appendCounted { element.encode(into: &$0) }
        }
    }
    /// One dimension; a null inside is refused.
    public static func decode(array value: PostgresValue) throws(PostgresError) -> [Self] {
        try decodeArray(value) { element throws(PostgresError) in
            if let element { try Self(postgres: element) } else { try Self.fromNull() }
        }
    }
}

extension Optional: PostgresArrayElement where Wrapped: PostgresArrayElement & PostgresEncodable & PostgresDecodable {
    /// The array of the element's type.
    public static var postgresArrayType: PostgresType { Wrapped.postgresType.array }
    /// One dimension, `nil` as null.
    public static func encode(array: [Wrapped?], into buffer: inout PostgresBuffer) {
        encodeArray(array, of: Wrapped.postgresType, into: &buffer) { element, buffer in
            guard let element else { return buffer.append(Int32(-1)) }
            buffer.appendCounted { element.encode(into: &$0) }
        }
    }
    /// One dimension, null as `nil`.
    public static func decode(array value: PostgresValue) throws(PostgresError) -> [Wrapped?] {
        try decodeArray(value) { element throws(PostgresError) -> Wrapped? in
            guard let element else { return nil }
            return try Wrapped(postgres: element)
        }
    }
}

private func encodeArray<Element>(
    _ array: [Element],
    of type: PostgresType,
    into buffer: inout PostgresBuffer,
    _ encodeElement: (Element, inout PostgresBuffer) -> Void
) {
    buffer.append(Int32(array.isEmpty ? 0 : 1))
    buffer.append(Int32(1))  // there may be nulls
    buffer.append(type.rawValue)
    guard !array.isEmpty else { return }
    buffer.append(Int32(array.count))
    buffer.append(Int32(1))
    for element in array { encodeElement(element, &buffer) }
}

private func decodeArray<Element>(
    _ value: PostgresValue,
    _ decodeElement: (PostgresValue?) throws(PostgresError) -> Element
) throws(PostgresError) -> [Element] {
    let bytes = value.bytes
    guard bytes.count >= 12 else { throw value.mismatch([Element].self) }
    func integer(at offset: Int) -> Int { Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))) }
    let dimensions = integer(at: 0)
    if dimensions == 0 { return [] }
    guard dimensions == 1, bytes.count >= 20 else { throw value.mismatch([Element].self) }
    let type = PostgresType(rawValue: UInt32(truncatingIfNeeded: integer(at: 8)))
    let count = integer(at: 12)
    var elements: [Element] = []
    elements.reserveCapacity(max(0, min(count, bytes.count / 4)))
    var offset = 20
    for _ in 0..<max(0, count) {
        guard offset + 4 <= bytes.count else { throw value.mismatch([Element].self) }
        let length = integer(at: offset)
        offset += 4
        if length < 0 {
            elements.append(try decodeElement(nil))
            continue
        }
        guard offset + length <= bytes.count else { throw value.mismatch([Element].self) }
        let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
        elements.append(try decodeElement(PostgresValue(type: type, bytes: slice)))
        offset += length
    }
    return elements
}
