import Contracts
import Cryptography
import FoundationEssentials
import HTTPServing
import KeyLimits
import Messaging
import Postgres
import PostgresIdempotency
import ServiceRuntime
import Synchronization
import TestSupport

@testable import signals

/// Somebody with an account.
struct Person: Sendable {
    let userID = UserID.make()
    let accountID = AccountID.make()
    var roles: [String]

    static func provider() -> Person { Person(roles: ["provider"]) }
    static func subscriber() -> Person { Person(roles: ["subscriber"]) }
    static func admin() -> Person { Person(roles: ["admin"]) }
}

/// What auth would say of API keys.
final class FakeAuth: APIKeyVerifier, CreditLender {
    let credits = Mutex<Int64>(0)
    let verdicts = Mutex<[SHA256Digest: APIKeyVerdict]>([:])
    let asked = Mutex(0)

    func verdict(on keySHA256: SHA256Digest) async throws -> APIKeyVerdict {
        asked.withLock { $0 += 1 }
        return verdicts.withLock { $0[keySHA256] } ?? APIKeyVerdict(outcome: .notFound)
    }

    func makeKey(_ person: Person, scopes: [String], budget: APIKeyBudget? = nil) -> APIKeyText {
        let key = APIKeyText.make()
        set(key, person, scopes: scopes, budget: budget, generation: 1)
        return key
    }

    func set(_ key: APIKeyText, _ person: Person, scopes: [String], budget: APIKeyBudget?, generation: Int64) {
        verdicts.withLock {
            $0[key.sha256] = APIKeyVerdict(
                outcome: .valid,
                keyID: .make(),
                accountID: person.accountID,
                userID: person.userID,
                roles: person.roles,
                scopes: scopes,
                generation: generation,
                budget: budget
            )
        }
    }

    func take(_ block: CreditBlockID, of budget: APIKeyID) async throws -> CreditBlockAnswer {
        let lent = credits.withLock { credits in
            defer { credits -= min(credits, 1) }
            return min(credits, 1)
        }
        return CreditBlockAnswer(blockID: block, countsCredits: true, credits: lent, budgetVersion: 1)
    }

    func giveBack(_ blocks: [CreditReturn.Block]) async throws { credits.withLock { $0 += blocks.map(\.unused).reduce(0, +) } }

    func revoke(_ key: APIKeyText) { verdicts.withLock { $0[key.sha256] = APIKeyVerdict(outcome: .disabled, generation: 2) } }
}

/// The service without its neighbours: real store, real tokens, real routes.
struct TestPlatform: Sendable {
    let pool: PostgresPool
    let store: PostgresSignalsStore
    let blobs = InMemoryBlobs()
    let market = FakeMarket()
    let jobs = FakeJobs()
    let auth = FakeAuth()
    let people: TestCredentials
    let ledgerKey: SigningKey
    let reader: PredictionReader
    let entitlements: EntitlementCache
    let hub: ChangeHub
    let knowledge: KnowledgeLookup
    let versions: VersionCache
    let watch: RevisionWatch
    let keys: CachingAPIKeyVerifier
    var denied: DenySet { people.denied }
    let credentials: CredentialNews
    let incidentStreams: IncidentStreams
    let router: Router
    let internalRouter: Router
    let time: any TimeSource
    /// What executors have; nobody knows unless told.
    let pythons = PythonShelf()
    let executorFiles = ByteBudget(maximumBytes: 1_000_000)

