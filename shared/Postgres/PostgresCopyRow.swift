/// One row on its way into a table by COPY.
public struct PostgresCopyRow: Sendable {
    let columns: Int16
    let buffer: PostgresBuffer

    /// A row of these values, in the order of the columns; `nil` is null.
    public init<each Value: PostgresEncodable>(_ values: repeat (each Value)?) {
        var buffer = PostgresBuffer()
        var count: Int16 = 0
        func add<Column: PostgresEncodable>(_ value: Column?) {
            count += 1
            if let value { buffer.appendCounted { value.encode(into: &$0) } } else { buffer.append(Int32(-1)) }
        }
        repeat add(each values)
        self.columns = count
        self.buffer = buffer
    }
}

/// Takes a binary COPY stream apart into rows.
public struct PostgresCopyReader {
    private var sawHeader = false
    private var fields: [UnsafeRawBufferPointer?] = []

    init() {}

    /// The number of columns of the current row.
    public var columnCount: Int { fields.count }

    /// The bytes of one column of the current row; `nil` for null. Valid only during the callback.
    public func bytes(_ position: Int) -> UnsafeRawBufferPointer? { fields[position] }

    /// One column of the current row, read as a value of the type that the query gave it.
    public func column<Value: PostgresDecodable & PostgresEncodable>(_ position: Int, as _: Value.Type = Value.self) throws -> Value {
        guard position < fields.count else { throw PostgresError(.decoding, message: "no column \(position) among \(fields.count)") }
        guard let bytes = fields[position] else { return try Value.fromNull() }
        return try Value(postgres: PostgresValue(type: Value.postgresType, bytes: bytes))
    }

    /// The server sends the header with the first row, then one message a row.
    mutating func take(_ message: UnsafeRawBufferPointer, _ body: (PostgresCopyReader) throws -> Void) throws {
        var offset = 0
        if !sawHeader {
            sawHeader = true
            guard message.count >= 19 else { throw PostgresError(.decoding, message: "a COPY stream without its header") }
            offset = 19
            if message.count == 19 { return }
        }
        func word(_ at: Int) throws -> Int {
            guard at + 4 <= message.count else { throw PostgresError(.decoding, message: "a cut COPY row") }
            return Int(Int32(bigEndian: message.loadUnaligned(fromByteOffset: at, as: Int32.self)))
        }
        guard offset + 2 <= message.count else { throw PostgresError(.decoding, message: "a cut COPY row") }
        let count = Int16(bigEndian: message.loadUnaligned(fromByteOffset: offset, as: Int16.self))
        offset += 2
        if count < 0 { return }
        fields.removeAll(keepingCapacity: true)
        for _ in 0..<count {
            let length = try word(offset)
            offset += 4
            if length < 0 {
                fields.append(nil)
                continue
            }
            guard offset + length <= message.count else { throw PostgresError(.decoding, message: "a cut COPY row") }
            fields.append(UnsafeRawBufferPointer(rebasing: message[offset..<offset + length]))
            offset += length
        }
        try body(self)
    }
}
