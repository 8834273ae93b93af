import Contracts
import Cryptography
import Foundation
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import auth

/// The whole service as `Application` builds it: two doors over TCP, Postgres, and events that arrive at the broker.
@Suite("Service", .serialized, .enabled(if: TestServers.hasPostgres && TestServers.hasBroker))
struct ServiceTests {
    struct Running: Sendable {
        let outside: RequestClient
        let inside: RequestClient
        let signals: ServiceTokenSource
        let executor: ServiceTokenSource
        let database: TestDatabase
        let broker: TestBroker
        let settings: AuthSettings
    }

    func withService(_ body: @Sendable (Running) async throws -> Void) async throws {
        try await withDatabase(service: "auth", catalogue: try Migrations.catalogue()) { database in
            try await withVirtualHost { broker in
                let folder = FileManager.default.temporaryDirectory.appending(path: "auspex-auth-\(UUID().uuidString)").path
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                defer { try? FileManager.default.removeItem(atPath: folder) }
                for name in ["auth", "signals", "executor"] { try KeysCommand.makeService(["--name", name, "--out", "\(folder)/\(name).pem"]) }
                try KeysCommand.makeServiceSet(["auth", "signals", "executor"].map { "\(folder)/\($0).pem" } + ["--out", "\(folder)/services.jwks"])
                try KeysCommand.makeMaster(["--out", "\(folder)/master.key"])
                var reader = SettingsReader(environment: [
                    "AUSPEX_DATABASE_URL": database.url, "AUSPEX_MIGRATION_DATABASE_URL": database.ownerURL, "AUSPEX_BROKER_URL": broker.url,
                    "AUSPEX_SERVICE_KEY_FILE": "\(folder)/auth.pem", "AUSPEX_SERVICES_JWKS_FILE": "\(folder)/services.jwks",
                    "AUSPEX_MASTER_KEY_FILE": "\(folder)/master.key", "AUSPEX_BCRYPT_COST": "4", "AUSPEX_DATABASE_CONNECTIONS": "4",
                ])
                let settings = AuthSettings(from: &reader)
                try reader.finish()

                let loops = try LoopGroup.start(count: 1)
                let environment = ServiceEnvironment(name: "auth", loops: loops, cpu: try CPUPool(threads: 2))
                let components = try await Application.build(settings, environment)
                for component in components { try await component.start() }
                let servers = components.compactMap { $0 as? HTTPServer }
                let port = { (name: String) in servers.first { $0.name == name }?.boundPort ?? 0 }
                let running = Running(
                    outside: RequestClient(baseURL: "http://127.0.0.1:\(port("public"))"),
                    inside: RequestClient(baseURL: "http://127.0.0.1:\(port("internal"))"),
                    signals: try ServiceTokenSource(service: "signals", keyFile: "\(folder)/signals.pem"),
                    executor: try ServiceTokenSource(service: "executor", keyFile: "\(folder)/executor.pem"),
                    database: database,
                    broker: broker,
                    settings: settings
                )
                let outcome: Result<Void, any Error>
                do {
                    try await eventually("readiness") { try await running.inside.get("/readyz").status == 200 }
                    outcome = .success(try await body(running))
                } catch {
                    outcome = .failure(error)
                }
                for component in components.reversed() { await component.stop() }
                environment.cpu.stop()
                await loops.stop()
                try outcome.get()
            }
        }
    }

    @Test func aPersonAndAKeyFromDoorToDoor() async throws {
        struct Verdict: Decodable {
            let outcome: String
            let scopes: [String]
        }
        try await withService { service in
            let registered = try await service.outside.post(
                "/api/register",
                json: RegisterInput(email: "ada@example.com", password: AuthFixture.password, roles: ["subscriber"])
            )
            #expect(registered.status == 201)
            let login = try await service.outside.post("/api/login", json: LoginInput(email: "ada@example.com", password: AuthFixture.password))
            let tokens = try login.decode(TokensOutput.self)
            let person = service.outside.with(header: "Authorization", "Bearer \(tokens.accessToken ?? "")")
            let made = try await person.post("/api/keys", json: KeyInput(name: "pull", scopes: ["predictions:read"]))
            let key = try #require(try made.decode(NewKeyOutput.self).key)

            let question = ["key_sha256": SHA256.digest(utf8: key).hex]
            let verify = "/internal/v1/keys/verify"
            func asking(_ source: ServiceTokenSource, audience: String = "auth") throws -> RequestClient {
                service.inside.with(header: "Authorization", "Service \(try source.token(audience: audience))")
            }
            let verdict = try await asking(service.signals).post(verify, json: question)
            #expect(try verdict.decode(Verdict.self).outcome == "VALID")
            #expect(try await asking(service.executor).post(verify, json: question).status == 403, "the executor may not ask about keys")
            #expect(try await asking(service.signals, audience: "marketdata").post(verify, json: question).status == 401)
            #expect(try await service.inside.post(verify, json: question).status == 401)
            #expect(try await person.post(verify, json: question).status == 404, "what is internal is not at the public door")
            #expect(try await asking(service.executor).get("/internal/v1/sessions/revoked").status == 200)

            #expect(try await person.delete("/api/keys/\(try made.decode(NewKeyOutput.self).id)").status == 204)
            #expect(try await asking(service.signals).post(verify, json: question).decode(Verdict.self).outcome == "DISABLED")
            #expect(try await person.get("/api/logout").status == 204)
            #expect(try await person.get("/api/me").status == 401)
        }
    }

