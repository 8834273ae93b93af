internal import CPostgres
internal import Glibc

/// A result of the server, freed with its last row.
final class PostgresResult: @unchecked Sendable {
    // Unchecked because of the C handle: a PGresult never changes once it was received, so any thread may read it.
    private let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { PQclear(handle) }

    var rowCount: Int { Int(PQntuples(handle)) }

    var columnCount: Int { Int(PQnfields(handle)) }

    /// How many rows a statement changed or returned.
    var affectedRows: Int {
        guard let text = PQcmdTuples(handle) else { return 0 }
        return Int(atoll(text))
    }

    func isNull(row: Int, column: Int) -> Bool { PQgetisnull(handle, Int32(row), Int32(column)) == 1 }

    func value(row: Int, column: Int) -> PostgresValue {
        PostgresValue(
            type: PostgresType(rawValue: PQftype(handle, Int32(column))),
            bytes: UnsafeRawBufferPointer(
                start: PQgetvalue(handle, Int32(row), Int32(column)),
                count: Int(PQgetlength(handle, Int32(row), Int32(column)))
            )
        )
    }

    func columnIndex(named name: String) -> Int? {
        let index = PQfnumber(handle, quotedIdentifier(name))
        return index < 0 ? nil : Int(index)
    }

    func columnName(_ column: Int) -> String { PQfname(handle, Int32(column)).map { String(cString: $0) } ?? "?" }

    var rows: [PostgresRow] {
        let count = rowCount
        if count == 0 { return [] }
        return (0..<count).map { PostgresRow(result: self, index: $0) }
    }
}

/// What a C result says about success; the error if it says failure.
func failure(of handle: OpaquePointer, cancelled: Bool) -> PostgresError {
    let state = PQresultErrorField(handle, Int32(UInt8(ascii: "C"))).map { String(cString: $0) } ?? ""
    let message = PQresultErrorField(handle, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
    let constraint = PQresultErrorField(handle, Int32(UInt8(ascii: "n"))).map { String(cString: $0) }
    if state == "57014" && !cancelled { return PostgresError(.timeout, message: message ?? "") }
    if state.isEmpty {
        return PostgresError(.connectionLost, message: PQresultErrorMessage(handle).map { String(cString: $0) } ?? "")
    }
    return PostgresError(.server(sqlState: state), message: message ?? "", constraint: constraint)
}
