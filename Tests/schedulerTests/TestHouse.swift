import BlobStore
import Contracts
import Cryptography
import Foundation
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import TestSupport

@testable import scheduler

/// The service without its neighbours: real store, real tokens, real routes.
struct TestHouse: Sendable {
    let pool: PostgresPool
    let store: PostgresSchedulerStore
    let publicRouter: Router
    let internalRouter: Router
    let logNews: LogNews
    let credentials: TestCredentials
    /// What the service signs job tokens with.
    let signingKey: SigningKey
    let feeds: JobFeeds

    init(pool: PostgresPool, blobs: any BlobStore, logBytesPerDay: Int = 1 << 20, markets: PastMarkets = .none) throws {
        self.pool = pool
        store = PostgresSchedulerStore(pool: pool, outbox: Outbox(schema: Migrations.schema))
        let credentials = try TestCredentials()
        self.credentials = credentials
        let time = SystemTimeSource()
        signingKey = try SigningKey.generate()
        let logs = LogStore(pool: pool, bytesPerDay: logBytesPerDay)
        logNews = LogNews(logs: logs, reads: LogReads(logs, store, loop: TestLoop.shared), time: time, loop: TestLoop.shared)
        let door = StreamDoor(keys: credentials.apiKeys, denied: credentials.denied, time: time)
        feeds = JobFeeds(store: store, door: door, loop: TestLoop.shared, time: time)
        let routes = SchedulerRoutes(
            store: store,
            intake: JobIntake(store: store, loop: TestLoop.shared) { _ in },
            desk: ClaimDesk(store: store, blobs: blobs, signingKey: signingKey, time: time),
            blobs: blobs,
            acts: ActRoutes.make(store, signingKey: signingKey, time: time, markets: markets),
            logDoors: LogDoors(
                logs: logs,
                news: logNews,
                door: door
            ),
            jobDoors: JobDoors(store: store, feeds: feeds, time: time)
        )
        publicRouter = routes.publicRouter(UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys))
        let verifier = ServiceTokenVerifier(keys: try credentials.knownServices())
        var inside = Router(problemOf: SchedulerRoutes.problem)
        routes.addInternalRoutes(to: &inside) { ServiceAuthentication(verifier: verifier, audience: "scheduler", allowedCallers: $0) }
        WorkerRoutes(book: WorkerBook(pool: pool)).add(to: &inside) {
            ServiceAuthentication(verifier: verifier, audience: "scheduler", allowedCallers: $0)
        }
        internalRouter = inside
    }

    /// A person's client; the claims can be bent, and signed by another key than auth's.
    func person(
        _ account: AccountID = Fixture.account,
        roles: [String] = ["provider"],
        key: SigningKey? = nil,
        bending: (inout AccessTokenClaims) -> Void = { _ in }
    ) throws -> RequestClient {
        let token = try credentials.token(account: account, roles: roles, signedBy: key, bending: bending)
        return RequestClient(router: publicRouter).with(header: "Authorization", "Bearer \(token)")
    }

    /// A program's client, with an API key of these scopes.
    func program(_ account: AccountID = Fixture.account, scopes: [String], outcome: APIKeyVerdict.Outcome = .valid) -> RequestClient {
        let key = credentials.apiKeys.make(outcome, account: account, roles: ["provider"], scopes: scopes)
        return RequestClient(router: publicRouter).with(header: "X-API-Key", key.text)
    }

    /// Another service's client; the claims can be bent, and signed by another service's key or a stranger's.
    func service(
        _ name: String,
        signedBy key: SigningKey? = nil,
        bending: (inout ServiceTokenClaims) -> Void = { _ in }
    ) throws -> RequestClient {
        let token = try credentials.serviceToken(name, audience: "scheduler", signedBy: key, bending: bending)
        return RequestClient(router: internalRouter).with(header: "Authorization", "Service \(token)")
    }

    /// All that the service has written, as text that two moments can be compared by.
    func books() async throws -> [String] {
        try await pool.query(
            """
            SELECT 'job ' || jobs::text FROM jobs UNION ALL SELECT 'lease ' || leases::text FROM leases
            UNION ALL SELECT 'log ' || job_logs::text FROM job_logs UNION ALL SELECT 'event ' || id FROM outbox
            UNION ALL SELECT 'schedule ' || schedules::text FROM schedules UNION ALL SELECT 'occurrence ' || occurrences::text FROM occurrences
            ORDER BY 1
            """
        ).map { try $0.column(0) }
    }
}

/// Lends a house on a database and a folder of its own.
func withTestHouse(markets: PastMarkets = .none, _ body: (TestHouse) async throws -> Void) async throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "auspex-scheduler-\(UUID().uuidString)")
    let cpu = try CPUPool(threads: 1)
    defer {
        cpu.stop()
        try? FileManager.default.removeItem(at: root)
    }
    let blobs = try FolderBlobStore(root: root.path(), service: "scheduler", pool: cpu)
    try await withDatabase(service: "scheduler", catalogue: try Migrations.catalogue()) { database in
        try await database.withPool { pool in try await body(try TestHouse(pool: pool, blobs: blobs, markets: markets)) }
    }
}

extension PastMarkets {
    /// Marketdata knows no instrument.
    static let none = PastMarkets(sessions: { _, _, _ in nil }, closes: { _, _, _, _ in nil })
}

extension RequestClient.Answer {
    /// Status, problem code and field, such as `400 missing_field kind`; only the status of what went well.
    var verdict: String {
        guard status >= 400 else { return "\(status)" }
        return [String(status), problemCode ?? "-", problemField].compactMap(\.self).joined(separator: " ")
    }

    /// Whether a refusal is a problem document with its own status and a code, and no fault of ours.
    var isProperRefusal: Bool {
        guard (400..<500).contains(status), headers["content-type"] == "application/problem+json", problemCode?.isEmpty == false else { return false }
        return (try? json())?["status"]?.integer == Int64(status)
    }
}
