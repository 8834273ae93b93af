import BlobStore
import Contracts
import Cryptography
import Foundation
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime
import Synchronization
import TestSupport

@testable import scheduler

/// The service without its neighbours: real store, real tokens, real routes.
struct TestHouse: Sendable {
    let pool: PostgresPool
    let store: PostgresSchedulerStore
    let publicRouter: Router
    let internalRouter: Router
    let denied = DenySet()
    let tokenKey: SigningKey
    private let apiKeys = KnownKeys()
    private let serviceKeys: [String: SigningKey]

    /// Services that have a key, not all of which may call here.
    static let services = ["auth", "signals", "marketdata", "executor", "scheduler"]

    /// What auth would say of API keys.
    private final class KnownKeys: APIKeyVerifier {
        let verdicts = Mutex<[SHA256Digest: APIKeyVerdict]>([:])

        func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
            verdicts.withLock { $0[keySHA256] } ?? APIKeyVerdict(outcome: .notFound)
        }
    }

    init(pool: PostgresPool, blobs: any BlobStore) throws {
        self.pool = pool
        store = PostgresSchedulerStore(pool: pool, outbox: Outbox(schema: Migrations.schema))
        let (tokenKey, time) = (try SigningKey.generate(), SystemTimeSource())
        self.tokenKey = tokenKey
        let keys = try Self.services.map { (name: $0, key: try SigningKey.generate()) }
        serviceKeys = Dictionary(uniqueKeysWithValues: keys)
        let routes = SchedulerRoutes(
            store: store,
            intake: JobIntake(store: store, loop: TestLoop.shared) { _ in },
            desk: ClaimDesk(store: store, blobs: blobs, signingKey: try SigningKey.generate(), time: time),
            blobs: blobs
        )
        let tokenKeys = TokenKeyCache(control: TestLoop.shared, readiness: Readiness(), time: time) { JWKSet(keys: [tokenKey.verifyingKey.jwk()]) }
        let tokens = AccessTokenVerifier(keys: tokenKeys, denied: denied, time: time)
        publicRouter = routes.publicRouter(UserAuthentication(tokens: tokens, apiKeys: apiKeys))
        let verifier = try ServiceTokenVerifier(jwks: JWKSet(keys: keys.map { $0.key.verifyingKey.jwk(service: $0.name) }))
        var inside = Router(problemOf: SchedulerRoutes.problem)
        routes.addInternalRoutes(to: &inside) { ServiceAuthentication(verifier: verifier, audience: "scheduler", allowedCallers: $0) }
        internalRouter = inside
    }

    /// A person's client; the claims can be bent, and signed by another key than auth's.
    func person(
        _ account: AccountID = Fixture.account,
        roles: [String] = ["provider"],
        key: SigningKey? = nil,
        bending: (inout AccessTokenClaims) -> Void = { _ in }
    ) throws -> RequestClient {
        var claims = AccessTokenClaims(userID: .make(), accountID: account, sessionID: .make(), userVersion: 1, roles: roles, now: .now())
        bending(&claims)
        return RequestClient(router: publicRouter).with(header: "Authorization", "Bearer \(try JWT.sign(claims, with: key ?? tokenKey))")
    }

    /// A program's client, with an API key of these scopes.
    func program(_ account: AccountID = Fixture.account, scopes: [String], outcome: APIKeyVerdict.Outcome = .valid) -> RequestClient {
        let key = APIKeyText.make()
        let verdict = APIKeyVerdict(
            outcome: outcome,
            keyID: .make(),
            accountID: account,
            userID: .make(),
            roles: ["provider"],
            scopes: scopes,
            generation: 1
        )
        apiKeys.verdicts.withLock { $0[key.sha256] = verdict }
        return RequestClient(router: publicRouter).with(header: "X-API-Key", key.text)
    }

    /// Another service's client; the claims can be bent, and signed by another service's key or a stranger's.
    func service(
        _ name: String,
        signedBy key: SigningKey? = nil,
        bending: (inout ServiceTokenClaims) -> Void = { _ in }
    ) throws -> RequestClient {
        var claims = ServiceTokenClaims(service: name, audience: "scheduler", now: .now())
        bending(&claims)
        guard let signer = key ?? serviceKeys[name] else { throw TestSupportError("no service is called \(name)") }
        return RequestClient(router: internalRouter).with(header: "Authorization", "Service \(try JWT.sign(claims, with: signer))")
    }

    func key(of service: String) throws -> SigningKey {
        guard let key = serviceKeys[service] else { throw TestSupportError("no service is called \(service)") }
        return key
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
func withTestHouse(_ body: (TestHouse) async throws -> Void) async throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "auspex-scheduler-\(UUID().uuidString)")
    let cpu = try CPUPool(threads: 1)
    defer {
        cpu.stop()
        try? FileManager.default.removeItem(at: root)
    }
    let blobs = try FolderBlobStore(root: root.path(), service: "scheduler", pool: cpu)
    try await withDatabase(service: "scheduler", catalogue: try Migrations.catalogue()) { database in
        try await database.withPool { pool in try await body(try TestHouse(pool: pool, blobs: blobs)) }
    }
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
