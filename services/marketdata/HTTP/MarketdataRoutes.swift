import Contracts
import Cryptography
import HTTPServing
import Postgres
import ServiceRuntime

/// Every route of the service: the public ones that the gateway leads to, and the internal ones for the other services.
struct MarketdataRoutes: Sendable {
    let store: any MarketdataStore
    let reader: BarReader
    let importer: Importer
    let replays: Replays
    let effects: any Effects
    let calendars: Calendars
    let quality: QualityReader
    let time: any TimeSource
    /// Fetches what people ask for and nobody has fetched yet.
    var fetchFirst: FetchFirst?

    /// Adds the public routes; `authentication` finds out who asks, by access token or API key.
    func addPublicRoutes(to router: inout Router, authentication: any Middleware) {
        let people = router.grouped(authentication)
        people.get("/api/bars", bars)
        people.get("/api/instruments", listInstruments)
        people.post("/api/instruments", createInstrument)
        people.get("/api/instruments/{symbol}", instrument)
        people.get("/api/instruments/{symbol}/coverage", coverage)
        people.get("/api/datasets", listDatasets)
        people.get("/api/datasets/{name}", dataset)
        people.get("/api/calendars", listCalendars)
        people.get("/api/calendars/{name}", calendar)
        people.get("/api/instruments/{symbol}/actions", listActions)
        people.get("/api/instruments/{symbol}/quality", qualityReport)
        people.post("/api/imports", maximumBodyBytes: 8 << 20, importFile)
        people.get("/api/replays", listReplays)
        people.post("/api/replays", createReplay)
        people.get("/api/replays/{id}", replay)
        people.delete("/api/replays/{id}", stopReplay)
        people.post("/api/replays/{id}/pause", pauseReplay)
        people.post("/api/replays/{id}/resume", resumeReplay)
    }

    /// Adds the routes of the internal port, each with the services that may call it.
    func addInternalRoutes(to router: inout Router, jobTokens: JobTokenVerifier, authenticating callers: ([String]) -> any Middleware) {
        router.grouped(callers(["executor", "signals"])).get("/internal/v1/bars") { try await internalBars($0, jobTokens: jobTokens) }
        router.grouped(callers(["signals", "scheduler"])).get("/internal/v1/instruments/{symbol}", internalInstrument)
        router.grouped(callers(["signals", "scheduler"])).get("/internal/v1/instruments/{symbol}/sessions", internalSessions)
        router.grouped(callers(["scheduler"])).get("/internal/v1/instruments/{symbol}/past-closes", internalPastCloses)
        router.grouped(callers(["executor", "signals", "scheduler"])).get("/internal/v1/datasets/{name}") {
            try await internalDataset($0, jobTokens: jobTokens)
        }
        router.grouped(callers(["scheduler"])).post("/internal/v1/watches", replaceWatches)
    }

    /// What clients read of errors of the shared modules.
    static func problem(of error: any Error) -> Problem? {
        switch error {
        case let error as PostgresError where error.isPassing:
            .unavailable(code: "store_unavailable", detail: "The database does not answer at the moment; try again.")
        case is CPUPoolError: .unavailable(code: "overloaded", detail: "Too much is being computed at the moment; try again.")
        default: nil
        }
    }
}
