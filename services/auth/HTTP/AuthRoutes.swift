import Contracts
import HTTPServing
import Postgres
import ServiceRuntime

/// Every route of the service: the public ones that the gateway leads to, and the internal ones for the other services.
struct AuthRoutes: Sendable {
    let registrations: Registrations
    let sessions: Sessions
    let profiles: Profiles
    let keys: Keys
    let credits: Credits
    let defaultRequestsPerMinute: Int?
    let usage: KeyUsage
    let tokenKeys: TokenKeyRing
    let store: any AuthStore
    let time: any TimeSource
    let idempotency: Idempotency<AuthIdempotencyStore>
    let metrics = AuthMetrics()

    init(
        store: any AuthStore,
        passwords: PasswordHasher,
        tokenKeys: TokenKeyRing,
        usage: KeyUsage,
        time: any TimeSource,
        registrationOpen: Bool = true,
        registrationPolicy: ThrottlePolicy,
        defaultRequestsPerMinute: Int? = nil
    ) {
        let throttling = Throttling(store: store, time: time)
        registrations = Registrations(
            store: store,
            passwords: passwords,
            throttling: throttling,
            time: time,
            isOpen: registrationOpen,
            policy: registrationPolicy
        )
        sessions = Sessions(store: store, passwords: passwords, throttling: throttling, tokenKeys: tokenKeys, time: time)
        profiles = Profiles(store: store, passwords: passwords, throttling: throttling, time: time)
        keys = Keys(store: store, time: time)
        credits = Credits(store: store, time: time)
        self.defaultRequestsPerMinute = defaultRequestsPerMinute
        self.usage = usage
        self.tokenKeys = tokenKeys
        self.store = store
        self.time = time
        idempotency = Idempotency(store: AuthIdempotencyStore(store: store, time: time))
    }

    /// The public router.
    func publicRouter(middleware: [any Middleware] = []) -> Router {
        var router = Router(middleware: middleware, problemOf: Self.problem)
        router.get("/.well-known/jwks.json", jwks)
        router.post("/api/register", register)
        router.post("/api/login", login)
        router.post("/api/refresh", refresh)

        let people = router.grouped(SessionAuthentication(sessions: sessions))
        people.post("/api/logout", logout)
        people.get("/api/logout", logout)
        people.get("/api/me", profile)
        people.put("/api/me", updateProfile)
        people.post("/api/me/password", changePassword)
        people.get("/api/me/sessions", listSessions)
        people.delete("/api/me/sessions/{id}", revokeSession)
        people.get("/api/me/audit", listOwnAudit)
        people.get("/api/keys", listKeys)
        people.post("/api/keys", createKey)
        people.get("/api/keys/{id}", key)
        people.put("/api/keys/{id}", updateKey)
        people.delete("/api/keys/{id}", revokeKey)
        people.post("/api/keys/{id}/reroll", rerollKey)

        let administrators = router.grouped(SessionAuthentication(sessions: sessions, roles: [.admin]))
        administrators.get("/api/me/audit/all", listAllAudit)
        return router
    }

    /// The routes of the internal port, each with the services that may call it.
    func addInternalRoutes(to router: inout Router, authenticating callers: ([String]) -> any Middleware) {
        // The other services know auth by its internal address, and the keys are public anyway.
        router.get("/.well-known/jwks.json", jwks)
        let keyTakers = router.grouped(callers(["signals", "marketdata", "scheduler"]))
        keyTakers.post("/internal/v1/keys/verify", verifyKey)
        keyTakers.post("/internal/v1/keys/credits/take", takeCredits)
        keyTakers.post("/internal/v1/keys/credits/return", takeBackCredits)
        router.grouped(callers(["signals", "marketdata", "scheduler", "executor", "auth"])).get("/internal/v1/sessions/revoked", revokedSessions)
    }

    /// What clients read of errors of the shared modules.
    static func problem(of error: any Error) -> Problem? {
        switch error {
        case let error as PostgresError where error.isPassing:
            .unavailable(code: "store_unavailable", detail: "The database does not answer at the moment; try again.")
        default: nil
        }
    }
}