    /// - Parameters:
    ///   - limiter: what counts the use of keys, over the auth that it is given; nothing unless told.
    ///   - time: what everything that is remembered for a while goes by.
    init(
        pool: PostgresPool,
        versions: VersionQuotas.Limits = Self.manyVersions,
        limiter: (FakeAuth) -> KeyLimiter? = { _ in nil },
        time: any TimeSource = SystemTimeSource()
    ) throws {
        self.pool = pool
        self.time = time
        let outbox = Outbox(schema: "signals")
        store = PostgresSignalsStore(pool: pool, outbox: outbox)
        people = try TestCredentials()
        ledgerKey = try SigningKey.generate()
        reader = PredictionReader(store: store, time: time)
        entitlements = EntitlementCache(store: store, time: time)
        hub = ChangeHub(time: time)
        knowledge = KnowledgeLookup(market: market, time: time)
        self.versions = VersionCache(store: store)
        watch = RevisionWatch(store: store, reader: reader, hub: hub, time: time, loop: TestLoop.shared)
        keys = CachingAPIKeyVerifier(source: auth, control: TestLoop.shared, time: time)
        credentials = CredentialNews(keys: keys, denied: people.denied)
        credentials.subscriptionChanged(isSubscribed: true)
        entitlements.hearing(true)
        let incidents = IncidentStore(pool: pool)
        let door = StreamDoor(keys: keys, denied: people.denied, time: time)
        incidentStreams = IncidentStreams(incidents: incidents, door: door, time: time, loop: TestLoop.shared)
        let tokens = people.accessTokens()
        let routes = SignalsRoutes(
            store: store,
            effects: PostgresEffects(store: store, idempotency: PostgresIdempotencyStore(pool: pool) { outbox.poke() }),
            blobs: blobs,
            drafts: VersionDrafts(store: store, blobs: blobs, time: time) { [pythons] _ in pythons.present.withLock { $0 } },
            reader: reader,
            entitlements: entitlements,
            hub: hub,
            market: InstrumentDirectory(store: store, market: market),
            jobs: jobs,
            dryRuns: DryRunLimits(open: 3, perMinute: 6),
            exports: LedgerExports(store: store),
            signingKey: ledgerKey,
            cpu: try CPUPool(threads: 1),
            time: time,
            executorFiles: executorFiles,
            incidentDoors: IncidentDoors(store: incidents, streams: incidentStreams),
            cadenceDays: CadenceDayStore(pool: pool),
            versionQuotas: VersionQuotas(usage: VersionUsage(pool: pool), limits: versions)
        )
        let limits = limiter(auth)
        router = routes.publicRouter(
            known: UserAuthentication(tokens: tokens, apiKeys: keys, limiter: limits),
            anybody: UserAuthentication(tokens: tokens, apiKeys: keys, limiter: limits, isRequired: false)
        )
        var inside = Router(problemOf: SignalsRoutes.problem)
        let jwks = JWKSet(keys: [Self.scheduler.verifyingKey.jwk(service: "scheduler"), Self.executor.verifyingKey.jwk(service: "executor")])
        let verifier = try ServiceTokenVerifier(jwks: jwks)
        let services: ([String]) -> any Middleware = { ServiceAuthentication(verifier: verifier, audience: "signals", allowedCallers: $0) }
        let jobTokens = JobTokenVerifier(keys: try ServiceKeys(jwks))
        LockRoutes(locks: EnvironmentLocks(pool: pool), time: time).add(to: &inside, authenticating: services, jobTokens: jobTokens)
        routes.addInternalRoutes(
            to: &inside,
            authenticating: services,
            jobTokens: jobTokens
        )
        internalRouter = inside
    }

    /// More than a test makes.
    static let manyVersions = VersionQuotas.Limits(versionsPerSignal: 1_000, bytesPerAccount: 1 << 30)

    static let scheduler = (try? SigningKey.generate()).unsafelyUnwrapped
    static let executor = (try? SigningKey.generate()).unsafelyUnwrapped

    /// What news is for.
    var audience: NewsListener.Audience { .init(credentials: credentials, entitlements: entitlements, predictions: watch, hub: hub) }

    /// A client with a person's access token; nobody's without one.
    func client(_ person: Person?) throws -> RequestClient {
        var client = RequestClient(router: router)
        if let person {
            let token = try people.token(user: person.userID, account: person.accountID, roles: person.roles)
            client.headers = [("Authorization", "Bearer \(token)")]
        }
        return client
    }

    func client(key: APIKeyText) -> RequestClient {
        var client = RequestClient(router: router)
        client.headers = [("X-API-Key", key.text)]
        return client
    }

    func service(_ name: String, key: SigningKey) throws -> RequestClient {
        var client = RequestClient(router: internalRouter)
        client.headers = [("Authorization", "Service \(try ServiceTokenSource(service: name, key: key).token(audience: "signals"))")]
        return client
    }

    static let manifest = """
        name = "Momentum"
        [schedule]
        kind = "bar_close"
        instrument = "BTCUSD"
        interval = "15s"
        [[inputs]]
        instrument = "BTCUSD"
        interval = "15s"
        lookback = 20
        [output]
        kind = "direction"
        instrument = "BTCUSD"
        horizon_seconds = 60
        maximum_rows = 3
        """

    static func files(app: String = "def predict(context):\n    return 1\n", manifest: String = manifest, requirements: String = "numpy\n")
        -> JSONValue
    {
        [
            "files": [
                ["path": "app.py", "text": .string(app)], ["path": "auspex.toml", "text": .string(manifest)],
                ["path": "requirements.txt", "content_base64": .string(Data(requirements.utf8).base64EncodedString())],
            ], "note": "a try",
        ]
    }

