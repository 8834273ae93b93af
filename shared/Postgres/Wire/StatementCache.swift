/// The statements that one connection has prepared, by their text; the longest unused goes first.
struct StatementCache {
    /// One prepared statement; a class, because the result of preparing it arrives later.
    final class Statement {
        /// Its name at the server, with the final NUL that C wants.
        let name: ContiguousArray<CChar>
        let key: String
        let types: [PostgresType]
        var lastUse: UInt64

        init(name: String, key: String, types: [PostgresType], lastUse: UInt64) {
            self.name = name.utf8CString
            self.key = key
            self.types = types
            self.lastUse = lastUse
        }
    }

    private var statements: [String: Statement] = [:]
    private var uses: UInt64 = 0
    private var made = 0
    let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { statements.count }

    /// The statement of this text; `isNew` says that it has to be prepared first.
    mutating func statement(for sql: SQL) -> (statement: Statement, isNew: Bool) {
        uses += 1
        if let known = statements[sql.text], sql.binds.hasTypes(known.types) {
            known.lastUse = uses
            return (known, false)
        }
        // The same text with other types of values is another statement.
        let key = statements[sql.text] == nil ? sql.text : sql.text + sql.binds.entries.map { "\u{0}\($0.type.rawValue)" }.joined()
        if let known = statements[key], sql.binds.hasTypes(known.types) {
            known.lastUse = uses
            return (known, false)
        }
        made += 1
        let statement = Statement(name: "s\(made)", key: key, types: sql.binds.entries.map(\.type), lastUse: uses)
        statements[key] = statement
        return (statement, true)
    }

    /// Forgets a statement that could not be prepared or no longer fits.
    mutating func remove(_ statement: Statement) {
        if statements[statement.key] === statement { statements[statement.key] = nil }
    }

    /// Takes out the longest unused statements above the capacity; the caller closes them at the server.
    mutating func takeSurplus() -> [Statement] {
        guard statements.count > capacity else { return [] }
        let surplus = statements.values.sorted { $0.lastUse < $1.lastUse }.prefix(statements.count - capacity)
        for statement in surplus { statements[statement.key] = nil }
        return Array(surplus)
    }
}
