import Contracts
import Cryptography
import Foundation
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import auth

/// Which version of the store a test runs against; most run against both.
enum StoreKind: String, Sendable, CustomTestStringConvertible {
    case memory
    case postgres

    static let available: [StoreKind] = TestServers.hasPostgres ? [.memory, .postgres] : [.memory]

    var testDescription: String { rawValue }
}

/// The costs of the hashes that passwords were compared with, in order.
final class PasswordChecks: Sendable {
    private let state = Mutex<[Int?]>([])
    private let turn = NSCondition()
    /// Read and written under `turn`.
    private nonisolated(unsafe) var isHeld = false

    /// The costs since the last call.
    func take() -> [Int?] {
        state.withLock { costs in
            defer { costs = [] }
            return costs
        }
    }

    /// Whether comparisons wait, on the thread that makes them and for a minute at most.
    func hold(_ holds: Bool) {
        turn.withLock {
            isHeld = holds
            turn.broadcast()
        }
    }

    func note(_ hash: String) {
        state.withLock { $0.append(PasswordHash.cost(of: hash)) }
        let deadline = Date(timeIntervalSinceNow: 60)
        turn.withLock { while isHeld, turn.wait(until: deadline) {} }
    }
}

/// Auth without its servers: a store, a clock that the test moves, and the public router.
struct AuthFixture: Sendable {
    let store: any AuthStore
    let time: ManualTimeSource
    let tokenKeys: TokenKeyRing
    let usage: KeyUsage
    let routes: AuthRoutes
    let client: RequestClient
    let passwords: PasswordHasher
    let checks: PasswordChecks
    /// The events that committed transactions have announced, in order.
    let announced: @Sendable () async throws -> [AnnouncedEvent]
    /// The pool of the store in Postgres.
    let pool: PostgresPool?

    static let password = "correct horse battery"

    /// Registers somebody and logs in.
    func person(_ name: String = "ada", roles: [String] = ["provider"]) async throws -> Person {
        let email = "\(name)@example.com"
        let registered = try await client.post("/api/register", json: RegisterInput(email: email, password: Self.password, roles: roles))
        guard registered.status == 201 else { throw TestSupportError("register answered \(registered.status) \(registered.text)") }
        return try await logIn(email)
    }

    /// An administrator, made as the command line makes one.
    func administrator() async throws -> Person {
        _ = try await routes.registrations.createAdmin(email: EmailAddress(stored: "root@example.com"), password: Self.password, displayName: "Root")
        return try await logIn("root@example.com")
    }

    /// Logs somebody in who exists.
    func logIn(_ email: String, password: String = AuthFixture.password) async throws -> Person {
        let answer = try await client.post("/api/login", json: LoginInput(email: email, password: password))
        guard answer.status == 200 else { throw TestSupportError("login answered \(answer.status) \(answer.text)") }
        let tokens = try answer.decode(TokensOutput.self)
        return Person(email: email, tokens: tokens, client: client.with(header: "Authorization", "Bearer \(tokens.accessToken ?? "")"))
    }
}

/// Somebody who has logged in.
struct Person: Sendable {
    let email: String
    let tokens: TokensOutput
    /// Sends the access token with every request.
    let client: RequestClient
}

struct RegisterInput: Encodable {
    var email: String
    var password: String
    var displayName: String?
    var roles: [String]?
}

struct LoginInput: Encodable {
    var email: String
    var password: String
    var useCookies: Bool?
}

struct UserOutput: Decodable, Sendable, Equatable {
    let id: UserID
    let accountID: AccountID
    let email: String
    let displayName: String
    let roles: [String]
}

struct TokensOutput: Decodable, Sendable {
    let accessToken: String?
    let refreshToken: String?
    let expiresIn: Int
    let sessionID: SessionID
    let user: UserOutput
}

struct NewKeyOutput: Decodable, Sendable {
    let id: APIKeyID
    let key: String?
    let secretAlreadyShown: Bool
}

