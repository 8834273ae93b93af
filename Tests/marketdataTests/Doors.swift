import BlobStore
import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import Postgres
import ServiceRuntime
import TestSupport

@testable import marketdata

/// Somebody with an account.
struct Person: Sendable {
    let userID = UserID.make()
    let accountID = AccountID.make()
    var roles: [String]
}

/// The service without its neighbours: real store, real tokens, real routes, and half an hour of BTCUSD.
struct Doors: Sendable {
    let store: PostgresMarketdataStore
    let pool: PostgresPool
    let bench: Bench
    let credentials: TestCredentials
    let router: Router
    let internalRouter: Router
    let uploads: UploadImports
    let conversions: ConversionLedger
    let blobs: any BlobStore

    init(_ store: PostgresMarketdataStore, _ pool: PostgresPool) async throws {
        let time = SystemTimeSource()
        self.store = store
        self.pool = pool
        bench = try Bench(store)
        let credentials = try TestCredentials()
        self.credentials = credentials
        let routes = MarketdataRoutes(
            store: store,
            reader: bench.reader,
            importer: bench.importer,
            replays: Replays(store: store, reader: bench.reader, time: time, feed: nil),
            effects: PostgresEffects(store: store),
            calendars: bench.calendars,
            quality: bench.quality,
            time: time
        )
        var router = Router(problemOf: MarketdataRoutes.problem)
        routes.addPublicRoutes(to: &router, authentication: UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys))
        let (uploadStore, folder) = (UploadStore(pool: pool), FileManager.default.temporaryDirectory.appending(path: "auspex-doors-\(UUID())"))
        blobs = try FolderBlobStore(root: folder.path(), service: "marketdata", pool: bench.cpu)
        conversions = ConversionLedger()
        let conversionStore = ConversionStore(pool: pool)
        uploads = UploadImports(
            uploads: uploadStore,
            blobs: blobs,
            importer: bench.importer,
            conversions: UploadConversions(store: conversionStore, blobs: blobs, jobs: conversions),
            time: time,
            loop: TestLoop.shared
        )
        UploadRoutes(uploads: uploadStore, blobs: blobs, imports: uploads, time: time).addPublicRoutes(
            to: &router,
            authentication: UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys)
        )
        RetentionRoutes(store: store, rules: RetentionStore(pool: pool)).add(
            to: &router,
            authentication: UserAuthentication(tokens: credentials.accessTokens(), apiKeys: credentials.apiKeys)
        )
        self.router = router
        let known = try credentials.knownServices()
        let verifier = ServiceTokenVerifier(keys: known)
        var inside = Router(problemOf: MarketdataRoutes.problem)
        routes.addInternalRoutes(to: &inside, jobTokens: JobTokenVerifier(keys: known)) { callers in
            ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: callers)
        }
        ExpectedCloseRoutes(store: store, subscriptions: LiveSubscriptionStore(pool: pool), reader: bench.reader, time: time).add(
            to: &inside,
            authentication: ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: ["scheduler"])
        )
        ConversionRoutes(store: conversionStore, blobs: blobs, jobTokens: JobTokenVerifier(keys: known), time: time).add(
            to: &inside,
            authentication: ServiceAuthentication(verifier: verifier, audience: "marketdata", allowedCallers: ["executor"])
        )
        internalRouter = inside
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
    }

    /// Removes what was uploaded.
    func clear() async {
        for blob in (try? await blobs.list()) ?? [] { _ = try? await blobs.delete(blob.digest) }
    }

    /// An access token; `change` makes it a bad one.
    func token(_ person: Person, key: SigningKey? = nil, _ change: (inout AccessTokenClaims) -> Void = { _ in }) throws -> String {
        try credentials.token(user: person.userID, account: person.accountID, roles: person.roles, signedBy: key, bending: change)
    }

    /// A client with that person's token.
    func client(_ person: Person) throws -> RequestClient {
        RequestClient(router: router).with(header: "Authorization", "Bearer \(try token(person))")
    }

    /// A client with an API key.
    func client(key: APIKeyText) -> RequestClient { RequestClient(router: router).with(header: "X-API-Key", key.text) }

    /// An administrator's API key of an outcome, with scopes.
    func makeKey(_ outcome: APIKeyVerdict.Outcome = .valid, scopes: [String]) -> APIKeyText {
        credentials.apiKeys.make(outcome, roles: ["admin"], scopes: scopes)
    }

    /// Another service at the internal door.
    func service(_ name: String, audience: String = "marketdata", key: SigningKey? = nil) throws -> RequestClient {
        let token = try credentials.serviceToken(name, audience: audience, signedBy: key)
        return RequestClient(router: internalRouter).with(header: "Authorization", "Service \(token)")
    }

    /// A job token of the scheduler, for BTCUSD until ten past.
    func jobToken(
        by signer: String = "scheduler",
        kind: JobKind = .signalRun,
        files: [SHA256Digest] = [],
        instruments: [String] = ["BTCUSD"],
        lifetimeSeconds: Int64 = 60,
        now: Timestamp = .now()
    ) throws -> String {
        let claims = JobTokenClaims(
            jobID: .make(),
            attemptID: .make(),
            kind: kind.rawValue,
            signalID: nil,
            codeSHA256: nil,
            files: files,
            instruments: instruments,
            asOf: at("2016-10-08T00:10:00Z"),
            now: now,
            lifetimeSeconds: lifetimeSeconds
        )
        return try JWT.sign(claims, with: credentials.key(of: signer), type: JobTokenClaims.tokenType)
    }

    /// Everything that a request could have changed.
    func fingerprint() async throws -> [Int] {
        let row = try await pool.query(
            """
            SELECT (SELECT count(*) FROM instruments), (SELECT sum(version)::bigint FROM instruments), (SELECT count(*) FROM chunks),
                (SELECT count(*) FROM imports), (SELECT count(*) FROM replays), (SELECT count(*) FROM replays WHERE state = 'running'),
                (SELECT count(*) FROM replay_releases), (SELECT count(*) FROM watches), (SELECT count(*) FROM idempotency_keys),
                (SELECT count(*) FROM outbox), (SELECT count(*) FROM calendars), (SELECT count(*) FROM uploads),
                (SELECT count(*) FROM upload_parts), (SELECT count(*) FROM corporate_actions), (SELECT count(*) FROM instrument_names),
                (SELECT count(*) FROM retention_rules)
            """
        ).first
        return try (0..<16).map { try row?.column($0, as: Int.self) ?? -1 }
    }
}

/// Lends the doors of a store of their own.
func withDoors(_ body: (Doors) async throws -> Void) async throws {
    try await withPostgresStore { store, pool in
        let doors = try await Doors(store, pool)
        do { try await body(doors) } catch {
            await doors.clear()
            throw error
        }
        await doors.clear()
    }
}

extension RequestClient.Answer {
    /// Status and code, such as `404 unknown_replay`; the status alone for what is no problem.
    var verdict: String { problemCode.map { "\(status) \($0)" } ?? "\(status)" }
}
