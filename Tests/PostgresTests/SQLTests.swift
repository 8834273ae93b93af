import Contracts
import Testing

@testable import Postgres

struct SQLTests {
    @Test func valuesBecomeParameters() {
        let hostile = "'; DROP TABLE users; --"
        let sql: SQL = "SELECT id FROM users WHERE email = \(hostile) AND age > \(5)"
        #expect(sql.text == "SELECT id FROM users WHERE email = $1 AND age > $2")
        #expect(sql.binds.count == 2)
        #expect(sql.binds.entries[0].type == .text && sql.binds.entries[1].type == .integer64)
    }

    @Test func nullKeepsItsType() {
        let nothing: Int32? = nil
        let sql: SQL = "SELECT \(nothing)"
        #expect(sql.binds.entries[0].length == -1 && sql.binds.entries[0].type == .integer32)
    }

    @Test func piecesAreRenumberedOutsideQuotes() {
        let inner: SQL = "b = \(2) AND c = '$1' AND d = \(3)"
        let outer: SQL = "a = \(1) AND (\(inner)) AND e = \(4)"
        #expect(outer.text == "a = $1 AND (b = $2 AND c = '$1' AND d = $3) AND e = $4")
        #expect(outer.binds.count == 4)
        var twelve: SQL = ""
        for value in 0..<12 { twelve.append(" \(value)") }
        #expect(("\(99)" as SQL + twelve).text.hasSuffix("$12 $13"))
    }

    @Test func identifiersAreQuoted() {
        let sql: SQL = "LISTEN \(identifier: "a\"b")"
        #expect(sql.text == "LISTEN \"a\"\"b\"")
    }

    @Test(arguments: ["0", "1", "-1", "10000", "616.53", "-0.0001", "123456789012345678901234567890.000000001", "99999999", "0.5", "100000000"])
    func numericKeepsEveryDigit(text: String) {
        #expect(NumericDigits(text: text).text == text)
    }

    @Test func theCacheForgetsTheLongestUnused() {
        var cache = StatementCache(capacity: 2)
        let (first, isNew) = cache.statement(for: "SELECT 1")
        #expect(isNew)
        _ = cache.statement(for: "SELECT 2")
        _ = cache.statement(for: "SELECT 1")
        _ = cache.statement(for: "SELECT 3")
        let surplus = cache.takeSurplus()
        #expect(surplus.count == 1 && surplus[0].key == "SELECT 2")
        #expect(cache.statement(for: "SELECT 1").statement === first)
    }

    @Test func theSameTextWithOtherTypesIsAnotherStatement() {
        var cache = StatementCache(capacity: 8)
        let (first, _) = cache.statement(for: "SELECT \(1)")
        let (second, isNew) = cache.statement(for: "SELECT \("one")")
        #expect(isNew && first !== second)
        #expect(cache.statement(for: "SELECT \("two")").statement === second)
    }

    @Test func errorsTellNoData() {
        let error = PostgresError(.server(sqlState: "23505"), message: "Key (email)=(ada@example.org) already exists", constraint: "users_email_key")
        #expect(!error.description.contains("ada"))
        #expect(error.debugDescription.contains("ada"))
        #expect(error.isUniqueViolation(of: "users_email_key") && !error.isUniqueViolation(of: "other"))
    }
}
