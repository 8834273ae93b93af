internal import Contracts
internal import FoundationEssentials
public import Postgres
public import ServiceRuntime
internal import Synchronization

/// A database of one test: empty of everything but the service's schema, its roles and its migrations.
public struct TestDatabase: Sendable {
    /// Its name at the server.
    public let name: String
    /// The service whose schema it holds.
    public let service: String
    /// Connects as the superuser.
    public let superuserURL: String
    /// Connects as `<service>_owner`, who migrates.
    public let ownerURL: String
    /// Connects as `<service>_app`, who serves.
    public let url: String

    /// What a service would be configured with.
    public func configuration(maximumConnections: Int = 4) -> PostgresConfiguration {
        PostgresConfiguration(
            url: url,
            maximumConnections: maximumConnections,
            waitTimeout: .seconds(60),
            statementTimeout: .seconds(60),
            connectTimeout: .seconds(60),
            schema: service
        )
    }

    /// Connects as the superuser, with patience for a machine on which everything waits for everything.
    public var superuser: PostgresConfiguration { PostgresConfiguration.patient(url: superuserURL, schema: service) }

    /// Connects as `<service>_owner`, with the same patience.
    public var owner: PostgresConfiguration { PostgresConfiguration.patient(url: ownerURL, schema: service) }

    /// Lends a started pool of the serving role, on one loop, to `body`.
    public func withPool<Outcome>(
        maximumConnections: Int = 4,
        loop: EventLoop = TestLoop.shared,
        caller: isolated (any Actor)? = #isolation,
        _ body: (PostgresPool) async throws -> Outcome
    ) async throws -> Outcome {
        let pool = PostgresPool(configuration: configuration(maximumConnections: maximumConnections), loops: [loop])
        try await pool.start()
        do {
            let outcome = try await body(pool)
            await pool.stop()
            return outcome
        } catch {
            await pool.stop()
            throw error
        }
    }
}

extension PostgresConfiguration {
    /// For a test's own connections: a slow machine is no failure of what is tested.
    public static func patient(url: String, schema: String? = nil) -> PostgresConfiguration {
        PostgresConfiguration(url: url, waitTimeout: .seconds(60), statementTimeout: .seconds(60), connectTimeout: .seconds(60), schema: schema)
    }
}

/// Lends a database of its own to `body` and drops it afterwards; the first call for a set of migrations makes the template that later ones copy.
public func withDatabase<Outcome>(
    service: String = "test",
    migrations: [Migration] = [],
    caller: isolated (any Actor)? = #isolation,
    _ body: (TestDatabase) async throws -> Outcome
) async throws -> Outcome {
    guard TestServers.hasPostgres else { throw TestSupportError("AUSPEX_TEST_POSTGRES_URL is not set") }
    let database = try await TemplateDatabases.shared.make(service: service, migrations: migrations)
    do {
        let outcome = try await body(database)
        await TemplateDatabases.shared.drop(database)
        return outcome
    } catch {
        await TemplateDatabases.shared.drop(database)
        throw error
    }
}

/// The same with a service's catalogue.
public func withDatabase<Outcome>(
    service: String,
    catalogue: MigrationCatalogue,
    caller: isolated (any Actor)? = #isolation,
    _ body: (TestDatabase) async throws -> Outcome
) async throws -> Outcome {
    try await withDatabase(service: service, migrations: catalogue.migrations, body)
}

