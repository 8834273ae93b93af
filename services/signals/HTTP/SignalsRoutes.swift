import BlobStore
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// Every route of the service: the public ones that the gateway leads to, and the internal ones for the other services.
struct SignalsRoutes: Sendable {
    let store: any SignalsStore
    let effects: any Effects
    let blobs: any BlobStore
    let drafts: VersionDrafts
    let reader: PredictionReader
    let entitlements: EntitlementCache
    let hub: ChangeHub
    let market: InstrumentDirectory
    let jobs: any JobLedger
    let dryRuns: DryRunLimits
    let exports: LedgerExports
    let signingKey: SigningKey
    let cpu: CPUPool
    let time: any TimeSource
    /// Files on their way to providers, and those on their way to executors: slow readers among the first must not stop the second.
    var providerFiles = ByteBudget(maximumBytes: 256 * 1_048_576)
    var executorFiles = ByteBudget(maximumBytes: 256 * 1_048_576)
    /// Nothing where the store is in memory.
    var incidentDoors: IncidentDoors?
    /// Nothing where the store is in memory.
    var cadenceDays: CadenceDayStore?
    /// Nothing where versions are not counted.
    var versionQuotas: VersionQuotas?

    /// The public router. `known` admits callers with a credential only, `anybody` also those without.
    func publicRouter(known: any Middleware, anybody: any Middleware) -> Router {
        let router = Router(problemOf: Self.problem)
        let people = router.grouped(known)
        people.get("/api/predictions/{id}", signalPredictions)
        people.get("/api/predictions", allPredictions)

        people.post("/api/signals", createSignal)
        people.put("/api/signals/{id}", updateSignal)
        people.delete("/api/signals/{id}", deleteSignal)
        people.get("/api/signals/{id}/versions", listVersions)
        people.post("/api/signals/{id}/versions", maximumBodyBytes: 12 * 1024 * 1024, createVersion)
        people.get("/api/signals/{id}/versions/{version}", version)
        people.get("/api/signals/{id}/versions/{version}/file", versionFile)
        people.get("/api/signals/{id}/versions/{version}/diff", versionDifference)
        people.post("/api/signals/{id}/versions/{version}/rollback", rollback)
        people.post("/api/signals/{id}/versions/{version}/dry-run", startDryRun)
        people.get("/api/signals/{id}/dry-runs/{job}", dryRun)
        people.put("/api/signals/{id}/blobs/{sha256}", maximumBodyBytes: ProjectLimits.partBytes, uploadBlob)
        people.get("/api/signals/{id}/blobs/{sha256}", uploadedBlob)
        people.post("/api/signals/{id}/publish", publish)
        people.post("/api/signals/{id}/unpublish", unpublish)

        addIncidentRoutes(to: people)

        people.get("/api/subscriptions", listSubscriptions)
        people.post("/api/subscriptions", subscribe)
        people.delete("/api/subscriptions/{id}", unsubscribe)

        let everybody = router.grouped(anybody)
        everybody.get("/api/signals", listSignals)
        everybody.get("/api/signals/{id}", signal)
        everybody.get("/api/signals/{id}/cadence", cadenceByDay)
        everybody.get("/api/signals/{id}/ledger", ledger)
        everybody.get("/api/signals/ledger/seals", seals)
        everybody.get("/api/signals/ledger/keys", ledgerKeys)
        everybody.get("/api/signals/ledger/days/{day}", lastSealOfDay)
        return router
    }

    /// The routes of the internal port, each with the services that may call it.
    func addInternalRoutes(to router: inout Router, authenticating callers: ([String]) -> any Middleware, jobTokens: JobTokenVerifier) {
        router.grouped(callers(["executor"])).get("/internal/v1/blobs/{sha256}") { request in
            try await internalBlob(request, jobTokens: jobTokens)
        }
        router.grouped(callers(["scheduler"])).get("/internal/v1/published", internalPublished)
    }

    // MARK: What most routes begin with

    /// The signal of the path, if the caller may know of it.
    func visibleSignal(_ request: Request) async throws -> Signal {
        let id = try request.parameter("id", as: SignalID.self)
        guard let signal = try await store.signal(id), Entitlement.isVisible(owner: signal.accountID, state: signal.state, to: request.caller) else {
            throw Problem.notFound(field: "id")
        }
        return signal
    }

    /// The signal of the path, if it is the caller's own; with an API key only within `signals:write`.
    func ownSignal(_ request: Request) async throws -> (signal: Signal, caller: Caller) {
        let caller = try request.requiredCaller()
        let signal = try await visibleSignal(request)
        guard caller.owns(signal.accountID) || caller.isAdmin else { throw Refusal.notOwner }
        guard caller.has(scope: Scope.writeSignals) else { throw Refusal.insufficientScope }
        return (signal, caller)
    }

    /// The version of the path, of an own signal.
    func ownVersion(_ request: Request) async throws -> (signal: Signal, version: SignalVersion, caller: Caller) {
        let (signal, caller) = try await ownSignal(request)
        let number = try request.parameter("version", as: Int.self)
        guard let version = try await store.version(signal.id, number: number) else { throw Problem.notFound(field: "version") }
        return (signal, version, caller)
    }

    /// Refuses whoever may not offer signals.
    func requireProvider(_ request: Request) throws -> Caller {
        let caller = try request.requiredCaller()
        guard caller.has(scope: Scope.writeSignals) else { throw Refusal.insufficientScope }
        guard caller.roles.contains(Role.provider) || caller.roles.contains(Role.admin) else {
            throw Problem.forbidden(code: "insufficient_role", detail: "This needs the role provider.")
        }
        return caller
    }

    static func json(_ value: JSONValue, status: Status = .ok) -> Response { .json(bytes: WireJSON.encode(value), status: status) }
}
