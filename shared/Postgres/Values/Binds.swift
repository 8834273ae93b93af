/// The bound values of a statement in one buffer, ready for libpq.
struct Binds: Sendable {
    struct Entry: Sendable {
        var type: PostgresType
        var offset: Int
        /// −1 is null.
        var length: Int
    }

    private(set) var buffer: PostgresBuffer
    private(set) var entries: [Entry]

    init() {
        buffer = PostgresBuffer()
        entries = []
    }

    init(expected count: Int) {
        buffer = PostgresBuffer()
        entries = []
        if count > 0 {
            buffer.bytes.reserveCapacity(count * 24)
            entries.reserveCapacity(count)
        }
    }

    var count: Int { entries.count }

    mutating func append<Value: PostgresEncodable>(_ value: Value) {
        let start = buffer.bytes.count
        value.encode(into: &buffer)
        entries.append(Entry(type: Value.postgresType, offset: start, length: buffer.bytes.count - start))
    }

    mutating func appendNull(_ type: PostgresType) {
        entries.append(Entry(type: type, offset: 0, length: -1))
    }

    mutating func append(_ other: Binds) {
        let start = buffer.bytes.count
        buffer.bytes.append(contentsOf: other.buffer.bytes)
        for entry in other.entries { entries.append(Entry(type: entry.type, offset: entry.offset + start, length: entry.length)) }
    }

    func hasTypes(_ types: [PostgresType]) -> Bool {
        guard types.count == entries.count else { return false }
        for index in types.indices where types[index] != entries[index].type { return false }
        return true
    }
}

/// Bytes in the server's binary format: integers big-endian, lengths before elements.
public struct PostgresBuffer: Sendable {
    var bytes: [UInt8] = []

    /// Appends an integer, most significant byte first.
    public mutating func append<Integer: FixedWidthInteger>(_ integer: Integer) {
        withUnsafeBytes(of: integer.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends bytes as they are.
    public mutating func append(contentsOf other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

    /// Appends what `body` writes, with its length before it as the server counts elements.
    mutating func appendCounted(_ body: (inout PostgresBuffer) -> Void) {
        let start = bytes.count
        append(Int32(0))
        body(&self)
        let length = Int32(bytes.count - start - 4).bigEndian
        withUnsafeBytes(of: length) { for (index, byte) in $0.enumerated() { bytes[start + index] = byte } }
    }
}