    /// A published signal, made through the API.
    func publish(_ provider: Person) async throws -> SignalID {
        let client = try client(provider)
        let made = try await client.post("/api/signals", json: ["name": "Momentum"] as JSONValue)
        let id = try made.json()["id"]?.string ?? ""
        _ = try await client.post("/api/signals/\(id)/versions", json: Self.files())
        _ = try await client.post("/api/signals/\(id)/publish", json: JSONValue.object([:]))
        guard let signalID = SignalID(id) else { throw TestSupportError("not published: \(made.text)") }
        return signalID
    }

    /// The event by which the scheduler says that a run of a signal ended.
    func completed(
        _ signalID: SignalID,
        jobID: JobID = .make(),
        occurrenceID: OccurrenceID = .make(),
        rows: Int = 1,
        dueAt: Timestamp = .now(),
        change: (inout JSONValue) -> Void = { _ in }
    )
        async throws -> Envelope
    {
        guard let signal = try await store.signal(signalID), let versionID = signal.publishedVersionID,
            let version = try await store.version(versionID)
        else { throw TestSupportError("the signal is not published") }
        let result = SignalRunResult(
            rows: (0..<rows).map { row in
                PredictionRow(
                    row: row,
                    instrument: "BTCUSD",
                    kind: .direction,
                    value: .single(DecimalText(units: 1)),
                    targetFrom: dueAt,
                    targetTo: dueAt + .seconds(60)
                )
            },
            envSHA256: SHA256.digest(utf8: "env"),
            dataSHA256: SHA256.digest(utf8: "data"),
            asOf: dueAt,
            referencePrices: ["BTCUSD": Price(DecimalText(units: 600))],
            python: "3.11.2",
            sandboxLevel: .full,
            stagesMs: [:]
        )
        var json = try WireJSON.value(of: result)
        change(&json)
        let event = JobCompleted(
            jobID: jobID,
            kind: .signalRun,
            accountID: signal.accountID,
            outcome: .completed,
            attempt: 1,
            attemptID: .make(),
            specSummary: JobSpecSummary(
                signalID: signalID,
                versionID: versionID,
                versionSHA256: version.sha256,
                occurrenceID: occurrenceID,
                dueAt: dueAt,
                asOf: dueAt,
                feed: .live,
                deadlineSeconds: 60,
                output: version.manifest.output
            ),
            result: json,
            finishedAt: .now()
        )
        return try Envelope(event, subjectVersion: 1, occurredAt: .now(), recordedAt: .now())
    }

    /// Hears that a run ended, as the consumer would.
    func hear(_ envelope: Envelope) async throws -> HandlerOutcome {
        guard try runs.concerns(envelope) else { return .done }
        let handler = try await runs.prepared(for: envelope)
        return try await pool.withTransaction { try await handler.handle(envelope, on: $0) }
    }

    var runs: RunCompletedHandler { RunCompletedHandler(store: store, versions: versions, jobs: jobs, knowledge: knowledge, time: time) }

    func said(_ type: String) async throws -> [Envelope] {
        try await pool.query("SELECT envelope FROM outbox WHERE type = \(type) ORDER BY id").map { try Envelope(decoding: $0.column(0)) }
    }
}

/// Lends a platform on a database of its own.
func withPlatform<Outcome>(
    versions: VersionQuotas.Limits = TestPlatform.manyVersions,
    limiter: (FakeAuth) -> KeyLimiter? = { _ in nil },
    time: any TimeSource = SystemTimeSource(),
    _ body: (TestPlatform) async throws -> Outcome
) async throws -> Outcome {
    try await withDatabase(service: "signals", catalogue: Migrations.catalogue()) { database in
        try await database.withPool(maximumConnections: 6) { pool in
            try await body(try TestPlatform(pool: pool, versions: versions, limiter: limiter, time: time))
        }
    }
}

extension RequestClient.Answer {
    /// Status and problem code, such as `404 not_found`.
    var verdict: String { status < 400 ? "\(status)" : "\(status) \(problemCode ?? "-")" }
}

extension RequestClient {
    /// A post without a body.
    func post(_ path: String) async throws -> Answer { try await send(.post, path) }
}

/// The Pythons that executors say they have.
final class PythonShelf: Sendable {
    /// Of each executor.
    let present = Mutex<[[WorkerPython]]>([])
}