    @Test func whatIsSaidArrivesAtTheBroker() async throws {
        try await withService { service in
            let heard = TestSignal<Envelope>()
            let loop = try EventLoop.start(name: "listener")
            try await withDatabase(service: "listener", migrations: Self.listenerMigrations) { database in
                try await database.withPool(loop: loop) { pool in
                    let consumer = try EventConsumer(
                        service: "listener",
                        handler: Listener(heard: heard),
                        pool: pool,
                        brokerURL: service.broker.url,
                        loop: loop
                    )
                    try await consumer.start()
                    try await eventually("the queue") { try await service.broker.messages(in: "listener.people") != nil }
                    _ = try await service.outside.post("/api/register", json: RegisterInput(email: "ada@example.com", password: AuthFixture.password))
                    var types: Set<String> = []
                    while types.count < 2 {
                        let envelope = try await heard.next()
                        #expect(envelope.producer == "auth" && envelope.subjectVersion == 1)
                        types.insert(envelope.type)
                    }
                    #expect(types == ["auth.account.created.v1", "auth.user.changed.v1"])
                    await consumer.stop()
                }
            }
            await loop.stop()
        }
    }

    static let listenerMigrations: [Migration] = {
        let (name, bytes) = MessagingSchema.migration(version: 1, schema: "listener")
        let grant = "\nGRANT SELECT, INSERT, UPDATE, DELETE ON outbox, inbox, dead_letters TO listener_app;"
        return (try? [Migration(named: name, sql: String(decoding: bytes, as: UTF8.self) + grant)]) ?? []
    }()

    @Test func theCommandLineAdministersTheSameStore() async throws {
        try await withService { service in
            try await CommandEnvironment.with(service.settings) { environment in
                _ = try await environment.registrations.createAdmin(
                    email: EmailAddress(stored: "root@example.com"),
                    password: AuthFixture.password,
                    displayName: "Root"
                )
            }
            let login = try await service.outside.post("/api/login", json: LoginInput(email: "root@example.com", password: AuthFixture.password))
            #expect(try login.decode(TokensOutput.self).user.roles == ["provider", "subscriber", "admin"])
            try await CommandEnvironment.with(service.settings) { environment in
                try await environment.profiles.resetPassword(of: EmailAddress(stored: "root@example.com"), to: "a reset password")
            }
            let refused = try await service.outside.post("/api/login", json: LoginInput(email: "root@example.com", password: AuthFixture.password))
            #expect(refused.status == 401)
        }
    }

    @Test func migrationsRunOnceAndSayWhat() async throws {
        try await withDatabase(service: "auth") { database in
            var reader = SettingsReader(environment: [
                "AUSPEX_DATABASE_URL": database.url, "AUSPEX_MIGRATION_DATABASE_URL": database.ownerURL, "AUSPEX_BROKER_URL": "amqp://127.0.0.1/",
                "AUSPEX_SERVICE_KEY_FILE": "/dev/null", "AUSPEX_SERVICES_JWKS_FILE": "/dev/null", "AUSPEX_MASTER_KEY": MasterKeyFile.generate().text,
            ])
            let settings = AuthSettings(from: &reader)
            try reader.finish()
            #expect(try await Application.migrate(settings).count == Migrations.catalogue().migrations.count)
            #expect(try await Application.migrate(settings).isEmpty)
        }
    }
}

/// Hears of people.
private struct Listener: EventHandler {
    static let consumerName = "people"
    static let eventTypes = ["auth.account.created.v1", "auth.user.changed.v1"]
    let heard: TestSignal<Envelope>

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        heard.signal(envelope)
        return .done
    }
}