/// Lends a fixture over the given kind of store.
func withAuth(
    _ kind: StoreKind = .memory,
    registrationOpen: Bool = true,
    registrationPolicy: ThrottlePolicy = .testing,
    bcryptCost: Int = 4,
    defaultRequestsPerMinute: Int? = nil,
    _ body: @Sendable (AuthFixture) async throws -> Void
) async throws {
    switch kind {
    case .memory:
        let store = InMemoryAuthStore()
        try await withAuth(
            over: store,
            registrationOpen: registrationOpen,
            registrationPolicy: registrationPolicy,
            bcryptCost: bcryptCost,
            defaultRequestsPerMinute: defaultRequestsPerMinute,
            announced: { store.state.events },
            pool: nil,
            body
        )
    case .postgres:
        try await withDatabase(service: "auth", catalogue: try Migrations.catalogue()) { database in
            try await database.withPool { pool in
                let store = PostgresAuthStore(pool: pool, outbox: Outbox(schema: PostgresAuthStore.schema))
                try await withAuth(
                    over: store,
                    registrationOpen: registrationOpen,
                    registrationPolicy: registrationPolicy,
                    bcryptCost: bcryptCost,
                    defaultRequestsPerMinute: defaultRequestsPerMinute,
                    announced: { try await outboxEvents(pool) },
                    pool: pool,
                    body
                )
            }
        }
    }
}

private func withAuth(
    over store: any AuthStore,
    registrationOpen: Bool,
    registrationPolicy: ThrottlePolicy,
    bcryptCost: Int,
    defaultRequestsPerMinute: Int?,
    announced: @escaping @Sendable () async throws -> [AnnouncedEvent],
    pool: PostgresPool?,
    _ body: @Sendable (AuthFixture) async throws -> Void
) async throws {
    let cpu = try CPUPool(threads: 1)
    defer { cpu.stop() }
    let time = ManualTimeSource(Timestamp.now())
    let checks = PasswordChecks()
    let passwords = try await PasswordHasher(pool: cpu, cost: bcryptCost) { password, hash in
        checks.note(hash)
        return try PasswordHash.verify(password, against: hash)
    }
    let tokenKeys = TokenKeyRing(store: store, box: MasterKeyBox(.generate()), time: time)
    try await tokenKeys.start()
    let usage = KeyUsage(store: store, time: time)
    let routes = AuthRoutes(
        store: store,
        passwords: passwords,
        tokenKeys: tokenKeys,
        usage: usage,
        time: time,
        registrationOpen: registrationOpen,
        registrationPolicy: registrationPolicy,
        defaultRequestsPerMinute: defaultRequestsPerMinute
    )
    try await body(
        AuthFixture(
            store: store,
            time: time,
            tokenKeys: tokenKeys,
            usage: usage,
            routes: routes,
            client: RequestClient(router: routes.publicRouter()),
            passwords: passwords,
            checks: checks,
            announced: announced,
            pool: pool
        )
    )
}

extension ThrottlePolicy {
    /// Never in the way.
    static let testing = ThrottlePolicy(freeAttempts: 10_000, windowSeconds: 3_600, maximumWaitSeconds: 3_600)
}

/// What the outbox of a database holds, in the order in which it was said.
func outboxEvents(_ pool: PostgresPool) async throws -> [AnnouncedEvent] {
    try await pool.query("SELECT envelope FROM outbox ORDER BY id").map { row in
        let envelope = try Envelope(decoding: try row.column(0, as: [UInt8].self))
        return AnnouncedEvent(type: envelope.type, subject: envelope.subject, version: envelope.subjectVersion, data: envelope.data)
    }
}

/// The method of that name.
func method(_ name: String) throws -> HTTPServing.Method {
    guard let method = HTTPServing.Method(rawValue: name) else { throw TestSupportError("no method \(name)") }
    return method
}
