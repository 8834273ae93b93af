/// One row of an answer; its columns are decoded when they are asked for.
public struct PostgresRow: Sendable {
    let result: PostgresResult
    let index: Int

    /// Decodes the columns from the left; there must be at least as many as types.
    public func decode<each Column: PostgresDecodable>(_ types: repeat (each Column).Type) throws -> (repeat each Column) {
        var position = 0
        func next<Value: PostgresDecodable>(_: Value.Type) throws -> Value {
            defer { position += 1 }
            return try column(position, as: Value.self)
        }
        return (repeat try next((each Column).self))
    }

    /// Decodes one column by its position, counted from 0.
    public func column<Value: PostgresDecodable>(_ position: Int, as _: Value.Type = Value.self) throws -> Value {
        guard position >= 0 && position < result.columnCount else {
            throw PostgresError(.decoding, message: "no column \(position) among \(result.columnCount)")
        }
        do {
            if result.isNull(row: index, column: position) { return try Value.fromNull() }
            return try Value(postgres: result.value(row: index, column: position))
        } catch {
            throw PostgresError(.decoding, message: "column \(result.columnName(position)): \(error.debugDescription)")
        }
    }

    /// Decodes one column by its name.
    public func column<Value: PostgresDecodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        guard let position = result.columnIndex(named: name) else {
            throw PostgresError(.decoding, message: "no column named \(name)")
        }
        return try column(position, as: type)
    }

    /// Hands the bytes of one column to `body` without copying them; `nil` for null.
    public func withBytes<Outcome>(_ position: Int, _ body: (UnsafeRawBufferPointer?) throws -> Outcome) throws -> Outcome {
        guard position >= 0 && position < result.columnCount else {
            throw PostgresError(.decoding, message: "no column \(position) among \(result.columnCount)")
        }
        return try body(result.isNull(row: index, column: position) ? nil : result.value(row: index, column: position).bytes)
    }
}
