import TestSupport
import Testing

@testable import Postgres

@Suite(.enabled(if: TestServers.hasPostgres))
struct MigratorTests {
    private func migration(_ name: String, _ sql: String) throws -> Migration { try Migration(named: name, sql: sql) }

    @Test func appliesForwardOnceAndOnlyOnce() async throws {
        try await withDatabase { database in
            let first = try migration("v001_create_a", "CREATE TABLE a (n int); INSERT INTO a VALUES (1)")
            let second = try migration("v002_create_b", "CREATE TABLE b (n int)")
            try #require(try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [first]).run() == [first])
            try #require(try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [first, second]).run() == [second])
            try #require(try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [first, second]).run().isEmpty)
        }
    }

    @Test func aChangedFileIsNamed() async throws {
        try await withDatabase { database in
            try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [try migration("v001_a", "CREATE TABLE a (n int)")]).run()
            do {
                try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [try migration("v001_a", "CREATE TABLE a (n int8)")])
                    .run()
                Issue.record("a changed migration was accepted")
            } catch let error as PostgresError {
                #expect(error.code == .migration && error.description.contains("version 1 (a) was changed"))
            }
        }
    }

    @Test func aFailedStepLeavesNothing() async throws {
        try await withDatabase { database in
            let bad = try migration("v001_bad", "CREATE TABLE a (n int); SELECT nonsense")
            await #expect(throws: PostgresError.self) { try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [bad]).run() }
            let good = try migration("v001_good", "CREATE TABLE a (n int)")
            try #require(try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [good]).run().count == 1)
        }
    }

    @Test func anOlderProgramRefusesANewerSchema() async throws {
        try await withDatabase { database in
            let first = try migration("v001_a", "CREATE TABLE a (n int)")
            try await Migrator(
                databaseURL: database.ownerURL,
                schema: "test",
                migrations: [first, try migration("v002_b", "CREATE TABLE b (n int)")]
            ).run()
            await #expect(throws: PostgresError.self) {
                try await Migrator(databaseURL: database.ownerURL, schema: "test", migrations: [first]).run()
            }
        }
    }

    @Test func twoMigratorsAtOnceDoTheWorkOnce() async throws {
        try await withDatabase { database in
            let steps = try (1...4).map { try migration("v00\($0)_t", "CREATE TABLE t\($0) (n int)") }
            async let one = Migrator(databaseURL: database.ownerURL, schema: "test", migrations: steps).run()
            async let two = Migrator(databaseURL: database.ownerURL, schema: "test", migrations: steps).run()
            let (first, second) = try await (one, two)
            #expect(first.count + second.count == 4 && (first.isEmpty || second.isEmpty))
        }
    }

    @Test func cataloguesHaveNoGapsAndNames() throws {
        #expect(throws: PostgresError.self) { try MigrationCatalogue([("v002_b", Array("SELECT 1".utf8))]) }
        #expect(throws: PostgresError.self) { try MigrationCatalogue([("create_users", Array("SELECT 1".utf8))]) }
        #expect(try MigrationCatalogue([("v002_b", []), ("v001_a", [])]).migrations.map(\.name) == ["a", "b"])
    }
}
