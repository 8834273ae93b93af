internal import Contracts
internal import ServiceRuntime

/// Brings a schema up to date, as its owner: forward only, each step in a transaction of its own, one migrator at a time.
///
/// What has been applied is remembered in `<schema>.schema_migrations` with a checksum; a file that was changed afterwards, or is missing, is
/// an error that names it, and nothing is applied.
public struct Migrator: Sendable {
    private let configuration: PostgresConfiguration
    private let schema: String
    private let migrations: [Migration]

    /// A migrator of `schema`; `databaseURL` is the owner's.
    public init(databaseURL: String, schema: String, migrations: [Migration]) {
        configuration = PostgresConfiguration(url: databaseURL, statementTimeout: .zero, schema: schema, applicationName: "auspex-migrate")
        self.schema = schema
        self.migrations = migrations
    }

    /// A migrator of `schema` with its catalogue.
    public init(databaseURL: String, schema: String, catalogue: MigrationCatalogue) {
        self.init(databaseURL: databaseURL, schema: schema, migrations: catalogue.migrations)
    }

    /// Applies what is missing and returns it.
    @discardableResult
    public func run() async throws -> [Migration] {
        let loop = try EventLoop.start(name: "migrate")
        do {
            let applied = try await loop.run { try await run(on: loop) }
            await loop.stop()
            return applied
        } catch {
            await loop.stop()
            throw error
        }
    }

    private func run(on loop: EventLoop) async throws -> [Migration] {
        let connection = try await PostgresConnection.connect(configuration, on: loop)
        do {
            let applied = try await migrate(connection)
            await connection.close()
            return applied
        } catch {
            await connection.close()
            throw error
        }
    }

    private func migrate(_ connection: PostgresConnection) async throws -> [Migration] {
        // A session lock: a second migrator waits here and then finds nothing to do.
        _ = try await connection.query("SELECT pg_advisory_lock(hashtextextended(\("auspex-migrate:" + schema), 0))")
        if try await connection.query("SELECT 1 FROM pg_namespace WHERE nspname = \(schema)").isEmpty {
            try await connection.execute("CREATE SCHEMA \(identifier: schema)")
        }
        if try await connection.query("SELECT to_regclass(\(quotedIdentifier(schema) + ".schema_migrations"))::text").first?.column(
            0,
            as: String?.self
        )
            == nil
        {
            try await connection.execute(
                """
                CREATE TABLE \(identifier: schema).schema_migrations (
                    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
                """
            )
        }
        let rows = try await connection.query("SELECT version, name, checksum FROM \(identifier: schema).schema_migrations ORDER BY version")
        let done = try rows.map { try $0.decode(Int.self, String.self, String.self) }
        for (version, name, checksum) in done { try check(version: version, name: name, checksum: checksum) }
        let missing = migrations.dropFirst(done.count)
        for migration in missing { try await apply(migration, on: connection) }
        return Array(missing)
    }

    private func check(version: Int, name: String, checksum: String) throws {
        guard version >= 1 && version <= migrations.count else {
            throw PostgresError(
                .migration,
                message: "\(schema) has version \(version) (\(name)), which this program does not know: it is older than the schema"
            )
        }
        let known = migrations[version - 1]
        guard known.checksum == checksum else {
            throw PostgresError(
                .migration,
                message: "\(schema) version \(version) (\(name)) was changed after it had been applied; write a new migration instead"
            )
        }
    }

    private func apply(_ migration: Migration, on connection: PostgresConnection) async throws {
        do {
            try await connection.simple("BEGIN")
            try await connection.simple(migration.sql)
            try await connection.execute(
                """
                INSERT INTO \(identifier: schema).schema_migrations (version, name, checksum)
                VALUES (\(migration.version), \(migration.name), \(migration.checksum))
                """
            )
            try await connection.simple("COMMIT")
        } catch let error as PostgresError {
            throw PostgresError(.migration, message: "\(schema) version \(migration.version) (\(migration.name)): \(error.debugDescription)")
        }
    }
}