/// Makes templates once and copies of them often; other test processes may do the same at the same time.
private actor TemplateDatabases {
    static let shared = TemplateDatabases()
    private var templates: [String: Task<String, any Error>] = [:]
    private var isCopying = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func make(service: String, migrations: [Migration]) async throws -> TestDatabase {
        let template = try await template(service: service, migrations: migrations)
        let name = "auspex_test_" + UUID().uuidString.lowercased().replacing("-", with: "")
        // Hundreds of tests that begin at once wait here and not in the server, whose statements have a time limit.
        await takeTurn()
        defer { passTurn() }
        try await asSuperuser { admin in
            // Nobody connects to a template, so that it can be copied at any time; copies are made one after another all the same.
            _ = try await admin.query("SELECT pg_advisory_lock(hashtextextended(\(template), 1))")
            // A test's database is small and soon dropped: its files are copied, not its pages by way of the log.
            try await admin.execute("CREATE DATABASE \(identifier: name) TEMPLATE \(identifier: template) STRATEGY file_copy")
        }
        return database(named: name, service: service)
    }

    func drop(_ database: TestDatabase) async {
        try? await asSuperuser { _ = try await $0.execute("DROP DATABASE IF EXISTS \(identifier: database.name) WITH (FORCE)") }
    }

    private func takeTurn() async {
        guard isCopying else {
            isCopying = true
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func passTurn() {
        if waiting.isEmpty { isCopying = false } else { waiting.removeFirst().resume() }
    }

    private func template(service: String, migrations: [Migration]) async throws -> String {
        let key = ([service] + migrations.map(\.checksum)).joined(separator: "_")
        if let known = templates[key] { return try await known.value }
        let made = Task(on: TestLoop.shared) { try await self.makeTemplate(service: service, key: key, migrations: migrations) }
        templates[key] = made
        do { return try await made.value } catch {
            templates[key] = nil
            throw error
        }
    }

    private func makeTemplate(service: String, key: String, migrations: [Migration]) async throws -> String {
        let name = "auspex_template_\(service)_\(fingerprint(key))"
        try await asSuperuser { admin in
            _ = try await admin.query("SELECT pg_advisory_lock(hashtextextended('auspex-test-templates', 1))")
            guard try await admin.query("SELECT 1 FROM pg_database WHERE datname = \(name)").isEmpty else { return }
            for role in ["\(service)_owner", "\(service)_app"] where try await admin.query("SELECT 1 FROM pg_roles WHERE rolname = \(role)").isEmpty {
                try await admin.execute("CREATE ROLE \(identifier: role) LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
            }
            let building = "\(name)_building"
            try await admin.execute("DROP DATABASE IF EXISTS \(identifier: building) WITH (FORCE)")
            try await admin.execute("CREATE DATABASE \(identifier: building)")
            let database = self.database(named: building, service: service)
            try await self.connected(to: database.superuserURL) { inside in
                try await inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
                try await inside.execute("CREATE SCHEMA \(identifier: service) AUTHORIZATION \(identifier: service + "_owner")")
                try await inside.execute("GRANT USAGE ON SCHEMA \(identifier: service) TO \(identifier: service + "_app")")
            }
            if !migrations.isEmpty { try await Migrator(databaseURL: database.ownerURL, schema: service, migrations: migrations).run() }
            try await admin.execute("ALTER DATABASE \(identifier: building) RENAME TO \(identifier: name)")
        }
        return name
    }

    nonisolated private func database(named name: String, service: String) -> TestDatabase {
        TestDatabase(
            name: name,
            service: service,
            superuserURL: rewritten(database: name, user: nil),
            ownerURL: rewritten(database: name, user: "\(service)_owner"),
            url: rewritten(database: name, user: "\(service)_app")
        )
    }

    nonisolated private func asSuperuser(_ body: @escaping @Sendable (PostgresConnection) async throws -> Void) async throws {
        try await connected(to: TestServers.postgresURL, body)
    }

    nonisolated private func connected(to url: String, _ body: @escaping @Sendable (PostgresConnection) async throws -> Void) async throws {
        var configuration = PostgresConfiguration.patient(url: url)
        configuration.applicationName = "auspex-test"
        let connection = try await PostgresConnection.connect(configuration, on: TestLoop.shared)
        do {
            try await body(connection)
            await connection.close()
        } catch {
            await connection.close()
            throw error
        }
    }

    /// The test server's address with another database and user.
    nonisolated private func rewritten(database: String, user: String?) -> String {
        guard var components = URLParts(TestServers.postgresURL) else { return TestServers.postgresURL }
        components.database = database
        if let user { components.user = user }
        return components.text
    }

    nonisolated private func fingerprint(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 36)
    }
}

/// `postgresql://user@host:port/database`, taken apart.
private struct URLParts {
    var user: String
    var host: String
    var database: String
    var options: String

    init?(_ url: String) {
        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else { return nil }
        let rest = url[url.index(colon, offsetBy: 3)...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        let at = authority.lastIndex(of: "@")
        user = at.map { String(authority[..<$0]) } ?? "postgres"
        host = at.map { String(authority[authority.index(after: $0)...]) } ?? String(authority)
        let tail = slash < rest.endIndex ? rest[rest.index(after: slash)...] : ""
        let question = tail.firstIndex(of: "?") ?? tail.endIndex
        database = String(tail[..<question])
        options = String(tail[question...])
    }

    var text: String { "postgresql://\(user)@\(host)/\(database)\(options)" }
}
